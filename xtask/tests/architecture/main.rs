//! Checks the invariants of ARCHITECTURE.md in the manifests, the sources and the documents.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot read its input has failed")]

mod compatibility;
mod dependencies;
mod documents;
mod language;
mod modules;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of the workspace as text, with the path in the failure.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files with this ending below a folder, except build output.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The folders of the published crates, whose names begin with `session-`.
fn libraries() -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name().unwrap().to_string_lossy().starts_with("session-")
                && path.join("Cargo.toml").is_file()
        })
        .collect();
    found.sort();
    assert!(found.len() >= 4, "found {found:?}");
    found
}
