//! The Redis server that all clauses of this process share.

use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use session_conformance::{HarnessError, HarnessResult};
use xtask_redis::{Options, Server};

/// A database of the server, by its URL.
pub struct Database(pub String);

/// More databases than a run has clauses.
const DATABASES: &str = "2000";

fn server() -> HarnessResult<&'static Server> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    let options = || Options::new().set("databases", DATABASES);
    let server = SERVER.get_or_init(|| Server::start(options()).map_err(|error| error.to_string()));
    server.as_ref().map_err(HarnessError::new)
}

impl Database {
    /// An empty one.
    pub fn create() -> HarnessResult<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let url = server()?.url();
        Ok(Self(format!("{}/{}", url.trim_end_matches('/'), NEXT.fetch_add(1, Ordering::Relaxed))))
    }
}

/// The name and version of the server.
pub fn engine() -> Option<String> {
    let information = server().ok()?.command("INFO server").ok()?;
    let version = information.lines().find_map(|line| line.strip_prefix("redis_version:"))?;
    Some(format!("Redis {}", version.trim()))
}

/// Runs another program with the URL of a server as its argument.
pub fn run(program: &str) -> ExitCode {
    let Ok(server) = server() else { return ExitCode::FAILURE };
    let done = Command::new(program).arg(server.url()).status();
    if done.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
