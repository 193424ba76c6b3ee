//! Runs cargo.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Cargo's target directory.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    let path = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    Ok(PathBuf::from(path))
}

/// The arguments for a crate in a workspace of its own, which shares the target directory.
pub(crate) fn standalone(folder: &str) -> Result<[String; 5]> {
    let manifest = root().join(folder).join("Cargo.toml");
    Ok([
        "--locked".into(),
        "--manifest-path".into(),
        manifest.display().to_string(),
        "--target-dir".into(),
        target()?.display().to_string(),
    ])
}

/// A cargo command in the workspace's folder, with the cargo that runs this program.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(option("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// A variable of the environment, unless it is empty.
#[expect(clippy::disallowed_methods, reason = "cargo passes its path and a developer may pass a directory")]
pub(crate) fn option(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Prints the command, runs it, and fails if it fails. With `quiet_stdout` its output goes to stderr, because stdout
/// is for data.
pub(crate) fn run(command: &mut Command, quiet_stdout: bool) -> Result {
    show(command);
    if quiet_stdout {
        command.stdout(Stdio::from(std::io::stderr()));
    }
    let status = command.status().map_err(|error| format!("{}: {error}", text(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", text(command)).into()) }
}

/// Prints the command.
pub(crate) fn show(command: &Command) {
    eprintln!("$ {}", text(command));
}

/// The command as a user would type it, without the path of its program.
pub(crate) fn text(command: &Command) -> String {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The output of `cargo metadata` for the packages of the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let output = cargo(["metadata", "--format-version=1", "--no-deps"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("cargo metadata failed".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A program that cargo has built.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// The name of its target.
    pub(crate) name: String,
    /// The folder of its package, in which cargo would start it.
    pub(crate) folder: PathBuf,
    /// Whether it runs tests.
    pub(crate) tests: bool,
}

impl Program {
    /// The name of the package's folder.
    pub(crate) fn package(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn read(message: &Value) -> Option<Self> {
        Some(Self {
            path: message["executable"].as_str()?.into(),
            name: message["target"]["name"].as_str()?.to_owned(),
            folder: Path::new(message["manifest_path"].as_str()?).parent()?.to_owned(),
            tests: message["profile"]["test"].as_bool()?,
        })
    }
}

/// Runs a cargo command that builds, and returns the programs that it built.
pub(crate) fn build<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Vec<Program>> {
    let mut command = cargo(arguments);
    show(&command);
    let output = command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{} failed ({})", text(&command), output.status).into());
    }
    let mut programs = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        programs.extend(Program::read(&serde_json::from_str(line)?));
    }
    Ok(programs)
}

/// As [`build`], for one program.
pub(crate) fn build_one(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let programs = build(arguments)?.into_iter().filter(|program| program.name == name && !program.tests);
    Ok(programs.map(|program| program.path).next_back().ok_or_else(|| format!("cargo built no {name}"))?)
}
