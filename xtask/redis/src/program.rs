//! Finds or fetches redis-server.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use xtask_debian::Programs;

// In Debian the server is a link to a program of redis-tools, which acts by its name.
const REDIS: Programs = Programs {
    packages: &["redis-server", "redis-tools"],
    programs: &[("redis-server", "usr/bin/redis-server")],
};

/// The variable of the environment that names the server's program.
const CHOICE: &str = "SESSION_KIT_REDIS_SERVER";

/// The variable of the environment that names the engine in the results of a suite.
const ENGINE: &str = "SESSION_KIT_REDIS_ENGINE";

/// The name of the engine in a suite: `SESSION_KIT_REDIS_ENGINE`, or `redis`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "`cargo xtask conformance` chooses the server")]
pub fn engine() -> String {
    std::env::var(ENGINE).unwrap_or_else(|_| "redis".to_owned())
}

/// The program of the servers: the path in `SESSION_KIT_REDIS_SERVER`, or `redis-server` on the path, or Debian's
/// package. The package is installed where this process has the right to, or else unpacked under
/// `target/redis-server`.
///
/// # Errors
/// Where none of these works; the error names the package to install and what was tried.
pub fn program() -> Result<&'static Path> {
    static FOUND: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "`cargo xtask conformance --server` chooses the server")]
    let choose = || std::env::var_os(CHOICE).map_or_else(usual, |path| Ok(PathBuf::from(path)));
    let found = FOUND.get_or_init(|| choose().map_err(|error| error.to_string()));
    found.as_deref().map_err(|error| Error::other(error.clone()))
}

/// As [`program`], whatever the environment says.
pub(crate) fn usual() -> Result<PathBuf> {
    REDIS.find().map(first)
}

/// Unpacks the package in `home`, which needs no rights.
///
/// # Errors
/// apt-get or dpkg is missing, the download fails, or a library is missing.
pub fn unpack(home: &Path) -> Result<PathBuf> {
    REDIS.unpack(home).map(first)
}

pub(crate) fn first(programs: Vec<PathBuf>) -> PathBuf {
    programs.into_iter().next().unwrap_or_default()
}
