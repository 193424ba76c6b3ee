//! `sessionctl copy --move` with a terminal, on which it shows how far it is.

use std::fs::File;
use std::io::Read as _;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{PROGRAM, process};

/// A running copy. Dropping it kills it.
pub(crate) struct Copier {
    process: Child,
    terminal: File,
    shown: String,
}

impl Copier {
    pub(crate) fn start(old: &str, new: &str) -> Self {
        let (master, terminal) = process::terminal();
        let process = Command::new(PROGRAM)
            .args(["copy", old, "--to", new, "--create", "--move", "--json"])
            .env_clear()
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(terminal))
            .spawn()
            .unwrap();
        Self { process, terminal: File::from(master), shown: String::new() }
    }

    /// Waits until the progress shows so many records, and returns the number that it shows.
    pub(crate) fn wait_for(&mut self, records: u64) -> u64 {
        let mut bytes = [0; 4096];
        loop {
            let number = self.shown.rsplit_once(" records").and_then(|(before, _)| last_number(before));
            if let Some(number) = number.filter(|number| *number >= records) {
                return number;
            }
            // Ends with an error when the last holder of the terminal has ended.
            let length = self.terminal.read(&mut bytes).unwrap_or(0);
            if length == 0 {
                let status = self.process.wait();
                panic!("the copy ended before {records} records: {status:?}: {:?}", self.shown);
            }
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }

    pub(crate) fn kill(mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "the copy ended by itself");
        self.process.kill().unwrap();
        assert_eq!(self.process.wait().unwrap().code(), None, "the copy ended by itself");
    }

    /// Sends a signal, and waits for the end.
    pub(crate) fn end_by(mut self, signal: Signal) -> Output {
        assert!(self.process.try_wait().unwrap().is_none(), "the copy ended by itself");
        kill_process(Pid::from_child(&self.process), signal).unwrap();
        // Nothing else is read from the terminal: a last line of progress fits into its buffer.
        let mut out = Vec::new();
        self.process.stdout.take().unwrap().read_to_end(&mut out).unwrap();
        let status = self.process.wait().unwrap();
        Output { status, stdout: out, stderr: Vec::new() }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The number at the end of the text, which has commas: `1,024`.
fn last_number(text: &str) -> Option<u64> {
    text.rsplit(|letter: char| !letter.is_ascii_digit() && letter != ',')
        .next()?
        .replace(',', "")
        .parse()
        .ok()
}
