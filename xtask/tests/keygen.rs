//! `cargo xtask keygen`, on real files and by real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets an error has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use session_state_cookie::KeyRing;

/// A directory of its own for a test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("session-kit-keygen-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn keygen(ring: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("keygen").arg("--ring").arg(ring).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn succeeds(ring: &Path) {
    let output = keygen(ring).output().unwrap();
    assert!(output.status.success(), "{}", error(&output));
}

fn fails(ring: &Path) -> String {
    let output = keygen(ring).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    error(&output)
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn keys(ring: &Path) -> usize {
    KeyRing::from_file(ring).unwrap().len()
}

#[test]
fn ring_grows_in_front_and_stays_valid() {
    let directory = Directory::new("grows");
    let ring = directory.file("keys.txt");
    let mut older = String::new();
    for count in 1..=KeyRing::MAX_KEYS {
        succeeds(&ring);
        let text = fs::read_to_string(&ring).unwrap();
        assert_eq!(keys(&ring), count);
        assert!(text.ends_with(&older), "older keys keep their order");
        older = text;
    }
    assert!(fails(&ring).contains("at most 8 keys"));
    assert_eq!(fs::read_to_string(&ring).unwrap(), older);
    fs::write(&ring, "no key").unwrap();
    assert!(fails(&ring).contains("session-key-1:"));
    assert_eq!(directory.names(), ["keys.txt"], "a run that fails leaves nothing behind");
}

#[test]
fn key_without_a_ring_is_printed() {
    let print = || Command::new(env!("CARGO_BIN_EXE_xtask")).arg("keygen").output().unwrap();
    let (one, other) = (print(), print());
    assert!(one.status.success() && one.stderr.is_empty(), "{}", error(&one));
    let text = String::from_utf8(one.stdout).unwrap();
    assert_eq!((text.lines().count(), KeyRing::from_text(&text).unwrap().len()), (1, 1));
    assert_ne!(text.into_bytes(), other.stdout);
}

/// All processes start before the first ends, and each key of a process that succeeds is in the ring.
#[test]
fn parallel_runs_lose_no_key() {
    let directory = Directory::new("parallel");
    for round in 0..6 {
        let ring = directory.file(&format!("ring-{round}"));
        let runs: Vec<_> = (0..KeyRing::MAX_KEYS).map(|_| keygen(&ring).spawn().unwrap()).collect();
        let outputs: Vec<_> = runs.into_iter().map(|run| run.wait_with_output().unwrap()).collect();
        let (added, refused): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.status.success());
        assert!(!added.is_empty());
        assert_eq!(keys(&ring), added.len());
        assert!(refused.iter().all(|output| error(output).contains("another run changes the ring")));
    }
    assert_eq!(directory.names().len(), 6);
}

#[test]
fn file_of_an_interrupted_run_is_an_error_with_a_remedy() {
    let directory = Directory::new("interrupted");
    let (ring, left) = (directory.file("keys.txt"), directory.file("keys.txt.new"));
    succeeds(&ring);
    fs::write(&left, "half of a ri").unwrap();
    let error = fails(&ring);
    assert!(error.contains("keys.txt.new exists") && error.contains("remove this file"), "{error}");
    assert_eq!((keys(&ring), fs::read_to_string(&left).unwrap().as_str()), (1, "half of a ri"));
    // Another ring with the same stem has a lock of its own.
    succeeds(&directory.file("keys.old"));
    fs::remove_file(&left).unwrap();
    succeeds(&ring);
    assert_eq!(keys(&ring), 2);
}

#[cfg(unix)]
#[test]
fn mode_and_owner_are_kept() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let directory = Directory::new("mode");
    let ring = directory.file("keys");
    let access = || {
        let found = fs::metadata(&ring).unwrap();
        (found.mode() & 0o7777, found.uid(), found.gid())
    };
    succeeds(&ring);
    assert_eq!(access().0, 0o600, "a new ring");
    fs::set_permissions(&ring, fs::Permissions::from_mode(0o640)).unwrap();
    // Only root can give a file away; other users test the mode.
    let _ = chown(&ring, Some(4_711), Some(4_712));
    let before = access();
    succeeds(&ring);
    assert_eq!((access(), keys(&ring)), (before, 2));
}

#[cfg(unix)]
#[test]
fn link_stays_a_link() {
    use std::os::unix::fs::symlink;
    let directory = Directory::new("link");
    fs::create_dir(directory.file("secrets")).unwrap();
    let (ring, link) = (directory.file("secrets/ring"), directory.file("ring"));
    symlink("secrets/ring", &link).unwrap();
    assert!(fails(&link).contains("link points to no file"));
    succeeds(&ring);
    succeeds(&link);
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("secrets/ring"));
    assert_eq!((keys(&ring), directory.names()), (2, vec!["ring".to_owned(), "secrets".to_owned()]));
}
