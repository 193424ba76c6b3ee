//! Calling cargo.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;

/// The folder of the workspace, wherever the command was typed.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The folder for what the chores leave behind; `cargo clean` removes it.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    let path = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    Ok(PathBuf::from(path))
}

/// A cargo command in the workspace's folder, with the very cargo that runs us.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(option("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// What the environment says, if anything.
#[expect(clippy::disallowed_methods, reason = "a developer's tool may be told things by its environment")]
pub(crate) fn option(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Shows the command, runs it to its end, and fails if it does. What it prints goes to stderr where `quiet_stdout`
/// says that stdout is for something else.
pub(crate) fn run(command: &mut Command, quiet_stdout: bool) -> Result {
    show(command);
    if quiet_stdout {
        command.stdout(Stdio::from(std::io::stderr()));
    }
    let status = command.status().map_err(|error| format!("{}: {error}", text(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", text(command)).into()) }
}

/// Prints the command as one would type it.
pub(crate) fn show(command: &Command) {
    eprintln!("$ {}", text(command));
}

/// The command as one would type it, without the path of its program.
pub(crate) fn text(command: &Command) -> String {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// What `cargo metadata` says of the workspace's own packages.
pub(crate) fn metadata() -> Result<Value> {
    let output = cargo(["metadata", "--format-version=1", "--no-deps"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("cargo metadata failed".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Builds the program `name` of the workspace and says where it is. `arguments` choose what is built.
pub(crate) fn build(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let mut command = cargo(["build", "--message-format=json-render-diagnostics"]);
    command.args(arguments).stderr(Stdio::inherit());
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{} failed ({})", text(&command), output.status).into());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == name)
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .ok_or_else(|| format!("{} built no program {name}", text(&command)).into())
}
