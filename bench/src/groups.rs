//! The parts of a table row: areas, subjects, figures, and groups that are measured together.

use clap::ValueEnum;
use session_bench_work::{Args, Work};

/// The part of the software that a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Area {
    Web,
    Actix,
    Memory,
    Sqlite,
    Mmap,
    Redis,
    Postgres,
    File,
    Sled,
    Scale,
    /// Ten million records.
    Large,
    /// Requests over sockets.
    EndToEnd,
    /// The longest pause of other tasks.
    Stall,
    /// Decoding sessions of other systems.
    Handover,
}

/// Which program a subject is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    /// An earlier build of ours.
    Before,
    /// A workspace under `peers/`.
    Peer(&'static str),
    /// A Perl script under `peers/`, and the module that it needs.
    Perl {
        script: &'static str,
        module: &'static str,
    },
}

/// Where a subject keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Home {
    /// In its own memory: each run starts empty.
    Memory,
    /// In a directory of this name.
    Disk(&'static str),
    /// In a Redis server that is started for the group, under this name.
    Redis(&'static str),
    /// In a Valkey server that compares without scripts, started for the group, under this name.
    Valkey(&'static str),
    /// In a PostgreSQL server that is started for the group, under this name.
    Postgres(&'static str),
    /// In a Redis cluster that is started for the group, under this name.
    Cluster(&'static str),
}

/// A program, or a part of one, that does the work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Subject {
    name: &'static str,
    pub(crate) program: Program,
    /// Its name within the program.
    pub(crate) subject: &'static str,
    pub(crate) home: Home,
    /// The work, if it differs from the group's.
    pub(crate) work: Option<Work>,
    /// The number of records, if it differs from the group's.
    pub(crate) records: Option<usize>,
}

impl Subject {
    pub(crate) const fn new(program: Program, subject: &'static str, name: &'static str, home: Home) -> Self {
        Self { name, program, subject, home, work: None, records: None }
    }

    /// The same subject with other work, as a peer of itself.
    pub(crate) const fn doing(mut self, work: Work, name: &'static str) -> Self {
        self.work = Some(work);
        self.name = name;
        self
    }

    /// The same subject with this many records.
    pub(crate) const fn holding(mut self, records: usize) -> Self {
        self.records = Some(records);
        self
    }

    /// The earlier build of this subject, with a store of its own.
    pub(crate) const fn before(self) -> Self {
        let home = match self.home {
            Home::Memory => Home::Memory,
            Home::Disk(_) => Home::Disk("before"),
            Home::Redis(_) => Home::Redis("before"),
            Home::Valkey(_) => Home::Valkey("before"),
            Home::Postgres(_) => Home::Postgres("before"),
            Home::Cluster(_) => Home::Cluster("before"),
        };
        Self { name: "before", program: Program::Before, home, ..self }
    }

    /// Its name in the table.
    pub(crate) fn title(&self) -> String {
        match self.records {
            None => self.name.into(),
            Some(1) => format!("{}, 1 record", self.name),
            Some(number @ 1_000_000..) => format!("{}, {} M records", self.name, number / 1_000_000),
            Some(number) => format!("{}, {} k records", self.name, number / 1_000),
        }
    }
}

/// A figure of a sample and how to read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// Its name in the sample.
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) more_is_better: bool,
}

/// The other side of a comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Against {
    /// The group's subject at this index.
    Subject(usize),
    /// A number that ours must not exceed; the ratio is this number divided by ours.
    Limit(f64),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compare {
    pub(crate) figure: Figure,
    /// The index of ours in the group.
    pub(crate) ours: usize,
    pub(crate) against: Against,
    /// The target ratio; `None` for a figure without a target.
    pub(crate) target: Option<f64>,
}

/// Subjects that do the same work in turns, and the rows that compare them.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) area: Area,
    /// The work in words.
    pub(crate) label: String,
    /// The bench fills in what differs between subjects.
    pub(crate) args: Args,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) rows: Vec<Compare>,
}

impl Group {
    /// Whether any subject has a store on disk.
    pub(crate) fn on_disk(&self) -> bool {
        self.subjects.iter().any(|subject| matches!(subject.home, Home::Disk(_)))
    }

    /// The title of the subject at index `place`.
    pub(crate) fn title(&self, place: usize) -> String {
        self.subjects.get(place).map(Subject::title).unwrap_or_default()
    }

    /// The title of the other side.
    pub(crate) fn peer(&self, compare: &Compare) -> String {
        match compare.against {
            Against::Subject(place) => self.title(place),
            Against::Limit(limit) => format!("limit {limit}"),
        }
    }
}
