//! Installs and downloads packages.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Downloads packages and those that they need and that are not installed. Needs no rights: if the system's package
/// lists are missing or old, it fetches them into `home`.
pub(crate) fn download(packages: &[&str], into: &Path, home: &Path) -> Result<()> {
    download_with(packages, into, &[]).or_else(|first| {
        let own = own_lists(home)?;
        run(Command::new("apt-get").args(&own).args(["update", "-qq"]))
            .and_then(|_| download_with(packages, into, &own))
            .map_err(|second| Error::other(format!("{first}; with its own package lists: {second}")))
    })
}

/// As [`download`], from Debian's backports too. The system's own lists of packages stay as they are.
pub(crate) fn download_backport(packages: &[&str], into: &Path, home: &Path) -> Result<()> {
    let (address, codename) = repository()?;
    download_with(packages, into, &other_sources(home, &format!("deb {address} {codename}-backports main"))?)
}

/// Downloads and unpacks packages of another release of the system's Debian, without those that they need. Needs no
/// rights. Returns the directories of their libraries.
///
/// # Errors
/// apt-get or dpkg is missing, the repository has no such release, or the download fails.
pub fn unpack_release(release: &str, packages: &[&str], home: &Path) -> Result<Vec<PathBuf>> {
    let own = other_sources(home, &format!("deb {} {release} main", repository()?.0))?;
    let (into, root) = (home.join("packages"), home.join("libraries"));
    std::fs::create_dir_all(&into)?;
    run(Command::new("apt-get").args(&own).args(["download", "-qq"]).args(packages).current_dir(&into))?;
    for package in std::fs::read_dir(&into)? {
        run(Command::new("dpkg").arg("-x").arg(package?.path()).arg(&root))?;
    }
    for used in [into, home.join("apt")] {
        std::fs::remove_dir_all(used)?;
    }
    let mut libraries = Vec::new();
    directories_of_libraries(&root, &mut libraries)?;
    Ok(libraries)
}

/// The address and the release of the system's first repository.
fn repository() -> Result<(String, String)> {
    let targets = ["indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"];
    let repositories = run(Command::new("apt-get").args(targets))?;
    let first = repositories.lines().next().and_then(|line| line.split_once(' '));
    let (address, release) = first.ok_or_else(|| Error::other("apt-get knows no repository"))?;
    Ok((address.to_owned(), release.to_owned()))
}

/// Options that make apt use this source too, with lists of its own, which it fetches.
fn other_sources(home: &Path, source: &str) -> Result<Vec<String>> {
    let mut own = own_lists(home)?;
    let sources = home.join("apt/other.list");
    std::fs::write(&sources, format!("{source}\n"))?;
    own.extend(["-o".to_owned(), format!("Dir::Etc::SourceList={}", sources.display())]);
    run(Command::new("apt-get").args(&own).args(["update", "-qq"]))?;
    Ok(own)
}

/// The directories that contain a shared library.
pub(crate) fn directories_of_libraries(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
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
        found.push(directory.to_owned());
    }
    Ok(())
}

fn download_with(packages: &[&str], into: &Path, options: &[String]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Without `--reinstall` it lists no package that is installed.
    command.args(options).args(["install", "--simulate", "-qq", "--reinstall", "--no-install-recommends"]);
    let said = run(command.args(packages))?;
    let names = said.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    // The C library must be the one of the running system's loader.
    let names = names.filter(|name| *name != "libc6");
    let mut command = Command::new("apt-get");
    run(command.args(options).args(["download", "-qq"]).args(names).current_dir(into)).map(drop)
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

/// The output of a command, or an error with its reason.
///
/// # Errors
/// The program is missing or fails.
pub fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| Error::new(error.kind(), format!("{name}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // apt-get prints warnings too; its error begins with `E:`. Other programs explain an error in several lines.
    let why = said.lines().find(|line| line.starts_with("E:")).unwrap_or(said.trim());
    Err(Error::other(format!("{name}: {}", if why.is_empty() { "failed" } else { why })))
}
