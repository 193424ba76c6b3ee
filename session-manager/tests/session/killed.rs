//! A process is killed between any two steps of a commit, over SQLite.

use session_conformance::testing::{ChildProcess, Probe, Request, child_args, say, step};
use session_core::{Cursor, Driver, SessionId};
use session_manager::{EndReason, Found, Session, Sessions};
use session_store_sqlite::SqliteStore;

use crate::{add, begun};

#[tokio::test]
async fn process_killed_at_any_step_leaves_old_or_new() {
    let test = "killed::process_killed_at_any_step_leaves_old_or_new";
    if let Some(args) = child_args(test) {
        return child(&args).await;
    }
    let mut kills = 0;
    for what in ["create", "update", "rotate", "login", "destroy"] {
        for cut in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("sessions.db").display().to_string();
            let driver = SqliteStore::open(path.as_str()).unwrap();
            let id = begun(&Sessions::new(driver.clone()).unwrap()).await;
            driver.close().await.unwrap();
            let text = id.reveal();
            let mut child = ChildProcess::spawn(test, &[what, &cut.to_string(), text.as_str(), &path]);
            let parked = child.wait_for("request ") == "parked";
            drop(child.kill());
            judge(what, cut, parked, &path, id).await;
            if !parked {
                assert!(cut > 2, "{what} has more than one gate");
                break;
            }
            kills += 1;
        }
    }
    eprintln!("{kills} kills");
}

/// Reports that it has reached its gate or its end, and waits there for SIGKILL.
async fn child(args: &[String]) {
    let [what, cut, id, path] = args else { panic!("{args:?}") };
    let stepped = Probe::parking_answers(SqliteStore::open(path.as_str()).unwrap());
    let sessions = Sessions::new(stepped.clone()).unwrap();
    let id = SessionId::parse(id.as_bytes()).filter(|_| what != "create");
    let session = sessions.load(id).await.unwrap();
    stepped.close_gates();
    let mut request = Box::pin(act(what, &session)) as Request<'_, ()>;
    let mut state = "request parked";
    for _ in 0..cut.parse().unwrap() {
        if step(&stepped, &mut request).await.is_some() {
            state = "request ended";
            break;
        }
    }
    say(state);
    std::future::pending().await
}

async fn act(what: &str, session: &Session) {
    if what == "destroy" {
        assert!(session.destroy("bye").await.unwrap());
        return;
    }
    add(session);
    session.insert("name", "Grace").unwrap();
    match what {
        "rotate" => session.rotate().unwrap(),
        "login" => session.login("ada").unwrap(),
        _ => {}
    }
    let _ = session.commit().await.unwrap();
}

async fn judge(what: &str, cut: usize, parked: bool, path: &str, id: SessionId) {
    let sessions = Sessions::new(SqliteStore::open(path).unwrap()).unwrap();
    let page = sessions.find(Cursor::start(), 100).await.unwrap();
    assert!(page.next.is_none());
    let text = |found: &Found<_>| {
        format!(
            "{} {}",
            found.get::<String>("name").unwrap().unwrap(),
            found.get::<u32>("n").unwrap().unwrap()
        )
    };
    let mut found: Vec<_> = page.sessions.iter().map(text).collect();
    found.sort();
    let (old, new) = ("Ada 0", "Grace 1");
    let allowed: &[&[_]] = match (what, parked) {
        ("create", true) => &[&[old], &[old, new]],
        ("create", false) => &[&[old, new]],
        ("update", true) => &[&[old], &[new]],
        ("rotate" | "login", true) => &[&[old], &[old, new], &[new]],
        ("update" | "rotate" | "login", false) => &[&[new]],
        (_, true) => &[&[old], &[]],
        (_, false) => &[&[]],
    };
    assert!(allowed.iter().any(|allowed| found == *allowed), "{what} killed at {cut}: {found:?}");
    let session = sessions.load(id).await.unwrap();
    if matches!(what, "rotate" | "login") && !session.exists().unwrap() {
        assert_eq!(session.end_reason().unwrap(), Some(EndReason::Replaced), "{what} killed at {cut}");
    }
    if session.exists().unwrap() {
        // It is still usable.
        add(&session);
        let _ = sessions.finish(&session).await.unwrap();
        let again = sessions.load(id).await.unwrap();
        assert_eq!(again.get::<u32>("n").unwrap(), session.get("n").unwrap());
    }
    sessions.driver().close().await.unwrap();
}
