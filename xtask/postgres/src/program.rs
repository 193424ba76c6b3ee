//! Finds or fetches the programs of PostgreSQL.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use xtask_debian::{Programs, in_target, install};

/// For a process without the right to install. The version is that of Debian 12.
const UNPACKED: Programs = Programs {
    packages: &["postgresql-15", "postgresql-client-15"],
    programs: &[
        ("postgres", "usr/lib/postgresql/15/bin/postgres"),
        ("initdb", "usr/lib/postgresql/15/bin/initdb"),
        ("pg_basebackup", "usr/lib/postgresql/15/bin/pg_basebackup"),
        ("psql", "usr/lib/postgresql/15/bin/psql"),
    ],
};

const BOUNCER: Programs =
    Programs { packages: &["pgbouncer"], programs: &[("pgbouncer", "usr/sbin/pgbouncer")] };

/// The directory with `postgres`, `initdb`, `pg_basebackup` and `psql`: Debian's, or on the path, or from Debian's
/// package. The package is installed where this process has the right to, or else unpacked in the target directory.
///
/// # Errors
/// Where none of these works; the error names the package to install and what was tried.
pub fn programs() -> Result<&'static Path> {
    static FOUND: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find().map_err(|error| error.to_string()));
    found.as_deref().map_err(|error| Error::other(error.clone()))
}

/// The path of PgBouncer.
pub(crate) fn bouncer() -> Result<PathBuf> {
    BOUNCER.find()?.into_iter().next().ok_or_else(|| Error::other("pgbouncer was not found"))
}

fn find() -> Result<PathBuf> {
    if let Some(found) = present() {
        return Ok(found);
    }
    let home = in_target("postgresql");
    fs::create_dir_all(&home)?;
    // Several test programs may run at once. One installs while the others wait.
    let lock = fs::File::create(home.join("lock"))?;
    lock.lock()?;
    let unpacked = home.join("unpacked");
    if let Some(found) = present().or_else(|| is_complete(&unpacked).then(|| unpacked.clone())) {
        return Ok(found);
    }
    let installed = install(&["postgresql"])
        .and_then(|()| present().ok_or_else(|| Error::other("apt-get installed no PostgreSQL server")));
    installed.or_else(|installed| {
        fs::create_dir_all(&unpacked)?;
        UNPACKED.unpack(&unpacked).map(|_| unpacked.clone()).map_err(|error| {
            Error::other(format!(
                "PostgreSQL was not found and could not be fetched. Install it (Debian and Ubuntu, as root: apt-get \
                 update && apt-get install postgresql), and run this again. What was tried: {installed}; {error}"
            ))
        })
    })
}

/// Debian keeps the programs of each version in a directory of its own, which is not on the path.
fn present() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort_by_key(|path| {
        path.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse::<u32>().ok())
    });
    #[expect(clippy::disallowed_methods, reason = "looks for installed programs")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.into_iter().rev().chain(std::env::split_paths(&path)).find(|path| is_complete(path))
}

fn is_complete(directory: &Path) -> bool {
    UNPACKED.programs.iter().all(|(name, _)| directory.join(name).is_file())
}
