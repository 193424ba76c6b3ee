//! Each verb on each store that other processes can open.

use std::time::Duration;

use serde_json::{Value, json};
use session_kit::session_core::{Condition, Key, Prefix, Record, Revision};
use session_kit::{Driver as _, DriverExt as _};

use crate::{SECRET, Stage, handle, lines};

async fn in_directory(scheme: &str, options: &str) -> Stage {
    Stage::new(|directory| format!("{scheme}:{}{options}", directory.path().join("store").display())).await
}

#[tokio::test]
async fn verbs_work_beside_an_application_on_sqlite() {
    verbs_work(Stage::sqlite().await).await;
}

#[tokio::test]
async fn verbs_work_beside_an_application_on_files() {
    verbs_work(in_directory("file", "?create_directory=true").await).await;
}

#[tokio::test]
async fn verbs_work_beside_an_application_on_a_mapped_file() {
    verbs_work(in_directory("mmap", "?max_bytes=16MiB").await).await;
}

#[tokio::test]
async fn verbs_work_beside_an_application_on_redis() {
    let server = xtask_redis::Server::start(xtask_redis::Options::new()).unwrap();
    verbs_work(Stage::new(|_| server.url()).await).await;
}

#[tokio::test]
async fn verbs_work_beside_an_application_on_postgres() {
    let server = xtask_postgres::Server::start(xtask_postgres::Options::new()).unwrap();
    verbs_work(Stage::new(|_| format!("{}?sslmode=disable", server.url())).await).await;
}

async fn verbs_work(mut stage: Stage) {
    let alice = [stage.session(Some("alice")).await, stage.session(Some("alice")).await];
    let bob = stage.session(Some("bob")).await;
    let nobody = stage.session(None).await;
    let damaged = stage.session(Some("carol")).await;
    let garbage = Record::new(&b"garbage"[..], None, Revision::from_bytes([9; 8]));
    let key = Key::new(&Prefix::SESSION, &handle(damaged)).unwrap();
    let driver = stage.sessions.driver();
    assert!(driver.store(&key, garbage, Condition::Any).await.unwrap().is_applied());
    lists_all(&stage, &handle(damaged));

    // A value is shown where it is asked for by name, and nowhere else.
    let shown = stage.json("show", &[&handle(bob)]);
    assert_eq!((&shown[0]["user"], &shown[0]["names"]), (&json!("bob"), &json!(["cart"])));
    assert_eq!(shown[0]["values"], json!({}));
    let shown = stage.json("show", &[&handle(bob), "--value", "cart", "--value", "absent"]);
    assert_eq!(shown[0]["values"], json!({ "cart": SECRET, "absent": null }));
    let id = nobody.reveal();
    let shown = stage.run_with("show", &["-", "--json"], &format!("{}\n", id.as_str()));
    assert_eq!((shown.code, &lines(&shown.out)[0]["handle"]), (0, &json!(handle(nobody))));
    let text = stage.run("show", &[&handle(bob)]);
    assert!(text.out.contains("\nuser              bob\n") && text.out.ends_with("values            cart\n"));

    // The application sees each end at its next request.
    assert_eq!(stage.json("end", &[&handle(bob)]), [json!({ "handle": handle(bob), "ended": true })]);
    assert!(!stage.lives(bob).await && stage.lives(nobody).await);
    let gone = stage.run("end", &[&handle(bob), &handle(damaged)]);
    assert_eq!(
        (gone.code, gone.out),
        (4, format!("{}  not found\n{}  ended\n", handle(bob), handle(damaged)))
    );
    assert_eq!(stage.run("show", &[&handle(bob)]).code, 4);
    assert_eq!(stage.run_with("end", &["-"], &format!("\n{}\n", id.as_str())).code, 0);
    assert!(!stage.lives(nobody).await);
    let users = stage.json("user", &["alice"]);
    assert_eq!(
        users.iter().map(|row| &row["handle"]).collect::<Vec<_>>(),
        [&handle(alice[0]), &handle(alice[1])]
    );
    assert_eq!(stage.json("end-user", &["alice"]), [json!({ "user": "alice", "ended": 2 })]);
    assert!(!stage.lives(alice[0]).await && !stage.lives(alice[1]).await);
    assert_eq!((stage.run("end-user", &["alice"]).code, stage.run("user", &["alice"]).code), (4, 4));

    removes_what_has_expired(&stage).await;
    measures_without_a_trace(&stage).await;
}

fn lists_all(stage: &Stage, damaged: &str) {
    let listed = stage.run("ls", &["--json"]);
    assert_eq!((listed.code, &*listed.err), (5, ""));
    let mut rows = lines(&listed.out);
    rows.sort_by_key(|row| row["user"].to_string());
    let fields = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert!(rows.iter().all(|row| fields(row) == fields(&rows[0])), "one shape for all lines");
    let states: Vec<_> =
        rows.iter().map(|row| (row["user"].as_str(), row["state"].as_str().unwrap())).collect();
    let live = |user| (user, "live");
    let expected = [live(Some("alice")), live(Some("alice")), live(Some("bob"))];
    assert_eq!(states[..3], expected);
    assert_eq!(states.len(), 5, "{rows:?}");
    assert!(states.contains(&live(None)) && states.contains(&(None, "damaged")));
    let row = rows.iter().find(|row| row["state"] == "damaged").unwrap();
    assert_eq!((&row["handle"], &row["created"]), (&json!(damaged), &Value::Null));
    assert!(rows[0]["created"].as_str().unwrap().ends_with('Z') && rows[0]["bytes"].as_u64().unwrap() > 67);
    let text = stage.run("ls", &[]);
    assert_eq!(text.out.lines().count(), 5);
    assert!(text.out.contains(&format!("{damaged}  damaged\n")));
    assert_eq!(
        stage.run("ls", &["--user", "alice"]).out.lines().count(),
        3,
        "two of alice, and the damaged one"
    );

    let count = stage.run("count", &["--json"]);
    let expected = json!({ "sessions": 4, "with_user": 3, "anonymous": 1, "damaged": 1, "complete": true });
    assert_eq!((count.code, lines(&count.out)), (5, vec![expected]));
}

async fn removes_what_has_expired(stage: &Stage) {
    let driver = stage.sessions.driver();
    // Long enough for three changes on a busy machine.
    let soon = stage.sessions.now().saturating_add(Duration::from_millis(1_500));
    for name in ["one", "two", "three"] {
        let record = Record::new(&b"x"[..], Some(soon), Revision::from_bytes([1; 8]));
        let key = Key::new(&Prefix::SESSION, name).unwrap();
        assert!(driver.store(&key, record, Condition::Any).await.unwrap().is_applied());
    }
    while stage.sessions.now() <= soon {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let by_engine = stage.json("stat", &[])[0]["promises"]["expiry_by"] == "engine";
    let purged = stage.json("purge", &["--batch", "2"]);
    let removed = if by_engine { 0 } else { 3 };
    assert_eq!(purged, [json!({ "removed": removed, "complete": true })]);
    assert_eq!(stage.run("purge", &[]).out, "0 expired records removed\n");
}

async fn measures_without_a_trace(stage: &Stage) {
    let measured = stage.json("bench", &["--records", "40", "--clients", "4", "--bytes", "100"]);
    let calls: Vec<_> = measured.iter().map(|line| line["call"].as_str().unwrap()).collect();
    assert_eq!(calls, ["store", "retrieve", "touch", "remove"]);
    for line in &measured {
        assert_eq!(line["calls"], 40);
        assert!(
            line["p50_us"].as_u64() <= line["p99_us"].as_u64()
                && line["p99_us"].as_u64() <= line["max_us"].as_u64()
        );
        assert!(line["per_second"].as_u64().unwrap() > 0);
    }
    let bench = Prefix::new("bench").unwrap();
    assert_eq!(stage.sessions.driver().count(&bench).await.unwrap(), 0, "nothing is left");

    let stat = &stage.json("stat", &[])[0];
    assert!(stage.url.starts_with(stat["scheme"].as_str().unwrap()));
    let driver = stage.sessions.driver();
    for name in ["session", "index", "user", "handover"] {
        let expected = driver.count(&Prefix::new(name).unwrap()).await.unwrap();
        assert_eq!(stat["records"][name], expected, "{name}");
    }
    assert_eq!(stat["promises"]["max_record_bytes"], json!(driver.capabilities().max_record_bytes));
}
