//! One server.

use std::fs;
use std::io::{Error, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use xtask_debian::{Running, free_port, run, wait};

use crate::process::{command, give};
use crate::program::programs;

/// Settings of a server. Each server has its own port and directory, trusts all local users, and has the superuser
/// `postgres`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    /// Files of the database cluster. The server's user must own the key.
    files: Vec<(&'static str, String)>,
}

impl Options {
    /// No further settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A setting of postgresql.conf.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The rules by which the server accepts clients (`pg_hba.conf`), instead of trusting all of this machine.
    #[must_use]
    pub fn accept(mut self, rules: &str) -> Self {
        self.files.push(("pg_hba.conf", rules.to_owned()));
        self
    }

    /// TLS beside clear text, with a certificate and its key as PEM. `authority` signs the certificates of clients.
    #[must_use]
    pub fn tls(mut self, certificate: &str, key: &str, authority: &str) -> Self {
        self = self.set("ssl", "on");
        for (setting, name, pem) in [
            ("ssl_cert_file", "server.crt", certificate),
            ("ssl_key_file", "server.key", key),
            ("ssl_ca_file", "root.crt", authority),
        ] {
            self = self.set(setting, name);
            self.files.push((name, pem.to_owned()));
        }
        self
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

impl Server {
    /// Creates a database cluster, starts its server on a free port, and waits until it accepts connections.
    ///
    /// # Errors
    /// PostgreSQL is missing and cannot be fetched, or does not start; the error gives the reason.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_on(options, |server| {
            let arguments =
                ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-k", "-D"];
            run(command(programs()?.join("initdb")).args(arguments).arg(server.data())).map(drop)
        })
    }

    /// Starts a streaming standby of this server, with its data.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn standby(&self) -> Result<Self> {
        Self::start_on(self.options.clone(), |server| {
            let port = self.port.to_string();
            let arguments =
                ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-R", "-X", "stream", "-c", "fast", "-D"];
            run(command(programs()?.join("pg_basebackup")).args(arguments).arg(server.data())).map(drop)
        })
    }

    fn start_on(options: Options, create: impl Fn(&Self) -> Result<()>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        give(directory.path())?;
        let mut server = Self { running: None, port: free_port(0)?, options, directory };
        create(&server)?;
        for (name, text) in &server.options.files {
            let path = server.data().join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            give(&path)?;
        }
        let mut attempt = 0;
        loop {
            match server.restart() {
                Ok(()) => return Ok(server),
                // Another program took the port meanwhile.
                Err(error) if attempt < 20 && error.to_string().contains("Address already in use") => {
                    server.port = free_port(0)?;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts a killed server again with its port and directory, and waits until it accepts connections. Kills it first
    /// if it runs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        let mut command = command(programs()?.join("postgres"));
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        command.arg("-k").arg(self.directory.path()).args(["-c", "listen_addresses=127.0.0.1"]);
        // 64 tests may share it.
        for setting in ["shared_buffers=32MB", "max_connections=300", "log_min_messages=warning"] {
            command.args(["-c", setting]);
        }
        for (name, value) in &self.options.settings {
            command.args(["-c", &format!("{name}={value}")]);
        }
        // The second one is a standby's.
        let ready = ["is ready to accept connections", "ready to accept read-only connections"];
        let log = self.directory.path().join("log");
        self.running = Some(Running::start(&mut command, &log, self.directory.path(), &ready)?);
        Ok(())
    }

    /// Ends the server without a checkpoint, as a crash does, and keeps its directory for [`restart`](Self::restart).
    /// Unwritten changes are lost.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // SIGQUIT ends the backends too. After SIGKILL they would hold the shared memory for a moment.
            drop(running.signal("-QUIT"));
            running.ends();
        }
    }

    /// Stops the server's process and its backends (SIGSTOP): they neither answer nor refuse.
    ///
    /// # Errors
    /// The program `kill` is missing or fails.
    pub fn pause(&self) -> Result<()> {
        self.signal_all("-STOP")
    }

    /// Resumes a paused server.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn resume(&self) -> Result<()> {
        self.signal_all("-CONT")
    }

    fn signal_all(&self, signal: &str) -> Result<()> {
        let running = self.running.as_ref().ok_or_else(|| Error::other("the server is not running"))?;
        running.signal(signal)?;
        for child in children(running.id())? {
            // A backend may have ended meanwhile.
            drop(run(Command::new("kill").args([signal, &child.to_string()])));
        }
        Ok(())
    }

    /// Makes a standby the primary, and waits until it accepts changes.
    ///
    /// # Errors
    /// The server does not answer, or it is a primary already.
    pub fn promote(&self) -> Result<()> {
        self.sql("SELECT pg_promote()").map(drop)
    }

    /// Waits until the standby has what this server has written.
    ///
    /// # Errors
    /// The standby does not follow within half a minute.
    pub fn until_followed(&self) -> Result<()> {
        for _ in 0..3_000 {
            let behind = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()";
            if self.sql(behind)? != "0" {
                return Ok(());
            }
            wait(Duration::from_millis(10));
        }
        Err(Error::other("the standby did not follow within 30 s"))
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The id of the server's first process, if it runs. The processes of its connections are children of this one.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.running.as_ref().map(Running::id)
    }

    /// The directory of the database cluster.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The URL of the database `postgres` for a user.
    #[must_use]
    pub fn url_of(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/postgres", self.port)
    }

    /// The URL of the database `postgres` for the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Runs SQL as [`sql`].
    ///
    /// # Errors
    /// The server does not answer or refuses.
    pub fn sql(&self, text: &str) -> Result<String> {
        sql(self.port, text)
    }

    /// Gives a file or directory to the user of the server's process.
    ///
    /// # Errors
    /// The path does not exist.
    pub fn give(path: &Path) -> Result<()> {
        give(path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs SQL as the superuser, in one transaction, and returns the rows as text.
///
/// # Errors
/// The server does not answer or refuses.
pub fn sql(port: u16, text: &str) -> Result<String> {
    let port = port.to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-X", "-A", "-t", "-q"];
    let mut psql = Command::new(programs()?.join("psql"));
    psql.args(arguments).args(["-v", "ON_ERROR_STOP=1", "-c", text, "postgres"]);
    Ok(run(&mut psql)?.trim_end().to_owned())
}

fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name of the program is in parentheses and may contain spaces.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        if fields.split_whitespace().nth(1) == Some(&parent.to_string()) {
            found.push(id);
        }
    }
    Ok(found)
}
