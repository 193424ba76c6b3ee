//! The shop as a separate process.

use std::fs::{File, read_to_string};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::{Result, cargo};

/// How long the shop may take to listen. Ends a hanging start, and affects no result.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Builds the shop and returns the path of the program.
///
/// After a run of all tests it is built with the features of the whole workspace, because its dependencies have just been
/// compiled with them; the example adds the features of the tests. Otherwise the shop is built alone.
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

/// The URL of an SQLite store in this directory, which is created if it is missing.
pub(crate) fn sqlite_in(directory: &Path) -> String {
    let mut url = String::from("sqlite://");
    for byte in directory.join("sessions.db").as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' => url.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url + "?create_directory=true"
}

/// The command that starts the shop.
pub(crate) fn command(program: &Path, store: &str, port: u16) -> Command {
    let mut command = Command::new(program);
    command.arg("--store").arg(store).arg("--port").arg(port.to_string()).current_dir(cargo::root());
    command
}

/// A running shop. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Shop {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Shop {
    /// Starts the shop on a free port and waits until it listens. Its stderr goes to a file beside its data.
    pub(crate) fn start(program: &Path, data: &Path) -> Result<Self> {
        let log = data.with_extension("log");
        let errors = File::options().create(true).append(true).open(&log)?;
        let mut child = command(program, &sqlite_in(data), 0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()?;
        let output = child.stdout.take().ok_or("the shop has no stdout")?;
        let (sender, receiver) = mpsc::channel();
        // Keeps reading after the address, so that the shop never blocks on a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    // The receiver may have timed out.
                    let _ = sender.send(address.trim().to_owned());
                }
            }
        });
        match receiver.recv_timeout(TIMEOUT) {
            Ok(address) => Ok(Self { child, address: address.parse()? }),
            Err(_) => {
                end(&mut child);
                let said = read_to_string(&log).unwrap_or_default();
                let lines: Vec<_> = said.lines().collect();
                let tail = lines[lines.len().saturating_sub(20)..].join("\n");
                Err(format!("the shop does not listen; its log:\n{tail}").into())
            }
        }
    }

    /// Kills the shop with SIGKILL.
    pub(crate) fn kill(mut self) {
        end(&mut self.child);
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills and reaps the process, which may have ended already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_a_directory_is_percent_encoded() {
        let url = sqlite_in(Path::new("/data/my shop?"));
        assert_eq!(url, "sqlite:///data/my%20shop%3F/sessions.db?create_directory=true");
    }
}
