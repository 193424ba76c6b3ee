//! From the arguments to an exit code.

use std::ffi::OsString;
use std::io::{self, Write as _};

use clap::Parser as _;

use crate::arguments::Cli;
use crate::failure::{Exit, Failure};
use crate::names;
use crate::output::Output;
use crate::password;
use crate::refusal;
use crate::stop::Stop;
use crate::store::Context;
use crate::verbs;

/// The parts of the environment that a library does not ask for by itself.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Reads an environment variable.
    pub variable: fn(&str) -> Option<OsString>,
    /// Whether messages have colours.
    pub color: bool,
}

/// Runs `sessionctl` with these arguments, the first of which is the name of the program.
pub async fn run(arguments: Vec<OsString>, surroundings: Surroundings) -> Exit {
    let cli = match Cli::try_parse_from(names::marked(&arguments)) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            // The help or the version. Its reader may have gone.
            drop(error.print());
            return Exit::Done;
        }
        Err(error) => {
            tell(refusal::text(error, &arguments, surroundings.color).trim_end());
            return Exit::Usage;
        }
    };
    let stop = match Stop::listen() {
        Ok(stop) => stop,
        Err(cause) => return report(&Failure::file("signals")(cause), surroundings.color),
    };
    for url in verbs::urls(&cli.verb) {
        if password::is_in(url) {
            tell(
                "warning: other users see the password in the arguments; use --password-env or --password-file",
            );
        }
    }
    let mut context = Context { output: Output::new(cli.json), stop, variable: surroundings.variable };
    let done = verbs::run(&cli.verb, &mut context).await;
    // The reader gets the items from before a failure too.
    let flushed = context.output.flush();
    match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit,
        Err(failure) => report(&failure, surroundings.color),
    }
}

/// Reports that the program could not start.
pub fn no_runtime(cause: &io::Error) -> Exit {
    tell(&format!("error: the runtime did not start: {cause}"));
    Exit::Failed
}

fn report(failure: &Failure, color: bool) -> Exit {
    if !matches!(failure, Failure::NoReader) {
        let (red, reset) = if color { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
        tell(&format!("{red}error:{reset} {}", failure.text()));
    }
    failure.exit()
}

fn tell(text: &str) {
    // If standard error is closed, the message is lost.
    drop(writeln!(io::stderr(), "{text}"));
}
