//! The program as a process, beside an application that uses the same store.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod arguments;
mod chain;
mod copy;
mod damage;
mod every_store;
mod import;
mod pages;
mod process;
mod rights;
mod systems;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use session_kit::session_core::SessionId;
use session_kit::{Handle, IdUpdate, Sessions};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sessionctl");
/// A value of each session, which nothing may show unless it is asked for.
const SECRET: &str = "the-value-of-a-session";

/// An application with its store, and a place for files.
struct Stage {
    directory: TempDir,
    url: String,
    sessions: Sessions,
    /// Ids of sessions: text that the program never prints.
    ids: Vec<String>,
}

/// The exit code and the output of the program.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Stage {
    async fn new(url: impl FnOnce(&TempDir) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = url(&directory);
        let sessions = Sessions::new(session_kit::open(&url).await.unwrap()).unwrap();
        Self { directory, url, sessions, ids: Vec::new() }
    }

    async fn sqlite() -> Self {
        Self::new(|directory| format!("sqlite:{}", directory.path().join("sessions.db").display())).await
    }

    /// A session as a request of the application would leave it.
    async fn session(&mut self, user: Option<&str>) -> SessionId {
        let session = self.sessions.load(None).await.unwrap();
        session.insert("cart", SECRET).unwrap();
        if let Some(user) = user {
            session.login(user).unwrap();
        }
        let _ = self.sessions.finish(&session).await.unwrap();
        let IdUpdate::Set { id, .. } = session.id_update() else { panic!("no id") };
        self.ids.push(id.reveal().as_str().to_owned());
        id
    }

    async fn lives(&self, id: SessionId) -> bool {
        self.sessions.load(id).await.unwrap().exists().unwrap()
    }

    /// Runs a verb on the store, whose URL follows the verb.
    fn run(&self, verb: &str, more: &[&str]) -> Ran {
        self.run_with(verb, more, "")
    }

    /// The same, with text on standard input.
    fn run_with(&self, verb: &str, more: &[&str], input: &str) -> Ran {
        let ran = run(&[&[verb, &self.url], more].concat(), input);
        for id in &self.ids {
            assert!(!ran.out.contains(id) && !ran.err.contains(id), "{verb} shows an id");
        }
        assert!(more.contains(&"--value") || !ran.out.contains(SECRET), "{verb} shows a value");
        assert!(!ran.err.contains(SECRET), "{verb} shows a value");
        ran
    }

    /// The JSON values that a verb prints, one a line.
    fn json(&self, verb: &str, more: &[&str]) -> Vec<Value> {
        let ran = self.run(verb, &[more, &["--json"]].concat());
        assert_eq!((ran.code, &*ran.err), (0, ""), "{verb}");
        lines(&ran.out)
    }
}

/// Runs the program with no terminal and no variables.
fn run(arguments: &[&str], input: &str) -> Ran {
    run_in(&[], arguments, input)
}

fn run_in(variables: &[(&str, &str)], arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may end without reading.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn handle(id: SessionId) -> String {
    Handle::from(id).to_string()
}
