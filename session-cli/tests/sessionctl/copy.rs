//! Copies of a store, and their comparison.

use serde_json::{Value, json};
use session_kit::{Driver as _, Sessions};

use crate::{SECRET, Stage, handle, lines, run};

/// A store with four sessions and the records of their users, and the URL of a second store that is missing.
async fn two_stores() -> (Stage, String) {
    let mut stage = Stage::sqlite().await;
    for user in [Some("alice"), Some("alice"), Some("bob"), None] {
        stage.session(user).await;
    }
    let other = format!("file:{}?create_directory=true", stage.directory.path().join("other").display());
    (stage, other)
}

fn records(stage: &Stage) -> u64 {
    let stat = &stage.json("stat", &[])[0]["records"];
    ["session", "index", "user", "handover"].iter().map(|name| stat[name].as_u64().unwrap()).sum()
}

fn one(values: Vec<Value>, names: &[&str]) -> Vec<u64> {
    assert_eq!(values.len(), 1, "{values:?}");
    names.iter().map(|name| values[0][name].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn copy_is_equal_until_a_session_ends() {
    let (mut stage, other) = two_stores().await;
    let id = stage.session(Some("carol")).await;
    let all = records(&stage);
    assert!(all > 5, "sessions and their index");
    for verb in ["copy", "verify"] {
        assert_eq!(stage.run(verb, &["--to", &other]).code, 3, "{verb} creates nothing");
    }
    let names = ["copied", "present", "different", "damaged"];
    let to = ["--to", &*other, "--create"];
    assert_eq!(one(stage.json("copy", &to), &names), [all, 0, 0, 0]);
    assert_eq!(one(stage.json("copy", &to), &names), [0, all, 0, 0], "may be repeated");
    let names = ["equal", "missing", "other_data", "in_new"];
    assert_eq!(one(stage.json("verify", &["--to", &other]), &names), [all, 0, 0, all]);

    let sessions = Sessions::new(session_kit::open(&other).await.unwrap()).unwrap();
    let session = sessions.load(id).await.unwrap();
    assert_eq!(session.get::<String>("cart").unwrap().as_deref(), Some(SECRET));
    sessions.driver().close().await.unwrap();
    assert_eq!(run(&["end", &other, &handle(id)], "").code, 0);
    let differs = stage.run("verify", &["--to", &other, "--json"]);
    assert_eq!(differs.code, 5);
    let counts = one(lines(&differs.out), &["equal", "missing", "other_data", "damaged_new"]);
    assert!(counts[0] < all && counts[1] + counts[2] > 0 && counts[3] == 0, "{counts:?}");
    assert!(stage.lives(id).await, "the old store stays as it is");
}

#[tokio::test]
async fn move_empties_the_old_store() {
    let (stage, other) = two_stores().await;
    let all = records(&stage);
    let moved = stage.run("copy", &["--to", &other, "--create", "--move"]);
    assert_eq!((moved.code, &*moved.err), (0, ""));
    assert!(
        moved.out.starts_with(&format!("copied          {all:>9}\npresent before          0\n")),
        "{}",
        moved.out
    );
    assert_eq!(records(&stage), 0);
    let count = lines(&run(&["count", &other, "--json"], "").out);
    assert_eq!((&count[0]["sessions"], &count[0]["with_user"]), (&json!(4), &json!(3)));
    assert_eq!(stage.run("verify", &["--to", &other]).code, 0);
}

#[tokio::test]
async fn copy_onto_itself_is_refused() {
    let (stage, _) = two_stores().await;
    let all = records(&stage);
    let refused = stage.run("copy", &["--to", &stage.url, "--move"]);
    assert_eq!((refused.code, &*refused.out), (1, ""));
    assert!(refused.err.contains("store"), "{}", refused.err);
    assert_eq!(records(&stage), all);
}
