//! PgBouncer in front of a server.

use std::fs;
use std::io::Result;

use tempfile::TempDir;
use xtask_debian::{Running, free_port};

use crate::Server;
use crate::process::{command, give};
use crate::program::bouncer;

/// A running PgBouncer in transaction mode. Dropping it kills it.
#[derive(Debug)]
pub struct Bouncer {
    _running: Running,
    port: u16,
    _directory: TempDir,
}

impl Bouncer {
    /// Starts PgBouncer for these users of a server, with at most two connections to it, so that consecutive statements
    /// of a client use different ones.
    ///
    /// # Errors
    /// pgbouncer is missing and cannot be fetched, or does not start.
    pub fn start(server: &Server, users: &[&str]) -> Result<Self> {
        let (port, directory) = (free_port(0)?, tempfile::tempdir()?);
        give(directory.path())?;
        let (list, settings) = (directory.path().join("users"), directory.path().join("pgbouncer.ini"));
        fs::write(&list, users.iter().map(|user| format!("\"{user}\" \"\"\n")).collect::<String>())?;
        fs::write(
            &settings,
            format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\nmax_client_conn = 500\n\
                 default_pool_size = 2\nserver_round_robin = 1\n",
                server.port(),
                list.display()
            ),
        )?;
        let log = directory.path().join("log");
        let mut command = command(bouncer()?);
        let running = Running::start(command.arg(&settings), &log, directory.path(), &["process up"])?;
        Ok(Self { _running: running, port, _directory: directory })
    }

    /// The URL of the database `postgres` for a user.
    #[must_use]
    pub fn url_of(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/postgres", self.port)
    }
}
