//! The arguments of `sessionctl`.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::old::OldSystem;

/// The end of `--help`. The README has the same table.
const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the store, a file, the input or the output failed
  2    the arguments or a URL are wrong; nothing was done
  3    no store is at the place that the URL names
  4    no live session has that handle, id or user
  5    done, except for damaged, different or too large records
  130  interrupted by SIGINT (Ctrl-C), between two records
  143  ended by SIGTERM, between two records";

/// Lists, ends, counts and imports sessions in a store of session-kit
///
/// STORE is the URL that the application opens, with the same options. No verb creates a store unless --create says so. A
/// session is named by its handle, which ls prints; no verb prints a session id.
#[derive(Debug, Parser)]
#[command(name = "sessionctl", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// Prints one JSON value a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The definition of all arguments, for completions and manual pages.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Lists the live sessions
    Ls(Ls),
    /// Shows one session, and values that are asked for by name
    Show(Show),
    /// Counts the live sessions
    Count(Place),
    /// Lists the live sessions of a user, the oldest first
    User(User),
    /// Ends sessions at once
    End(End),
    /// Ends all sessions of a user at once
    EndUser(User),
    /// Removes expired records
    Purge(Purge),
    /// Shows what the store promises, and counts its records
    Stat(Place),
    /// Measures the store with records of its own, which it removes
    Bench(Bench),
    /// Imports the live sessions of an older application, before the new one starts
    Import(Import),
    /// Copies all records to another store, and may be stopped and repeated
    Copy(Copy),
    /// Compares all records with those of another store
    Verify(Verify),
    /// Prints the completions for a shell
    Completions(Completions),
    /// Prints the manual page
    Man(Man),
}

/// The store, and what its application does with it.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The store's URL, such as sqlite:///var/lib/app/sessions.db
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// Takes the password of the store from this environment variable
    #[arg(long, value_name = "NAME", conflicts_with = "password_file")]
    pub(crate) password_env: Option<String>,
    /// Takes the password of the store from the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The application has user_epochs on
    #[arg(long)]
    pub(crate) user_epochs: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Lists the sessions of this user only; reads all sessions, unlike the verb user
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The session's handle, or - to read a handle or a session id from standard input
    // One handle in 64 begins with a hyphen.
    #[arg(value_name = "HANDLE", allow_hyphen_values = true)]
    pub(crate) handle: String,
    /// Shows this value too; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) value: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct User {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The user's name, as the application passes it to login
    #[arg(value_name = "USER")]
    pub(crate) user: String,
}

#[derive(Debug, Args)]
pub(crate) struct End {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Handles, or - to read handles or session ids from standard input, one a line
    #[arg(value_name = "HANDLE", required = true)]
    pub(crate) handles: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Purge {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many records one step removes at most
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Creates the store if it is missing
    #[arg(long)]
    pub(crate) create: bool,
    /// How many records it stores, reads, extends and removes
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) records: u32,
    /// How many calls run at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) clients: u16,
    /// The length of a record's data
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(..=1_048_576))]
    pub(crate) bytes: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Creates the store if it is missing
    #[arg(long)]
    pub(crate) create: bool,
    #[command(flatten)]
    pub(crate) old: OldSystem,
    /// Takes the password of the old store from this environment variable
    #[arg(long, value_name = "NAME", conflicts_with = "from_password_file")]
    pub(crate) from_password_env: Option<String>,
    /// Takes the password of the old store from the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) from_password_file: Option<PathBuf>,
    /// The path of the user's id in an old session; sessions without it are not imported
    #[arg(long, value_name = "PATH")]
    pub(crate) user: String,
    /// A value to keep, by its path, and its new name; may be repeated
    #[arg(long, value_name = "PATH[=NAME]")]
    pub(crate) keep: Vec<String>,
    /// How long imported sessions wait for their clients at most, in hours
    #[arg(long, value_name = "N", default_value_t = 336)]
    pub(crate) hours: u32,
    /// Reads and counts, and stores nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) to: Other,
    /// Creates the other store if it is missing
    #[arg(long)]
    pub(crate) create: bool,
    /// Removes each record from STORE once the other store has returned it equal
    #[arg(long = "move")]
    pub(crate) moves: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) to: Other,
}

/// The second store of a verb.
#[derive(Debug, Args)]
pub(crate) struct Other {
    /// The other store's URL
    #[arg(long = "to", value_name = "URL")]
    pub(crate) url: String,
    /// Takes the password of the other store from this environment variable
    #[arg(long, value_name = "NAME", conflicts_with = "to_password_file")]
    to_password_env: Option<String>,
    /// Takes the password of the other store from the first line of this file
    #[arg(long, value_name = "FILE")]
    to_password_file: Option<PathBuf>,
}

impl Other {
    pub(crate) fn place(&self) -> Place {
        Place {
            store: self.url.clone(),
            password_env: self.to_password_env.clone(),
            password_file: self.to_password_file.clone(),
            user_epochs: false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Writes the page of sessionctl and one of each verb into this directory instead
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) directory: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    #[test]
    fn arguments_are_consistent() {
        super::command().debug_assert();
    }
}
