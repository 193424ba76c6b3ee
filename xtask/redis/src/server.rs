//! One server.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use xtask_debian::{Running, free_port};

use crate::nodes::agree_on_shards;

/// Options of a server. Each server has its own port and directory, and no snapshots.
#[derive(Clone, Debug, Default)]
pub struct Options {
    arguments: Vec<String>,
    tls: bool,
    program: Option<PathBuf>,
    /// Variables of `shim.rs`.
    shim: Vec<(&'static str, String)>,
    jemalloc: bool,
}

impl Options {
    /// No further options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A setting of redis.conf.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.arguments.push(format!("--{name}"));
        // Each word is an argument, as in `user alice on …`.
        self.arguments.extend(value.split(' ').map(str::to_owned));
        self
    }

    /// Acknowledged writes survive the server's death: the server answers a write when it is on disk.
    #[must_use]
    pub fn lasting(self) -> Self {
        self.set("appendonly", "yes").set("appendfsync", "always")
    }

    /// The server's program. Default: [`program`](crate::program).
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// A slow disk: each fsync takes this much longer.
    #[must_use]
    pub fn slow_sync(mut self, delay: Duration) -> Self {
        self.shim.push(("SHIM_SYNC_MS", delay.as_millis().to_string()));
        self
    }

    /// The system's jemalloc instead of the allocator that the program is built with, where Debian's `libjemalloc2` is
    /// installed. Redis and Valkey use jemalloc on Linux, and the wheels are built without it.
    #[must_use]
    pub fn jemalloc(mut self) -> Self {
        self.jemalloc = true;
        self
    }

    /// A wrong clock: this much ahead.
    #[must_use]
    pub fn clock_ahead(mut self, ahead: Duration) -> Self {
        self.shim.push(("SHIM_AHEAD_S", ahead.as_secs().to_string()));
        self
    }

    /// TLS only, with a certificate and its key as PEM files. Clients need a certificate only where `clients` names the
    /// file of the authority that signed it.
    #[must_use]
    pub fn tls(mut self, certificate: &Path, key: &Path, clients: Option<&Path>) -> Self {
        self.tls = true;
        let text = |path: &Path| path.display().to_string();
        let ours = self.set("tls-cert-file", &text(certificate)).set("tls-key-file", &text(key));
        match clients {
            Some(authority) => ours.set("tls-ca-cert-file", &text(authority)),
            None => ours.set("tls-auth-clients", "no").set("tls-ca-cert-file", &text(certificate)),
        }
    }
}

/// A running server. Dropping it kills the server and removes its directory; so does the end of this process, even by
/// SIGKILL.
#[derive(Debug)]
pub struct Server {
    running: Option<Running>,
    port: u16,
    options: Options,
    directory: TempDir,
}

/// The distance from a server's port to its cluster bus port.
const BUS: u16 = 10_000;

impl Server {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Errors
    /// redis-server is missing and cannot be fetched, or does not start; the error gives the reason.
    pub fn start(options: Options) -> Result<Self> {
        let mut attempt = 0;
        loop {
            let (port, directory) = (free_port(BUS)?, tempfile::tempdir()?);
            let mut server = Self { running: None, port, options: options.clone(), directory };
            match server.restart() {
                Ok(()) => return Ok(server),
                // Another program took the port or the cluster bus port meanwhile.
                Err(error) if attempt < 20 && error.to_string().contains("Address already in use") => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts a killed server again with its port and directory, and waits until it answers. Kills it first if it runs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        agree_on_shards(self.directory.path())?;
        let mut command = match &self.options.program {
            Some(path) => Command::new(path),
            None => Command::new(crate::program()?),
        };
        if !self.options.shim.is_empty() {
            command.env("LD_PRELOAD", crate::shim::build(self.directory.path())?);
            command.envs(self.options.shim.iter().map(|(name, value)| (name, value)));
        }
        if let Some(library) = jemalloc().filter(|_| self.options.jemalloc) {
            command.env("LD_PRELOAD", library);
        }
        let port = self.port.to_string();
        if self.options.tls {
            command.args(["--port", "0", "--tls-port", &port]);
        } else {
            command.args(["--port", &port]);
        }
        command.args(["--bind", "127.0.0.1", "--save", ""]).arg("--dir").arg(self.directory.path());
        command.args(&self.options.arguments);
        let ready = ["Ready to accept connections"];
        self.running = Some(Running::start(&mut command, &self.log(), self.directory.path(), &ready)?);
        Ok(())
    }

    /// Replaces a server by another program with its port and directory, as an upgrade does.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn replace(&mut self, program: impl Into<PathBuf>) -> Result<()> {
        self.options.program = Some(program.into());
        self.restart()
    }

    /// Kills the server with SIGKILL and keeps its directory for [`restart`](Self::restart).
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Stops the process (SIGSTOP): it neither answers nor refuses.
    ///
    /// # Errors
    /// The program `kill` is missing or fails.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Resumes a paused server.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let running = self.running.as_ref().ok_or_else(|| Error::other("the server is not running"))?;
        running.signal(signal)
    }

    /// The process id; `None` after [`kill`](Self::kill).
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.running.as_ref().map(Running::id)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the server's files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The URL, without password.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("")
    }

    /// The URL for a user, given as `name:password`.
    #[must_use]
    pub fn url_of(&self, who: &str) -> String {
        let scheme = if self.options.tls { "rediss" } else { "redis" };
        let at = if who.is_empty() { "" } else { "@" };
        format!("{scheme}://{who}{at}127.0.0.1:{}", self.port)
    }

    /// Sends a command, as [`command`].
    ///
    /// # Errors
    /// The server does not answer within 30 s.
    pub fn command(&self, words: &str) -> Result<String> {
        command(self.port, words)
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

/// The library of Debian's package `libjemalloc2`, which `redis-server` needs.
fn jemalloc() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join("libjemalloc.so.2")).find(|library| library.is_file())
}

/// Sends a command to the server on a port and returns the first line of the answer, or a whole bulk string. Works
/// without TLS and without a password only.
///
/// # Errors
/// The server does not answer within 30 s.
pub fn command(port: u16, words: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(format!("{words}\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let Some(Ok(length)) = line.trim_end().strip_prefix('$').map(str::parse) else {
        return Ok(line.trim_end().to_owned());
    };
    let mut bulk = vec![0; length];
    reader.read_exact(&mut bulk)?;
    Ok(String::from_utf8_lossy(&bulk).into_owned())
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
