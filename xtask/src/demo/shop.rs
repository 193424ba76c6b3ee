//! The shop as a process of its own: started, waited for, killed.

use std::fs::{File, read_to_string};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::{Result, cargo};

/// How long the shop may take until it listens. This ends a hanging start, and decides nothing else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds the shop and says where the program is.
///
/// After a run of all tests it is built with the features of the whole workspace, for what it depends on has just been
/// compiled with these; the example is named because it brings in the features of the tests. By itself, the shop is
/// built with what it needs.
pub(crate) fn build(after_all_tests: bool) -> Result<PathBuf> {
    if after_all_tests {
        cargo::build_one(
            "shop",
            &["build", "--workspace", "--all-features", "--bin", "shop", "--example", "matrix"],
        )
    } else {
        cargo::build_one("shop", &["build", "--package", "shop"])
    }
}

/// The command that starts the shop.
pub(crate) fn command(program: &Path, data: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.arg("--data").arg(data).arg("--port").arg(port.to_string()).current_dir(cargo::root());
    command
}

/// A running shop. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Shop {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Shop {
    /// Starts it on a free port of its own choice and waits until it says that it listens. What it writes to stderr goes
    /// to a file beside its data.
    pub(crate) fn start(program: &Path, data: &Path) -> Result<Self> {
        let log = data.with_extension("log");
        let errors = File::options().create(true).append(true).open(&log)?;
        let mut child =
            command(program, data, 0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn()?;
        let output = child.stdout.take().ok_or("the shop has no stdout")?;
        let (sender, receiver) = mpsc::channel();
        // Reads on after the address, so that the shop never blocks on a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    // Nobody may be waiting any longer.
                    let _ = sender.send(address.trim().to_owned());
                }
            }
        });
        match receiver.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Self { child, address: address.parse()? }),
            Err(_) => {
                end(&mut child);
                let said = read_to_string(&log).unwrap_or_default();
                let tail: Vec<_> = said.lines().rev().take(20).collect();
                let tail: Vec<_> = tail.into_iter().rev().collect();
                Err(format!("the shop never said that it listens; it said:\n{}", tail.join("\n")).into())
            }
        }
    }

    /// SIGKILL: the process gets no chance to write anything more.
    pub(crate) fn kill(mut self) {
        end(&mut self.child);
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills and reaps; one that has ended already is fine.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
