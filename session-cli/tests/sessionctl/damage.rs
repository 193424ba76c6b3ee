//! Damage below the driver, and users that only a walk finds.

use rusqlite::Connection;
use serde_json::json;

use crate::{Stage, handle, lines};

#[tokio::test]
async fn damaged_row_is_listed_and_can_be_ended() {
    let mut stage = Stage::sqlite().await;
    let one = stage.session(Some("alice")).await;
    let other = stage.session(Some("alice")).await;
    let file = Connection::open(stage.directory.path().join("sessions.db")).unwrap();
    let key = format!("session:{}", handle(one));
    assert_eq!(
        file.execute("UPDATE records SET revision = x'00' WHERE key = ?1", [key.as_bytes()]).unwrap(),
        1
    );
    let listed = stage.run("ls", &["--json"]);
    assert_eq!(listed.code, 5);
    let rows = lines(&listed.out);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().any(|row| row["state"] == "damaged" && row["handle"] == handle(one)), "{rows:?}");
    let shown = stage.run("show", &[&handle(one)]);
    assert_eq!((shown.code, &*shown.out), (5, ""));
    assert!(shown.err.contains("damaged"), "{}", shown.err);
    assert_eq!(stage.run("user", &["alice"]).out.lines().count(), 1);
    assert_eq!(stage.run("end", &[&handle(one)]).code, 0);
    assert!(stage.lives(other).await);
    assert_eq!(stage.run("ls", &[]).code, 0);
}

#[tokio::test]
async fn damaged_index_is_an_error_and_a_walk_finds_the_sessions() {
    let mut stage = Stage::sqlite().await;
    let id = stage.session(Some("alice")).await;
    stage.session(Some("bob")).await;
    let file = Connection::open(stage.directory.path().join("sessions.db")).unwrap();
    file.execute("UPDATE records SET data = x'00' WHERE CAST(key AS TEXT) LIKE 'index:%'", []).unwrap();
    for verb in ["user", "end-user"] {
        let ran = stage.run(verb, &["alice"]);
        assert_eq!((ran.code, &*ran.out), (5, ""), "{verb}: {}", ran.err);
        assert!(ran.err.contains("index of a user"), "{}", ran.err);
    }
    assert!(stage.lives(id).await);
    let rows = stage.json("ls", &["--user", "alice"]);
    let handles: Vec<_> = rows.iter().map(|row| row["handle"].as_str().unwrap()).collect();
    assert_eq!(handles, [handle(id)]);
    let ended = stage.run_with("end", &["-", "--json"], &handles.join("\n"));
    assert_eq!(lines(&ended.out), [json!({ "handle": handle(id), "ended": true })]);
    assert!(!stage.lives(id).await);
}

#[tokio::test]
async fn names_of_users_move_no_cursor() {
    let mut stage = Stage::sqlite().await;
    stage.session(Some("\u{1b}[2Jalice\n\u{202e}")).await;
    let listed = stage.run("ls", &[]);
    assert_eq!(listed.out.lines().count(), 1);
    assert!(listed.out.contains("\\u{1b}[2Jalice\\u{a}\\u{202e}"), "{:?}", listed.out);
    assert_eq!(stage.json("ls", &[])[0]["user"], "\u{1b}[2Jalice\n\u{202e}");
}
