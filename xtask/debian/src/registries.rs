//! Packages of Python and Node for tests, from their registries.

use std::fs::{self, File};
use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::Command;

use crate::apt::run;
use crate::programs::in_target;

/// A folder for `PYTHONPATH` with these packages, each as `name==version`. The first call with this Python installs them.
///
/// # Errors
/// `python3` or its pip is missing, or the registry cannot be reached.
pub fn pip(packages: &[&str]) -> Result<PathBuf> {
    let version = run(Command::new("python3").arg("-V"))?.trim().replace(' ', "-");
    once(&format!("{version}/{}", packages.join("+")), |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        run(pip.arg(folder).args(packages)).map(drop)
    })
}

/// A folder whose `node_modules` has these packages, each as `name@version`. The first call installs them, without their
/// scripts.
///
/// # Errors
/// Node or npm is missing, or the registry cannot be reached.
pub fn npm(packages: &[&str]) -> Result<PathBuf> {
    let version = run(Command::new("node").arg("--version"))?.trim().to_owned();
    once(&format!("Node-{version}/{}", packages.join("+").replace('/', "-")), |folder| {
        fs::write(folder.join("package.json"), r#"{"private":true}"#)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]);
        npm.args(["--fetch-retries=1", "--fetch-timeout=20000"]);
        run(npm.args(packages).current_dir(folder)).map(drop)
    })
}

/// A folder below the target folder, filled once. Other test programs wait.
fn once(name: &str, fill: impl FnOnce(&PathBuf) -> Result<()>) -> Result<PathBuf> {
    let folder = in_target("registries").join(name);
    let parent = folder.parent().ok_or_else(|| Error::other("folder without a parent"))?;
    fs::create_dir_all(parent)?;
    let lock = File::create(parent.join("lock"))?;
    lock.lock()?;
    if folder.exists() {
        return Ok(folder);
    }
    // A run that was interrupted leaves it.
    let unfinished = parent.join("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir(&unfinished)?;
    fill(&unfinished)?;
    fs::rename(unfinished, &folder)?;
    Ok(folder)
}
