//! Other programs that run until this one has used them.

use std::fs::{File, read_to_string};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::{Result, cargo};

/// How long a server may take to start. Ends a hanging start, and affects no result.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// What followed the prefix in its first such line.
    pub(crate) said: String,
}

impl Server {
    /// Starts a server and waits until it prints a line with this prefix. Its stderr goes to the log.
    pub(crate) fn start(command: &mut Command, log: &Path, prefix: &'static str) -> Result<Self> {
        let errors = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", cargo::text(command)))?;
        let output = child.stdout.take().ok_or("the server has no stdout")?;
        let (sender, receiver) = mpsc::channel();
        // Keeps reading after the line, so that the server never blocks on a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                if let Some(said) = line.strip_prefix(prefix) {
                    // The receiver may have timed out.
                    let _ = sender.send(said.trim().to_owned());
                }
            }
        });
        match receiver.recv_timeout(TIMEOUT) {
            Ok(said) => Ok(Self { child, said }),
            Err(_) => {
                end(&mut child);
                let said = read_to_string(log).unwrap_or_default();
                let lines: Vec<_> = said.lines().collect();
                let tail = lines[lines.len().saturating_sub(20)..].join("\n");
                Err(format!("{} did not start; its log:\n{tail}", cargo::text(command)).into())
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills and reaps the process, which may have ended already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
