//! Standard output: lines for people, or one JSON value a line.

use std::fmt::Write as _;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Stdout, Write as _};

use serde::Serialize;

use crate::failure::{Failure, Result};

/// Where the result of a verb goes.
#[derive(Debug)]
pub(crate) struct Output {
    to: BufWriter<Stdout>,
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { to: BufWriter::new(io::stdout()), json }
    }

    /// Writes one item: `value` as JSON, or the text that it is for people.
    pub(crate) fn item(&mut self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result {
        let line = if self.json {
            serde_json::to_string(value).map_err(|cause| Failure::file("output")(cause.into()))?
        } else {
            text()
        };
        self.line(&line)
    }

    /// Writes a heading, for people at a terminal only: a script would take it for an item.
    pub(crate) fn heading(&mut self, text: &str) -> Result {
        if self.json || !self.is_terminal() { Ok(()) } else { self.line(text) }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.to.get_ref().is_terminal()
    }

    /// Hands everything to the reader.
    pub(crate) fn flush(&mut self) -> Result {
        self.to.flush().map_err(failed)
    }

    fn line(&mut self, text: &str) -> Result {
        writeln!(self.to, "{text}").map_err(failed)
    }
}

fn failed(cause: io::Error) -> Failure {
    match cause.kind() {
        ErrorKind::BrokenPipe => Failure::NoReader,
        _ => Failure::Io { what: "standard output".into(), cause },
    }
}

/// Text of a session, such as a label that a visitor chose, with no character that could move the cursor of a terminal,
/// reorder its line or look like the next column.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        let reorders =
            matches!(letter, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || reorders || matches!(letter, '\u{2028}' | '\u{2029}') {
            // Writing to a string does not fail.
            let _ = write!(shown, "{}", letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(plain("a\u{1b}[31m\nb\u{202e}c\u{9b}é"), "a\\u{1b}[31m\\u{a}b\\u{202e}c\\u{9b}é");
    }
}
