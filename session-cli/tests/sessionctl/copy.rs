//! Copies of a store, and their comparison.

use rustix::process::Signal;
use serde_json::{Value, json};
use session_kit::{Driver as _, Sessions};

use crate::chain::copier::Copier;
use crate::{SECRET, Stage, handle, lines, run, run_in};

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

#[tokio::test]
async fn copy_that_a_signal_ends_is_completed_by_the_next() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut stage = Stage::sqlite().await;
        for number in 0..2_000 {
            stage.session((number % 50 == 0).then_some("alice")).await;
        }
        let all = records(&stage);
        let other = format!("file:{}?create_directory=true", stage.directory.path().join("other").display());
        let mut copier = Copier::start(&stage.url, &other);
        copier.wait_for(256);
        let ended = copier.end_by(signal);
        assert_eq!(ended.status.code(), Some(code));
        let first = lines(&String::from_utf8(ended.stdout).unwrap());
        let left = records(&stage);
        assert_eq!((&first[0]["complete"], left > 0), (&json!(false), true));
        let copied = one(first, &["copied"])[0];
        // The report does not count the page in which it ended.
        assert!(
            copied >= 256 && (copied..=copied + 256).contains(&(all - left)),
            "{copied} of {all}, {left} left"
        );
        let text = stage.run("copy", &["--to", &other, "--move"]);
        assert_eq!((text.code, &*text.err), (0, ""));
        assert!(!text.out.contains("interrupted"), "{}", text.out);
        assert_eq!(records(&stage), 0);
        let verified = lines(&run(&["verify", &stage.url, "--to", &other, "--json"], "").out);
        assert_eq!(one(verified, &["equal", "missing", "in_new"]), [0, 0, all]);
    }
}

#[tokio::test]
async fn password_of_the_other_store_comes_from_a_file_or_a_variable() {
    const PASSWORD: &str = "hunter2/é@?&";
    let (stage, _) = two_stores().await;
    let all = records(&stage);
    let redis = xtask_redis::Server::start(xtask_redis::Options::new().set("requirepass", PASSWORD)).unwrap();
    let redis = format!("redis://127.0.0.1:{}", redis.port());
    let rules = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let postgres = xtask_postgres::Server::start(xtask_postgres::Options::new().accept(rules)).unwrap();
    let sql = format!("CREATE ROLE mover LOGIN PASSWORD '{PASSWORD}'; GRANT ALL ON SCHEMA public TO mover");
    postgres.sql(&sql).unwrap();
    let postgres = format!("{}?sslmode=disable", postgres.url_of("mover"));
    let file = |name: &str, text: &str| {
        let path = stage.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (right, wrong) = (file("right", &format!("{PASSWORD}\nnot this line\n")), file("wrong", "hunter3\n"));
    let go = |arguments: &[&str]| {
        let ran = run_in(&[("STORE", PASSWORD)], arguments, "");
        assert!(!ran.err.contains("hunter") && !ran.out.contains("hunter"), "{}", ran.err);
        ran
    };
    let to_redis = ["copy", &*stage.url, "--move", "--to", &*redis];
    for (options, code, text) in [
        (&["--to-password-file", &*wrong][..], 1, "misconfigured"),
        (&[], 1, "misconfigured"),
        (&["--to-password-file", "/absent/file"], 1, "/absent/file"),
        (&["--to-password-env", "UNSET"], 2, "environment variable UNSET is not set"),
        (&["--to-password-env", "STORE", "--to-password-file", &right], 2, "cannot be used with"),
    ] {
        let ran = go(&[&to_redis[..], options].concat());
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{options:?}: {}", ran.err);
        assert!(ran.err.contains(text), "{}", ran.err);
        assert_eq!(records(&stage), all, "nothing has moved");
    }
    let moved = go(&[&to_redis[..], &["--to-password-env", "STORE"]].concat());
    assert_eq!((moved.code, &*moved.err, records(&stage)), (0, "", 0));

    // Each store has a password of its own.
    let between = |verb: &'static str| [verb, &*redis, "--to", &*postgres];
    let passwords = ["--password-file", &*right, "--to-password-file", &*right];
    assert_eq!(go(&[&between("copy")[..], &["--to-password-env", "STORE"]].concat()).code, 1);
    let copied = go(&[&between("copy")[..], &["--create", "--json"], &passwords].concat());
    assert_eq!((copied.code, &*copied.err), (0, ""));
    assert_eq!(one(lines(&copied.out), &["copied", "present"]), [all, 0]);
    let passwords = ["--password-env", "STORE", "--to-password-env", "STORE"];
    let verified = go(&[&between("verify")[..], &["--json"], &passwords].concat());
    assert_eq!((verified.code, &*verified.err), (0, ""));
    assert_eq!(one(lines(&verified.out), &["equal", "missing", "in_new"]), [all, 0, all]);
}
