//! A running program.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Browser;

/// A program that prints its address, in a directory of its own. Dropping it kills the program.
pub struct Application {
    program: String,
    directory: TempDir,
    child: Child,
    address: SocketAddr,
}

impl Application {
    pub(crate) fn start(program: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (child, address) = spawn(program, &directory);
        Self { program: program.to_owned(), directory, child, address }
    }

    /// Kills it with SIGKILL, and starts it again in its directory.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.address) = spawn(&self.program, &self.directory);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.address)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &str, directory: &TempDir) -> (Child, SocketAddr) {
    let mut command = Command::new(program);
    let mut child = command.current_dir(directory).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (
        child,
        line.trim().parse().unwrap_or_else(|_| panic!("{program} printed {line:?} instead of its address")),
    )
}
