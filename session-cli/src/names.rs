//! The names of sessions in arguments and on standard input.

use std::ffi::OsString;

use session_kit::Handle;
use session_kit::session_core::SessionId;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

use crate::failure::{Failure, Result};
use crate::stop::Stop;

/// Handles from the arguments, or from standard input where the argument is `-`.
#[derive(Debug)]
pub(crate) enum Names {
    Given(std::vec::IntoIter<Handle>),
    Read(Lines<BufReader<Stdin>>),
}

impl Names {
    /// Checks all arguments before the first of them is used.
    pub(crate) fn new(arguments: &[String]) -> Result<Self> {
        if arguments == ["-"] {
            return Ok(Self::Read(BufReader::new(tokio::io::stdin()).lines()));
        }
        let handles: Result<Vec<_>> = arguments.iter().map(|argument| given(argument)).collect();
        Ok(Self::Given(handles?.into_iter()))
    }

    /// The next handle. Empty lines are skipped.
    pub(crate) async fn next(&mut self, stop: &Stop) -> Result<Option<Handle>> {
        let lines = match self {
            Self::Given(handles) => return Ok(handles.next()),
            Self::Read(lines) => lines,
        };
        loop {
            let line = stop.or(lines.next_line()).await?;
            match line.map_err(Failure::file("standard input"))?.as_deref().map(str::trim) {
                Some("") => {}
                Some(line) => return from_line(line).map(Some),
                None => return Ok(None),
            }
        }
    }
}

/// The same arguments, where handles of `end` that begin with a hyphen have a mark. clap takes them for options otherwise, and if
/// it let hyphens begin a handle, it would take all options after the first handle for handles.
pub(crate) fn marked(arguments: &[OsString]) -> Vec<OsString> {
    let is_name = |argument: &OsString| argument.to_str().is_some_and(|text| !text.starts_with('-'));
    let verb = arguments.iter().skip(1).find(|argument| is_name(argument));
    let is_end = verb.is_some_and(|verb| verb == "end");
    // An id gets an error text of its own.
    let is_one = |text: &str| text.parse::<Handle>().is_ok() || SessionId::parse(text.as_bytes()).is_some();
    let mut may_be_option = true;
    let mark = |argument: &OsString| {
        may_be_option &= argument != "--";
        match argument.to_str() {
            Some(text) if is_end && may_be_option && text.starts_with('-') && is_one(text) => {
                format!("{MARK}{text}").into()
            }
            _ => argument.clone(),
        }
    };
    arguments.iter().map(mark).collect()
}

/// No handle has a colon.
const MARK: &str = "handle:";

// No text repeats the argument or the line, which may be an id.

fn given(argument: &str) -> Result<Handle> {
    let argument = argument.strip_prefix(MARK).unwrap_or(argument);
    if SessionId::parse(argument.as_bytes()).is_some() {
        return Err(Failure::usage(
            "an argument is a session id, which other users see in the list of processes; write it to standard input and give \
             - as the handle",
        ));
    }
    argument.parse().map_err(|_| Failure::usage("HANDLE is not a session handle; ls prints the handles"))
}

fn from_line(line: &str) -> Result<Handle> {
    match SessionId::parse(line.as_bytes()) {
        Some(id) => Ok(Handle::from(id)),
        None => {
            line.parse().map_err(|_| Failure::Line("a line is neither a session handle nor a session id"))
        }
    }
}
