//! Sessions that a real Node writes: its packages are installed below the target folder. Without Node, npm or the registry the
//! test is skipped.
#![allow(clippy::unwrap_used, reason = "a session that is not as expected fails the test")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::same;
use session_conformance::testing::amount;
use session_handover::Bounds;
use session_handover::node::{cookie_session, express, iron_session};

const PACKAGES: [&str; 4] =
    ["express-session@1.19.0", "session-file-store@1.5.0", "cookie-session@2.1.1", "iron-session@8.0.4"];

/// The output of a program, or why it did not run.
fn output(command: &mut Command) -> Result<Output, String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("{:?}: {error}", command.get_program())),
    }
}

/// Installs the packages, once. npm downloads nothing that it has in its cache.
fn install(folder: &Path) -> Result<(), String> {
    let done = folder.join("node_modules/.package-lock.json");
    if done.exists() {
        return Ok(());
    }
    output(Command::new("node").arg("--version"))?;
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    std::fs::write(folder.join("package.json"), r#"{"private":true}"#).map_err(|error| error.to_string())?;
    let options = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"];
    let network = ["--fetch-retries=1", "--fetch-timeout=20000"];
    output(Command::new("npm").args(options).args(network).args(PACKAGES).current_dir(folder)).map(drop)
}

/// A folder of this test run, removed at its end.
struct Sessions(PathBuf);

impl Drop for Sessions {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn sessions_of_a_real_node_are_read_and_written() {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    // Other versions get a folder of their own.
    let packages = target.join(format!("node-packages/{}", PACKAGES.join("+")));
    if let Err(reason) = install(&packages) {
        eprintln!("\x1b[31mSKIPPED: Node's packages could not be installed: {reason}\x1b[0m");
        return;
    }
    let sessions = Sessions(target.join(format!("node-sessions-{}", std::process::id())));
    std::fs::create_dir_all(&sessions.0).unwrap();
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/live/node.cjs");
    let count = amount(300, 10_000).to_string();
    let output = output(Command::new("node").args([&program, &packages, &sessions.0]).arg(count)).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let bounds = Bounds::default();
    let express = express::Cookie::new(["newest secret"]);
    let cookies = cookie_session::Cookie::new(["newest secret"]);
    let iron = iron_session::Cookie::new("iron", &"first password ".repeat(3))
        .and_then(|cookie| cookie.password("2", &"second password ".repeat(3)))
        .unwrap();
    let (mut files, mut sealed, mut signed) = (0, 0, 0);
    for line in text.lines() {
        let [kind, bytes, header, expect] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let expect = serde_json::from_str(expect).unwrap();
        let header = header.as_bytes();
        let value = match kind.split_once(' ') {
            Some((_, id)) => {
                let bytes = hex(bytes);
                assert_eq!(express.session_id(header, &bounds).unwrap(), id);
                let value = express::read(&bytes, &bounds).unwrap();
                let written = express::write(&value).unwrap();
                assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&bytes));
                assert!(express::file_end(&value, 3600.0).is_some());
                files += 1;
                value
            }
            None if kind == "cookie-session" => {
                signed += 1;
                cookies.read(header, &bounds).unwrap()
            }
            None => {
                sealed += 1;
                iron.read(header, 0.0, &bounds).unwrap().value
            }
        };
        same(&expect, &value);
    }
    assert!(files >= 300 && sealed == files && signed > 200, "{files} {sealed} {signed}");
    eprintln!("{files} files read and written back, {signed} signed and {sealed} sealed cookies read");
}

/// Bytes of hexadecimal digits.
fn hex(text: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(digits).collect()
}
