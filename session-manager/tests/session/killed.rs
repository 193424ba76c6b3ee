//! A process is killed between any two steps of a commit, over SQLite.

use std::collections::HashSet;

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

#[tokio::test]
async fn process_killed_while_it_ends_sessions_leaves_all_listed() {
    let test = "killed::process_killed_while_it_ends_sessions_leaves_all_listed";
    if let Some(args) = child_args(test) {
        return child(&args).await;
    }
    for (what, left) in [("end_user", 0), ("end_others", 1)] {
        for cut in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("sessions.db").display().to_string();
            let sessions = Sessions::new(SqliteStore::open(path.as_str()).unwrap()).unwrap();
            let mut ids = Vec::new();
            for _ in 0..3 {
                let session = sessions.load(None).await.unwrap();
                session.login("ada").unwrap();
                let _ = sessions.finish(&session).await.unwrap();
                ids.push(crate::told(&session));
            }
            sessions.driver().close().await.unwrap();
            let mut child =
                ChildProcess::spawn(test, &[what, &cut.to_string(), ids[0].reveal().as_str(), &path]);
            let parked = child.wait_for("request ") == "parked";
            drop(child.kill());
            let sessions = Sessions::new(SqliteStore::open(path.as_str()).unwrap()).unwrap();
            let page = sessions.find(Cursor::start(), 100).await.unwrap();
            let handles = |found: &[Found<_>]| found.iter().map(Found::handle).collect::<HashSet<_>>();
            let living = handles(&page.sessions);
            assert_eq!(handles(&sessions.of_user("ada").await.unwrap()), living, "{what} killed at {cut}");
            assert!(parked || living.len() == left, "{what} at {cut}");
            let own = sessions.load(ids[0]).await.unwrap();
            end(what, &sessions, &own).await;
            assert_eq!(sessions.of_user("ada").await.unwrap().len(), left, "{what} killed at {cut}");
            assert_eq!(sessions.find(Cursor::start(), 100).await.unwrap().sessions.len(), left);
            sessions.driver().close().await.unwrap();
            if !parked {
                assert!(cut > 4, "{what} has more than three gates");
                break;
            }
        }
    }
}

/// Reports that it has reached its gate or its end, and waits there for SIGKILL.
async fn child(args: &[String]) {
    let [what, cut, id, path] = args else { panic!("{args:?}") };
    let stepped = Probe::parking_answers(SqliteStore::open(path.as_str()).unwrap());
    let sessions = Sessions::new(stepped.clone()).unwrap();
    let id = SessionId::parse(id.as_bytes()).filter(|_| what != "create");
    let session = sessions.load(id).await.unwrap();
    stepped.close_gates();
    let mut request: Request<'_, ()> = match what.as_str() {
        "end_user" | "end_others" => Box::pin(end(what, &sessions, &session)),
        _ => Box::pin(act(what, &session)),
    };
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

async fn end<D: Driver>(what: &str, sessions: &Sessions<D>, own: &Session) {
    let ended = match what {
        "end_user" => sessions.end_user("ada", "all").await,
        _ => sessions.end_others(own, "others").await,
    };
    assert!(ended.unwrap() <= 3);
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
    // A login that was killed after its first store may leave a record that the index does not have. No client has its
    // id, because the guest's session is still there.
    let of_ada = |found: &&Found<_>| found.user() == Some("ada");
    let stored: HashSet<_> = page.sessions.iter().filter(of_ada).map(Found::handle).collect();
    let listed: HashSet<_> = sessions.of_user("ada").await.unwrap().iter().map(Found::handle).collect();
    let is_unfinished = parked && session.exists().unwrap();
    assert!(
        listed == stored || is_unfinished && listed.is_subset(&stored),
        "{what} killed at {cut}: of {} sessions of the user, {} are listed",
        stored.len(),
        listed.len()
    );
    assert!(what != "login" || session.exists().unwrap() || listed.len() == 1, "killed at {cut}");
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
