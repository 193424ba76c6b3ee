//! The process: pipes, signals and terminals.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use session_kit::DriverExt as _;
use session_kit::session_core::Prefix;

use crate::{PROGRAM, Stage, handle};

async fn crowd() -> Stage {
    let mut stage = Stage::sqlite().await;
    for _ in 0..1_500 {
        stage.session(None).await;
    }
    stage
}

#[tokio::test]
async fn reader_may_leave_early() {
    let stage = crowd().await;
    for format in ["", "--json"] {
        let script = r#"{ "$0" ls "$1" $2; echo "code $?" >&2; } | head -1"#;
        let output = Command::new("sh").args(["-c", script, PROGRAM, &stage.url, format]).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!((out.lines().count(), &*err), (1, "code 0\n"), "{format}");
        assert!(out.contains(stage_handle(&out)), "{out}");
    }
    assert_eq!(stage.run("ls", &[]).out.lines().count(), 1_500);
}

/// The text of 43 characters that a line of `ls` has.
fn stage_handle(line: &str) -> &str {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    line.split(|letter| !is_part(letter)).find(|word| word.len() == 43).expect("a handle")
}

#[tokio::test]
async fn signal_ends_between_two_records() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut stage = Stage::sqlite().await;
        let (first, second) = (stage.session(None).await, stage.session(None).await);
        let mut child = Command::new(PROGRAM)
            .args(["end", &stage.url, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        writeln!(input, "{}", handle(first)).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), format!("{}  ended", handle(first)));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(lines.next().is_none());
        drop(input);
        assert!(!stage.lives(first).await && stage.lives(second).await);
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert_eq!(error, "");
    }
}

#[tokio::test]
async fn signal_ends_a_bench_that_removes_its_records() {
    let stage = Stage::sqlite().await;
    let bench = Prefix::new("bench").unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["bench", &stage.url, "--records", "1000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while stage.sessions.driver().count(&bench).await.unwrap() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "the bench has ended");
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (Some(143), &b""[..], &b""[..]));
    assert_eq!(stage.sessions.driver().count(&bench).await.unwrap(), 0);
}

/// A terminal: the side that reads what it shows, and the side for the program.
pub(crate) fn terminal() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (master, terminal)
}

/// Runs the program with a terminal as standard error, and returns what the terminal got.
fn on_terminal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (master, terminal) = terminal();
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(terminal))
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    // Ends with an error when the last holder of the terminal has ended.
    let _ = File::from(master).read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8_lossy(&shown).into_owned()
}

#[tokio::test]
async fn terminal_shows_progress_and_a_pipe_does_not() {
    let stage = crowd().await;
    for verb in ["count", "ls", "stat"] {
        let shown = on_terminal(&[verb, &stage.url], &[]);
        assert!(shown.contains("sessions") || shown.contains("records"), "{verb}: {shown:?}");
        assert_eq!(stage.run(verb, &[]).err, "", "{verb}");
    }
    assert!(on_terminal(&["bench", &stage.url, "--records", "500"], &[]).contains("/2,000"));
}

#[test]
fn no_color_leaves_colors_out() {
    assert!(on_terminal(&["ls", "nothing"], &[]).contains("\u{1b}["));
    assert!(on_terminal(&["ls"], &[]).contains("\u{1b}["));
    for arguments in [&["ls", "nothing"][..], &["ls"]] {
        let shown = on_terminal(arguments, &[("NO_COLOR", "1")]);
        assert!(shown.contains("error:") && !shown.contains('\u{1b}'), "{shown:?}");
    }
}
