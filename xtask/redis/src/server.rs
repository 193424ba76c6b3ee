//! One server.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// What a server is started with, beside a port, a directory, and no snapshots.
#[derive(Clone, Debug, Default)]
pub struct Options {
    arguments: Vec<String>,
}

impl Options {
    /// Nothing more.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A setting of redis.conf.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.arguments.push(format!("--{name}"));
        // Of several words, each is an argument: `user alice on …`.
        self.arguments.extend(value.split(' ').map(str::to_owned));
        self
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    watcher: Option<Child>,
    port: u16,
    options: Options,
    directory: TempDir,
}

impl Server {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Errors
    /// There is no redis-server and none could be had, or it does not start; the error says why.
    pub fn start(options: Options) -> Result<Self> {
        let mut last = Error::other("no free port");
        for _ in 0..5 {
            let port = free_port()?;
            let directory = tempfile::tempdir()?;
            let mut server = Self { child: None, watcher: None, port, options: options.clone(), directory };
            match server.restart() {
                Ok(()) => return Ok(server),
                // Somebody may have taken the port meanwhile.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Starts the server again on its port and its directory, after [`kill`](Self::kill).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> Result<()> {
        let mut command = Command::new(crate::program()?);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.arg("--dir").arg(self.directory.path()).args(["--loglevel", "warning"]);
        command.args(&self.options.arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        self.watcher = Some(watch(&child)?);
        self.child = Some(child);
        for _ in 0..500 {
            if let Some(status) =
                self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()?
            {
                let mut said = String::new();
                if let Some(output) = self.child.as_mut().and_then(|child| child.stdout.as_mut()) {
                    output.read_to_string(&mut said)?;
                }
                return Err(Error::other(format!("redis-server ended ({status}): {}", said.trim())));
            }
            if self.answers() {
                return Ok(());
            }
            wait(Duration::from_millis(10));
        }
        Err(Error::other("redis-server did not answer within 5 s"))
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A server that is dead already is as dead as it should be.
            drop(child.kill());
            drop(child.wait());
        }
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            drop(watcher.wait());
        }
    }

    /// Stops the process as a whole (SIGSTOP), so that it neither answers nor refuses; `resume` undoes it.
    ///
    /// # Errors
    /// `kill` is not there, or refuses.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let id =
            self.child.as_ref().map(Child::id).ok_or_else(|| Error::other("the server is not running"))?;
        let status = Command::new("kill").args([signal, &id.to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(Error::other("kill failed")) }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL, without password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn answers(&self) -> bool {
        self.command("PING").is_ok_and(|line| line.starts_with('+') || line.starts_with("-NOAUTH"))
    }

    /// Sends a command of plain words and gives the first line of the answer, or all of a bulk string.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn command(&self, words: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("{words}\r\n").as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(length) =
            line.trim_end().strip_prefix('$').and_then(|length| length.parse::<usize>().ok())
        {
            let mut bulk = vec![0; length];
            reader.read_exact(&mut bulk)?;
            return Ok(String::from_utf8_lossy(&bulk).into_owned());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that kills the server once this one is gone, however it went: its standard input ends then. A server in a
/// `static` is never dropped, and a killed test drops nothing.
fn watch(server: &Child) -> Result<Child> {
    Command::new("sh")
        .args(["-c", "cat >/dev/null; kill -9 \"$0\"", &server.id().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// A port that is free now, and whose cluster bus port (10,000 above) is a port too.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::other("no free port below 55,000"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process is waited for, whose time no clock of ours moves"
)]
pub(crate) fn wait(time: Duration) {
    std::thread::sleep(time);
}
