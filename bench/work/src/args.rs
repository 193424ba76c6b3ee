//! The work that a subject is given, as command-line arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// One piece of work, the same for every subject that supports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// Fills a store in `dir` or at `url`; the figure is the number of records stored.
    Prepare,
    /// Requests without a cookie; the handler does not use the session.
    WebBare,
    /// Requests with a cookie; the handler does not use the session.
    WebCookie,
    /// Requests whose handler reads one value of the session.
    WebRead,
    /// Requests whose handler reads that value and changes another, so that the session is saved.
    WebSave,
    /// A driver's retrieve.
    Retrieve,
    /// A driver's store of a changed value, on the revision that was read, where the subject knows conditions.
    Store,
    /// A driver's store of a new key, followed by its removal.
    CreateRemove,
    /// Moving a deadline.
    Touch,
    /// Through the session layer: load a session and read one key.
    Load,
    /// Through the session layer: load a session, read one key, change another, save.
    Save,
    /// Heap bytes per stored session.
    Heap,
    /// Removing expired records.
    Purge,
    /// Opening a store that holds records.
    Open,
    /// Long operations beside a heartbeat on one thread.
    Stall,
    /// A server of an application, asked by clients in another process.
    Mix,
    /// Those clients.
    Clients,
    /// Decoding a session of PHP.
    DecodePhp,
    /// Decoding a signed cookie of Django.
    DecodeDjango,
}

/// The failures that an acknowledged write must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// An orderly end: sled's own flushing, every half second.
    Relaxed,
    /// The death of the process: WAL and `synchronous = NORMAL` for SQLite.
    Process,
    /// Power loss: WAL and `synchronous = FULL`; a peer's store uses its defaults, which survive power loss.
    Power,
}

/// The work of a subject, and how much of it.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// Which of the program's subjects.
    #[arg(long, default_value = "")]
    pub subject: String,
    /// Which work.
    #[arg(long, value_enum, default_value = "retrieve")]
    pub work: Work,
    /// How many tasks run at once.
    #[arg(long, default_value_t = 8)]
    pub tasks: usize,
    /// How long the work is measured, in milliseconds.
    #[arg(long = "millis", value_parser = millis, default_value = "1000")]
    pub measured: Duration,
    /// How long the work runs before that, in milliseconds.
    #[arg(long, value_parser = millis, default_value = "300")]
    pub warm_up: Duration,
    /// How many sessions are stored.
    #[arg(long, default_value_t = 100_000)]
    pub records: usize,
    /// The bytes of a record, or of all values of a session; at least 32.
    #[arg(long, default_value_t = 1_024)]
    pub size: usize,
    /// How many values of a session share these bytes.
    #[arg(long, default_value_t = 8)]
    pub values: usize,
    /// How many requests a web layer answers, for a profiler that counts instructions; 0 measures the time instead.
    #[arg(long, default_value_t = 0)]
    pub requests: usize,
    /// The directory of the store, for subjects on disk.
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// The failures that a write survives.
    #[arg(long, value_enum, default_value = "process")]
    pub durability: Durability,
    /// The URL of the server, for subjects on a server; the nodes of a cluster separated by commas.
    #[arg(long, default_value = "")]
    pub url: String,
    /// The process id of the server at `url`, whose processor time counts too, with its children; 0 for none.
    #[arg(long, default_value_t = 0)]
    pub server: u32,
    /// The number of this process among those that share the work, from 0.
    #[arg(long, default_value_t = 0)]
    pub process: usize,
    /// How many processes share the work.
    #[arg(long, default_value_t = 1)]
    pub processes: usize,
    /// An empty directory in which these processes wait for each other before they begin.
    #[arg(long, default_value = ".")]
    pub meeting: PathBuf,
}

impl Default for Args {
    fn default() -> Self {
        Self::parse_from([""])
    }
}

impl Args {
    /// Reads `--name value` pairs.
    ///
    /// # Errors
    /// Names the argument that is not understood.
    pub fn read(words: impl IntoIterator<Item = String>) -> Result<Self, clap::Error> {
        Self::try_parse_from([String::new()].into_iter().chain(words))
    }

    /// The words that [`read`](Self::read) reads back.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        [
            ("subject", self.subject.clone()),
            ("work", name(self.work)),
            ("tasks", self.tasks.to_string()),
            ("millis", self.measured.as_millis().to_string()),
            ("warm-up", self.warm_up.as_millis().to_string()),
            ("records", self.records.to_string()),
            ("size", self.size.to_string()),
            ("values", self.values.to_string()),
            ("requests", self.requests.to_string()),
            ("dir", self.dir.display().to_string()),
            ("durability", name(self.durability)),
            ("url", self.url.clone()),
            ("server", self.server.to_string()),
            ("process", self.process.to_string()),
            ("processes", self.processes.to_string()),
            ("meeting", self.meeting.display().to_string()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .flat_map(|(name, value)| [format!("--{name}"), value])
        .collect()
    }
}

/// The name of a value as a command-line argument.
pub fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn millis(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for work in Work::value_variants() {
            let args =
                Args { work: *work, tasks: 3, subject: "x".into(), dir: "/d".into(), ..Args::default() };
            assert_eq!(format!("{:?}", Args::read(args.words()).unwrap()), format!("{args:?}"));
        }
    }

    #[test]
    fn unknown_arguments_are_named() {
        for bad in ["--work nothing", "--tasks many", "--what 1", "--tasks"] {
            let error = Args::read(bad.split(' ').map(str::to_owned)).unwrap_err().to_string();
            assert!(error.contains(bad.split(' ').next().unwrap()), "{error}");
        }
    }
}
