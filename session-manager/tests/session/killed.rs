//! A process is killed between any two steps of a commit, over SQLite.
//!
//! The test starts itself as a child. The child reports that it has reached a gate, and waits there for SIGKILL.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use session_core::{Driver, SessionId};
use session_manager::{EndReason, Session, Sessions};
use session_store_sqlite::SqliteStore;

use crate::{add, begun};
use session_conformance::testing::{Probe, Request, step};

const CHILD: &str = "SESSION_KIT_KILLED_CHILD";
const WHATS: [&str; 4] = ["create", "update", "rotate", "destroy"];

#[test]
fn process_killed_at_any_step_leaves_old_or_new() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(task) = task() {
        runtime.block_on(child(&task));
        return;
    }
    let mut kills = 0;
    for what in WHATS {
        for cut in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("sessions.db");
            let id = runtime.block_on(async {
                let driver = SqliteStore::open(path.as_path()).unwrap();
                let id = begun(&Sessions::new(driver.clone()).unwrap()).await;
                driver.close().await.unwrap();
                id
            });
            let parked = kill_at(what, cut, &path, id);
            runtime.block_on(judge(what, cut, parked, &path, id));
            if !parked {
                assert!(cut > 2, "{what} has more than one gate");
                break;
            }
            kills += 1;
        }
    }
    eprintln!("{kills} kills");
}

#[expect(clippy::disallowed_methods, reason = "this is how a test tells its child from itself")]
fn task() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Kills a child at its gate number `cut`; `false` if it ended before.
fn kill_at(what: &str, cut: usize, path: &Path, id: SessionId) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["killed::process_killed_at_any_step_leaves_old_or_new", "--exact", "--nocapture"])
        .env(CHILD, format!("{what} {cut} {} {}", id.reveal().as_str(), path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let word =
        lines.map(Result::unwrap).find(|line| ["parked", "ended"].iter().any(|word| line.ends_with(word)));
    child.kill().unwrap();
    child.wait().unwrap();
    match word.as_deref() {
        Some(line) => line.ends_with("parked"),
        None => panic!("{what}, {cut}: the child did not reach its gate"),
    }
}

async fn child(task: &str) {
    let [what, cut, id, path] = *task.splitn(4, ' ').collect::<Vec<_>>() else { panic!("{task}") };
    let stepped = Probe::parking_answers(SqliteStore::open(path).unwrap());
    let sessions = Sessions::new(stepped.clone()).unwrap();
    let id = SessionId::parse(id.as_bytes()).filter(|_| what != "create");
    let session = sessions.load(id).await.unwrap();
    stepped.close_gates();
    let mut request = Box::pin(act(what, &session)) as Request<'_, ()>;
    for _ in 0..cut.parse().unwrap() {
        if step(&stepped, &mut request).await.is_some() {
            say("ended");
        }
    }
    say("parked");
}

async fn act(what: &str, session: &Session) {
    if what == "destroy" {
        assert!(session.destroy("bye").await.unwrap());
        return;
    }
    add(session);
    session.insert("name", "Grace").unwrap();
    if what == "rotate" {
        session.rotate().unwrap();
    }
    let _ = session.commit().await.unwrap();
}

/// Reports the state of this process, and waits for SIGKILL.
fn say(word: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{word}").and_then(|()| out.flush()).unwrap();
    loop {
        std::thread::park();
    }
}

async fn judge(what: &str, cut: usize, parked: bool, path: &Path, id: SessionId) {
    let sessions = Sessions::new(SqliteStore::open(path).unwrap()).unwrap();
    let page = sessions.find(session_core::Cursor::start(), 100).await.unwrap();
    assert!(page.next.is_none());
    let mut names: Vec<(String, u32)> = Vec::new();
    for found in &page.sessions {
        names.push((found.get("name").unwrap().unwrap(), found.get("n").unwrap().unwrap()));
    }
    names.sort();
    let names: Vec<_> = names.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    let (old, new) = (("Ada", 0), ("Grace", 1));
    let allowed: &[&[_]] = match (what, parked) {
        ("create", true) => &[&[old], &[old, new]],
        ("create", false) => &[&[old, new]],
        ("update", true) => &[&[old], &[new]],
        ("rotate", true) => &[&[old], &[old, new], &[new]],
        ("update" | "rotate", false) => &[&[new]],
        (_, true) => &[&[old], &[]],
        (_, false) => &[&[]],
    };
    assert!(allowed.contains(&&names[..]), "{what} killed at {cut}: {names:?}");
    let session = sessions.load(id).await.unwrap();
    if what == "rotate" && !session.exists().unwrap() {
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
