//! Processes of an unprivileged user, because PostgreSQL and PgBouncer refuse to run as root.

use std::fs::{self, File};
use std::io::{Error, Result, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The user and group of the servers. `None` if this process is not root.
fn user() -> Option<(u32, u32)> {
    // The owner of this is the effective user of this process.
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).unwrap_or((65_534, 65_534)))
}

/// A command of that user.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
    command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    command
}

/// Gives a file or directory to that user.
pub(crate) fn give(path: &Path) -> Result<()> {
    match user() {
        Some((user, group)) => chown(path, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// The output of a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| Error::new(error.kind(), format!("{name}: {error}")))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    } else {
        Err(Error::other(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }
}

/// A running server. Dropping it kills the server.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    watcher: Child,
}

impl Running {
    /// Starts a server and waits until its log has one of these texts.
    pub(crate) fn start(command: &mut Command, log: &Path, directory: &Path, ready: &[&str]) -> Result<Self> {
        // A pipe would fill up and block the server.
        let said = File::create(log)?;
        let mut child = command.stdout(said.try_clone()?).stderr(said).spawn()?;
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
                return Err(Error::other(format!("the server ended ({status}): {}", said.trim())));
            }
            wait(Duration::from_millis(10));
        }
        Err(Error::other("the server was not ready within 60 s"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        run(Command::new("kill").args([signal, &self.id().to_string()])).map(drop)
    }

    /// Waits up to 10 s for the end of the server.
    pub(crate) fn ends(&mut self) -> bool {
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
/// A server in a `static` is never dropped, and a killed test drops nothing.
fn watch(server: &Child, directory: &Path) -> Result<Child> {
    const SCRIPT: &str = r#"trap '' INT TERM HUP; read -r word; kill -9 "$0"; [ "$word" = keep ] || { sleep 1; rm -rf "$1"; }"#;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, &server.id().to_string()]).arg(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, which runs in real time")]
pub(crate) fn wait(time: Duration) {
    std::thread::sleep(time);
}
