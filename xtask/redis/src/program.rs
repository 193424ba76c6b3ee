//! Finds or fetches redis-server.

use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program `redis-server`: on the path, or from Debian's package. The package is installed where this process has
/// the right to, or else unpacked under `target/redis-server`.
///
/// # Errors
/// Where none of these works; the error names the package to install and what was tried.
pub fn program() -> Result<&'static Path> {
    static FOUND: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find(&home()).map_err(|error| error.to_string()));
    found.as_deref().map_err(|error| Error::other(error.clone()))
}

/// As [`program`], with the directory for unpacking the package.
fn find(home: &Path) -> Result<PathBuf> {
    if let Some(path) = on_path() {
        return Ok(path);
    }
    std::fs::create_dir_all(home)?;
    // Several test programs may run at once. One installs while the others wait.
    let lock = File::create(home.join("lock"))?;
    lock.lock()?;
    if let Some(path) = on_path().or_else(|| unpacked(home)) {
        return Ok(path);
    }
    let mut reasons = Vec::new();
    let install = |_: &Path| {
        install(&["redis-server"])?;
        on_path().ok_or_else(|| Error::other("apt-get installed no redis-server that runs"))
    };
    for attempt in [install, unpack] {
        match attempt(home) {
            Ok(path) => return Ok(path),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(Error::other(format!(
        "redis-server was not found and could not be fetched. Install it so that it is on the path (Debian and Ubuntu, \
         as root: apt-get update && apt-get install redis-server), and run this again. What was tried: {}",
        reasons.join("; ")
    )))
}

fn on_path() -> Option<PathBuf> {
    let path = PathBuf::from("redis-server");
    runs(&path).is_ok().then_some(path)
}

fn unpacked(home: &Path) -> Option<PathBuf> {
    let launcher = home.join("redis-server");
    runs(&launcher).is_ok().then_some(launcher)
}

fn runs(program: &Path) -> Result<()> {
    run(Command::new(program).arg("--version")).map(drop)
}

/// Installs packages of Debian, which needs root.
///
/// # Errors
/// apt-get is missing or fails.
pub fn install(packages: &[&str]) -> Result<()> {
    // Old package lists may be good enough, so a failed update counts only if the installation fails too.
    let update = run(Command::new("apt-get").args(["update", "-qq"]));
    let mut command = Command::new("apt-get");
    command.args(["install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]);
    // At this run level a package does not start its own server.
    command.args(packages).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    run(&mut command).map(drop).map_err(|error| match update {
        Ok(_) => error,
        Err(update) => Error::other(format!("{update}; {error}")),
    })
}

/// Downloads the package, unpacks it, and writes a launcher that finds its libraries. Needs no rights: if the system's
/// package lists are missing or old, it fetches them into `home`.
///
/// # Errors
/// apt-get or dpkg is missing, the download fails, or a library is missing.
pub fn unpack(home: &Path) -> Result<PathBuf> {
    let launcher = home.join("redis-server");
    if launcher.exists() {
        std::fs::remove_file(&launcher)?;
    }
    let (packages, root) = (home.join("packages"), home.join("root"));
    for old in [&packages, &root] {
        if old.exists() {
            std::fs::remove_dir_all(old)?;
        }
    }
    std::fs::create_dir_all(&packages)?;
    if let Err(first) = download(&packages, &[]) {
        let own = own_lists(home)?;
        run(Command::new("apt-get").args(&own).args(["update", "-qq"]))
            .and_then(|_| download(&packages, &own))
            .map_err(|second| Error::other(format!("{first}; with its own package lists: {second}")))?;
    }
    for package in std::fs::read_dir(&packages)? {
        run(Command::new("dpkg").arg("-x").arg(package?.path()).arg(&root))?;
    }
    let mut libraries = Vec::new();
    directories_of_libraries(&root, &mut libraries)?;
    // In Debian the server is a link to the checker program, which acts by its name.
    let program = root.join("usr/bin/redis-server");
    let script =
        format!("#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n", libraries.join(":"), program.display());
    std::fs::write(&launcher, script)?;
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o755))?;
    runs(&launcher).map_err(|error| Error::other(format!("the unpacked server does not run: {error}")))?;
    for used in [packages, home.join("apt")] {
        if used.exists() {
            std::fs::remove_dir_all(used)?;
        }
    }
    Ok(launcher)
}

/// Downloads redis-server and the libraries that its packages depend on, except the C library.
fn download(into: &Path, options: &[String]) -> Result<()> {
    let mut command = Command::new("apt-cache");
    command.args(options).args(["depends", "--important", "redis-server", "redis-tools", "libjemalloc2"]);
    let said = run(&mut command)?;
    let libraries = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let libraries = libraries.filter(|name| name.starts_with("lib") && *name != "libc6");
    let mut command = Command::new("apt-get");
    command.args(options).args(["download", "-qq", "redis-server", "redis-tools"]).args(libraries);
    run(command.current_dir(into)).map(drop)
}

/// Options that make apt keep its lists and caches under `home`.
fn own_lists(home: &Path) -> Result<Vec<String>> {
    let mut options = Vec::new();
    for (name, place) in [("Dir::State::Lists", "apt/lists"), ("Dir::Cache", "apt/cache")] {
        let place = home.join(place);
        std::fs::create_dir_all(place.join("partial"))?;
        options.extend(["-o".to_owned(), format!("{name}={}", place.display())]);
    }
    Ok(options)
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

/// `redis-server` in the target directory, found from the path of the running program, or in `target` for a doctest.
/// Never a directory that other users can write to, because its content is executed.
fn home() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    let target = here.ancestors().find(|path| path.join("CACHEDIR.TAG").exists());
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    target.map_or_else(usual, Path::to_path_buf).join("redis-server")
}

/// The output of a command, or an error with its reason.
fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| Error::new(error.kind(), format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // apt-get prints warnings too; its error begins with `E:`.
    let why = said.lines().find(|line| line.starts_with("E:")).or_else(|| said.lines().last());
    Err(Error::other(format!("{name}: {}", why.unwrap_or("failed"))))
}
