//! Servers that end with the process that started them.

use std::fs::{self, File};
use std::io::{Error, Result, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server. Dropping it kills the server.
#[derive(Debug)]
pub struct Running {
    child: Child,
    watcher: Child,
}

impl Running {
    /// Starts a server with its output in `log`, and waits until the log has one of these texts. An answer on its port
    /// could come from another server that took the port. If this process is killed, the server ends and `directory` is
    /// removed.
    ///
    /// # Errors
    /// The program is missing, ends, or is not ready within a minute; the error has the log.
    pub fn start(command: &mut Command, log: &Path, directory: &Path, ready: &[&str]) -> Result<Self> {
        // A pipe would fill up and block the server.
        let said = File::create(log)?;
        let mut child = command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).spawn()?;
        let watcher = match watch(&child, directory) {
            Ok(watcher) => watcher,
            Err(error) => {
                drop(child.kill());
                drop(child.wait());
                return Err(error);
            }
        };
        let mut running = Self { child, watcher };
        for _ in 0..6_000 {
            let said = fs::read_to_string(log)?;
            if ready.iter().any(|ready| said.contains(ready)) {
                return Ok(running);
            }
            if let Some(status) = running.child.try_wait()? {
                return Err(Error::other(format!(
                    "the server ended ({status}): {}",
                    fs::read_to_string(log)?.trim()
                )));
            }
            wait(Duration::from_millis(10));
        }
        Err(Error::other("the server was not ready within 60 s"))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `-STOP`.
    ///
    /// # Errors
    /// The program `kill` is missing or fails.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("kill").args([signal, &self.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(Error::other("kill failed")) }
    }

    /// Waits up to 10 s for the end of the server, and returns whether it ended.
    pub fn ends(&mut self) -> bool {
        for _ in 0..1_000 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return true;
            }
            wait(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The server may be dead already. It stays a zombie until `wait`, so the watcher cannot kill a new process with
        // the same id, even if this process is killed here.
        drop(self.child.kill());
        if let Some(mut pipe) = self.watcher.stdin.take() {
            drop(pipe.write_all(b"keep\n"));
        }
        drop(self.watcher.wait());
        drop(self.child.wait());
    }
}

/// A process that kills the server and removes its directory when this process ends, which closes its standard input.
/// A server in a `static` is never dropped, and a killed test drops nothing. The kernel's signal at a parent's death
/// would come at the end of the *thread* that started the server. Other processes of the server may write for a moment
/// after its end.
fn watch(server: &Child, directory: &Path) -> Result<Child> {
    const SCRIPT: &str = r#"trap '' INT TERM HUP; read -r word; kill -9 "$0"; [ "$word" = keep ] || { sleep 1; rm -rf "$1"; }"#;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, &server.id().to_string()]).arg(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "waits for another process, which runs in real time")]
pub fn wait(time: Duration) {
    std::thread::sleep(time);
}
