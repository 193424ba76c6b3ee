//! Finding redis-server, or getting it.

use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What Debian's redis-server is made of, beside what every system has.
const PACKAGES: [&str; 6] =
    ["redis-server", "redis-tools", "libjemalloc2", "liblua5.1-0", "liblzf1", "libatomic1"];

/// The program `redis-server`: the one on the path; or Debian's package, installed where this process may; or the
/// same package, unpacked under `target/redis-server`.
///
/// # Errors
/// Where none of this can be done; the error says what to install.
pub fn program() -> Result<&'static Path> {
    static FOUND: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find().map_err(|error| error.to_string()));
    found.as_deref().map_err(|error| Error::other(error.clone()))
}

fn find() -> Result<PathBuf> {
    if let Some(path) = on_path() {
        return Ok(path);
    }
    let home = home();
    std::fs::create_dir_all(&home)?;
    // Test programs run beside each other: one of them installs, and the others find it done.
    let lock = File::create(home.join("lock"))?;
    lock.lock()?;
    let launcher = home.join("redis-server");
    if let Some(path) = on_path().or_else(|| runs(&launcher).then(|| launcher.clone())) {
        return Ok(path);
    }
    let mut reasons = Vec::new();
    for attempt in [install, unpack] {
        match attempt(&home) {
            Ok(path) => return Ok(path),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(Error::other(format!(
        "redis-server was not found and could not be fetched. Install it (Debian: apt-get install redis-server) so that \
         it is on the path, and run this again. What was tried: {}",
        reasons.join("; ")
    )))
}

fn on_path() -> Option<PathBuf> {
    let path = PathBuf::from("redis-server");
    runs(&path).then_some(path)
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn install(_: &Path) -> Result<PathBuf> {
    let update = run(Command::new("apt-get").args(["update", "-qq"]));
    let mut command = Command::new("apt-get");
    command.args(["install", "-y", "-qq", "--no-install-recommends", "redis-server"]);
    // The package would start a server of its own.
    run(command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1")).or_else(|error| {
        update?;
        Err(error)
    })?;
    on_path().ok_or_else(|| Error::other("apt-get installed no redis-server that runs"))
}

/// Needs no rights: downloads the packages, unpacks them, and writes a launcher that finds their libraries.
fn unpack(home: &Path) -> Result<PathBuf> {
    let packages = home.join("packages");
    std::fs::create_dir_all(&packages)?;
    for package in PACKAGES {
        // One that this release of Debian does not know is one that its redis-server does not need.
        let fetched = run(Command::new("apt-get").args(["download", package]).current_dir(&packages));
        if package == "redis-server" {
            fetched?;
        }
    }
    let root = home.join("root");
    for package in std::fs::read_dir(&packages)? {
        run(Command::new("dpkg").arg("-x").arg(package?.path()).arg(&root))?;
    }
    let mut libraries = Vec::new();
    directories_of_libraries(&root, &mut libraries)?;
    // The server is the same program as its checkers, told apart by its name; Debian has the one as a link to the other.
    let program = root.join("usr/bin/redis-server");
    let launcher = home.join("redis-server");
    let libraries = libraries.join(":");
    let script = format!("#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' exec '{}' \"$@\"\n", program.display());
    std::fs::write(&launcher, script)?;
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o755))?;
    if runs(&launcher) { Ok(launcher) } else { Err(Error::other("the unpacked redis-server does not run")) }
}

fn directories_of_libraries(directory: &Path, found: &mut Vec<String>) -> Result<()> {
    let mut holds = false;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            directories_of_libraries(&entry.path(), found)?;
        } else if entry.file_name().to_string_lossy().contains(".so") {
            holds = true;
        }
    }
    if holds {
        found.push(directory.display().to_string());
    }
    Ok(())
}

/// `target/redis-server`, wherever the target directory is: the running program is in it.
fn home() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    let target = here.ancestors().find(|path| path.join("CACHEDIR.TAG").exists());
    target.map_or_else(std::env::temp_dir, Path::to_path_buf).join("redis-server")
}

fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| Error::new(error.kind(), format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(output);
    }
    let last = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{name}: {}", last.lines().last().unwrap_or("failed"))))
}
