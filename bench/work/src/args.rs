//! What a subject is asked to do.

use std::path::PathBuf;
use std::time::Duration;

/// One piece of work, the same for every subject that can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Fill a store in `dir` or at `url`; the figure is how many records it holds then.
    Prepare,
    /// Requests without a cookie whose handler leaves the session alone.
    WebBare,
    /// Requests with a cookie whose handler leaves the session alone.
    WebCookie,
    /// Requests whose handler reads one value of the session.
    WebRead,
    /// Requests whose handler reads that value, changes another, and has it saved.
    WebSave,
    /// A driver's retrieve.
    Retrieve,
    /// A driver's store of a changed value, on the revision that was read, where the subject knows conditions.
    Store,
    /// A driver's store of a new key followed by its removal.
    CreateRemove,
    /// Moving a deadline.
    Touch,
    /// Through the session layer: open a session and read one key.
    Load,
    /// Through the session layer: open a session, read one key, change another, save.
    Save,
    /// Heap bytes per stored session.
    Heap,
    /// Removing what has expired.
    Purge,
    /// Opening a store that holds the records already.
    Open,
    /// Round trips to the server, for each kind of operation.
    RoundTrips,
}

impl Work {
    const NAMES: [(&'static str, Self); 15] = [
        ("prepare", Self::Prepare),
        ("web-bare", Self::WebBare),
        ("web-cookie", Self::WebCookie),
        ("web-read", Self::WebRead),
        ("web-save", Self::WebSave),
        ("retrieve", Self::Retrieve),
        ("store", Self::Store),
        ("create-remove", Self::CreateRemove),
        ("touch", Self::Touch),
        ("load", Self::Load),
        ("save", Self::Save),
        ("heap", Self::Heap),
        ("purge", Self::Purge),
        ("open", Self::Open),
        ("round-trips", Self::RoundTrips),
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, work)| *work == self).map_or("", |(name, _)| name)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, work)| *work).ok_or_else(|| format!("no work is called {text:?}"))
    }
}

/// What an acknowledged write must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// An orderly end: sled's own flushing, every half second.
    Relaxed,
    /// The death of the process: WAL and `synchronous = NORMAL` for SQLite.
    Process,
    /// Power loss: WAL and `synchronous = FULL`; for a peer's store its defaults, which are power-safe.
    Power,
}

impl Durability {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Process => "process",
            Self::Power => "power",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = [Self::Relaxed, Self::Process, Self::Power].into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| format!("no durability is called {text:?}"))
    }
}

/// What a subject is asked to do, and how much of it.
#[derive(Clone, Debug)]
pub struct Args {
    /// Which of the program's subjects.
    pub subject: String,
    /// Which work.
    pub work: Work,
    /// How many tasks at once.
    pub tasks: usize,
    /// How long it is measured.
    pub measured: Duration,
    /// How long it runs before that.
    pub warm_up: Duration,
    /// How many sessions are stored.
    pub records: usize,
    /// How many bytes a record has, or the values of a session together.
    pub size: usize,
    /// How many values that is in a session.
    pub values: usize,
    /// Where the store is, for subjects on disk.
    pub dir: PathBuf,
    /// What a write survives.
    pub durability: Durability,
    /// Where the server is, for subjects on Redis; with commas between the nodes of a cluster.
    pub url: String,
    /// Which of the processes that share the work this is, from 0.
    pub process: usize,
    /// How many processes share the work.
    pub processes: usize,
    /// An empty directory in which these processes meet before they begin.
    pub meeting: PathBuf,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            subject: String::new(),
            work: Work::Retrieve,
            tasks: 8,
            measured: Duration::from_millis(1_000),
            warm_up: Duration::from_millis(300),
            records: 100_000,
            size: 1_024,
            values: 8,
            dir: PathBuf::new(),
            durability: Durability::Process,
            url: String::new(),
            process: 0,
            processes: 1,
            meeting: PathBuf::new(),
        }
    }
}

impl Args {
    /// Reads `--name value` pairs.
    ///
    /// # Errors
    /// A sentence that names the argument which is not understood.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} has no value"))?;
            let number = || value.parse::<usize>().map_err(|_| format!("{name} {value:?} is not a number"));
            let millis = || Ok::<_, String>(Duration::from_millis(number()? as u64));
            match name.as_str() {
                "--subject" => args.subject = value,
                "--work" => args.work = Work::parse(&value)?,
                "--tasks" => args.tasks = number()?.max(1),
                "--millis" => args.measured = millis()?,
                "--warm-up" => args.warm_up = millis()?,
                "--records" => args.records = number()?.max(1),
                "--size" => args.size = number()?.max(32),
                "--values" => args.values = number()?.max(1),
                "--dir" => args.dir = value.into(),
                "--durability" => args.durability = Durability::parse(&value)?,
                "--url" => args.url = value,
                "--process" => args.process = number()?,
                "--processes" => args.processes = number()?.max(1),
                "--meeting" => args.meeting = value.into(),
                _ => return Err(format!("{name} is not known")),
            }
        }
        Ok(args)
    }

    /// The words that [`parse`](Self::parse) reads back.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        [
            ("--subject", self.subject.clone()),
            ("--work", self.work.name().into()),
            ("--tasks", self.tasks.to_string()),
            ("--millis", self.measured.as_millis().to_string()),
            ("--warm-up", self.warm_up.as_millis().to_string()),
            ("--records", self.records.to_string()),
            ("--size", self.size.to_string()),
            ("--values", self.values.to_string()),
            ("--dir", self.dir.display().to_string()),
            ("--durability", self.durability.name().into()),
            ("--url", self.url.clone()),
            ("--process", self.process.to_string()),
            ("--processes", self.processes.to_string()),
            ("--meeting", self.meeting.display().to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_as_they_were() {
        for (name, work) in Work::NAMES {
            let args = Args { work, tasks: 3, subject: "x".into(), dir: "/d".into(), ..Args::default() };
            assert_eq!(work.name(), name);
            assert_eq!(format!("{:?}", Args::parse(args.words()).unwrap()), format!("{args:?}"));
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for bad in ["--work nothing", "--tasks many", "--what 1", "--tasks"] {
            let error = Args::parse(bad.split(' ').map(str::to_owned)).unwrap_err();
            assert!(
                error.contains(bad.split(' ').next_back().unwrap()) || error.contains("--what"),
                "{error}"
            );
        }
    }
}
