//! The program of the READMEs, over a real socket, on SQLite and then on Redis.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};

use ureq::Agent;
use xtask_redis::{Options, Server};

/// The running program. Dropping it kills it.
struct Program {
    process: Child,
    url: String,
}

impl Program {
    fn start(directory: &Path, url: &str) -> Self {
        loop {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut program = Self::spawn(directory, url, &free.to_string());
            if program.answers() {
                return program;
            }
        }
    }

    fn spawn(directory: &Path, url: &str, address: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counter"));
        command.current_dir(directory).args([url, address]);
        Self { process: command.spawn().unwrap(), url: format!("http://{address}/") }
    }

    /// Kills it and starts it on the same port, on which the name of its cookie depends.
    fn restart(self, directory: &Path, url: &str) -> Self {
        let address = self.url["http://".len()..].trim_end_matches('/').to_owned();
        drop(self);
        loop {
            let mut program = Self::spawn(directory, url, &address);
            if program.answers() {
                return program;
            }
        }
    }

    /// False if another process took the port.
    fn answers(&mut self) -> bool {
        while ureq::get(&self.url).call().is_err() {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            pause();
        }
        self.process.try_wait().unwrap().is_none()
    }

    fn visit(&self, browser: &Agent) -> String {
        browser.get(&self.url).call().unwrap().body_mut().read_to_string().unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, which runs in real time")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(10));
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Two browsers count for themselves, also after the program was killed.
fn counts(url: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (Agent::new_with_defaults(), Agent::new_with_defaults());
    let program = Program::start(directory.path(), url);
    assert_eq!(program.visit(&one), "This is visit number 1\n");
    assert_eq!(program.visit(&one), "This is visit number 2\n");
    assert_eq!(program.visit(&two), "This is visit number 1\n");
    let program = program.restart(directory.path(), url);
    assert_eq!(program.visit(&one), "This is visit number 3\n");
    assert_eq!(program.visit(&two), "This is visit number 2\n");
}

#[test]
fn program_counts_in_sqlite() {
    counts("sqlite:sessions.db");
}

#[test]
fn program_counts_in_redis() {
    counts(&Server::start(Options::new()).unwrap().url());
}

#[test]
fn wrong_url_ends_the_program_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_counter"));
    let output = command.current_dir(directory.path()).arg("sqlight:sessions.db").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("did you mean `sqlite`?"), "{said}");
}

#[test]
fn readmes_show_this_program() {
    let (_, program) = include_str!("../src/main.rs").split_once("\n\n").unwrap();
    for readme in [include_str!("../../../README.md"), include_str!("../../../session-kit/README.md")] {
        let (_, block) = readme.split_once("```rust,no_run\n").unwrap();
        assert_eq!(block.split_once("```").unwrap().0, program);
    }
}
