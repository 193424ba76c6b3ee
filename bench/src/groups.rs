//! What is measured, against whom, and what the ratio should be.

use clap::ValueEnum;
use session_bench_work::{Args, Durability, Work};

/// What part of the software a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Area {
    Web,
    Memory,
    Sqlite,
}

impl Area {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
        }
    }
}

/// Which program a subject is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    /// The workspace of this name under `peers/`.
    Peer(&'static str),
}

/// Who does the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    /// Its name in the table.
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    /// Its name within the program.
    pub(crate) subject: &'static str,
    /// The work, where it is not the group's.
    pub(crate) work: Option<Work>,
}

impl Subject {
    const fn new(program: Program, subject: &'static str, name: &'static str) -> Self {
        Self { name, program, subject, work: None }
    }

    const fn doing(mut self, work: Work, name: &'static str) -> Self {
        self.work = Some(work);
        self.name = name;
        self
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

const RATE: Figure = Figure { name: "rate", unit: "op/s", more_is_better: true };
const ADDED_TIME: Figure = Figure { name: "added_ns", unit: "ns", more_is_better: false };
const ADDED_ALLOCATIONS: Figure =
    Figure { name: "added_allocations", unit: "allocations", more_is_better: false };
const HEAP: Figure = Figure { name: "bytes", unit: "bytes", more_is_better: false };

/// What ours is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Against {
    /// The subject at this place of the group.
    Subject(usize),
    /// A number that ours must not exceed; the ratio is the number by ours.
    Limit(f64),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compare {
    pub(crate) figure: Figure,
    pub(crate) against: Against,
    /// The ratio that is asked for; `None` where a figure is only there to be known.
    pub(crate) target: Option<f64>,
}

/// Subjects that do the same work in turns, and the rows that follow from it. Ours is the first.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) area: Area,
    /// The work in words.
    pub(crate) label: String,
    /// `subject` and `dir` are filled in for each.
    pub(crate) args: Args,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) rows: Vec<Compare>,
}

const WEB: Subject = Subject::new(Program::Ours, "web", "session-tower");
const MEMORY: Subject = Subject::new(Program::Ours, "memory", "session-store-memory");
const SESSION: Subject = Subject::new(Program::Ours, "session", "session-manager, memory");
const SQLITE: Subject = Subject::new(Program::Ours, "sqlite", "session-store-sqlite");

const TS: Program = Program::Peer("tower-sessions");
const TS_LAYER: Subject = Subject::new(TS, "layer", "tower-sessions, MemoryStore");
const TS_MEMORY: Subject = Subject::new(TS, "memory", "tower-sessions, MemoryStore");
const MOKA: Subject = Subject::new(TS, "moka", "tower-sessions, moka store");
const RAW: Program = Program::Peer("raw");
const DASHMAP: Subject = Subject::new(RAW, "dashmap", "raw dashmap");
const INLINE: Subject = Subject::new(RAW, "inline", "raw rusqlite, inline");
const GROUP: Subject = Subject::new(RAW, "group", "raw rusqlite, group commit");
const SQLX: Subject = Subject::new(Program::Peer("sqlx-store"), "store", "tower-sessions-sqlx-store");
const RUSQLITE: Subject =
    Subject::new(Program::Peer("rusqlite-store"), "store", "tower-sessions-rusqlite-store");

/// Everything that is measured, in the order in which it is.
pub(crate) fn groups() -> Vec<Group> {
    let mut groups = web();
    groups.extend(memory());
    groups.extend(sqlite());
    groups
}

fn web() -> Vec<Group> {
    let group = |work, label: &str, target, limit| Group {
        area: Area::Web,
        label: label.into(),
        args: Args { work, tasks: 1, ..Args::default() },
        subjects: vec![WEB, TS_LAYER],
        rows: vec![
            Compare { figure: ADDED_TIME, against: Against::Subject(1), target: Some(target) },
            Compare { figure: ADDED_ALLOCATIONS, against: Against::Limit(limit), target: Some(1.0) },
            Compare { figure: ADDED_ALLOCATIONS, against: Against::Subject(1), target: None },
        ],
    };
    vec![
        group(Work::WebBare, "no cookie, untouched", 1.0 / 0.5, 6.0),
        group(Work::WebCookie, "cookie, untouched", 1.0 / 0.4, 7.0),
        group(Work::WebRead, "read a key", 1.0 / 0.35, 12.0),
        group(Work::WebSave, "read, change, save", 1.0 / 0.25, 18.0),
    ]
}

fn memory() -> Vec<Group> {
    let group = |work, label: &str, peers: &[(Subject, Option<f64>)], ours| {
        rates(Area::Memory, label, Args { work, tasks: 8, ..Args::default() }, ours, peers)
    };
    let heap = |size, label: &str, ours, peer, target| Group {
        area: Area::Memory,
        label: format!("heap per {label}, {size} B"),
        args: Args { work: Work::Heap, tasks: 1, size, ..Args::default() },
        subjects: vec![ours, peer],
        rows: vec![Compare { figure: HEAP, against: Against::Subject(1), target }],
    };
    let raw = |target| [(DASHMAP, Some(target))];
    let layers = |target| [(TS_MEMORY, Some(target)), (MOKA, Some(target))];
    vec![
        group(Work::Retrieve, "retrieve", &raw(0.75), MEMORY),
        group(Work::Store, "store on revision", &raw(0.75), MEMORY),
        group(Work::CreateRemove, "create, remove", &raw(0.75), MEMORY),
        group(Work::Retrieve, "load, the store alone", &layers(12.0), MEMORY),
        group(Work::Store, "save, the store alone", &layers(6.0), MEMORY),
        group(Work::Load, "open, read a key", &layers(12.0), SESSION),
        group(Work::Save, "open, read, change, save", &layers(6.0), SESSION),
        group(Work::Touch, "touch", &[(MEMORY.doing(Work::Store, "its own store"), Some(1.5))], MEMORY),
        heap(128, "record", MEMORY, DASHMAP, Some(1.0 / 1.15)),
        heap(1_024, "record", MEMORY, DASHMAP, Some(1.0 / 1.15)),
        heap(128, "session", SESSION, TS_MEMORY, None),
        heap(1_024, "session", SESSION, TS_MEMORY, None),
    ]
}

fn sqlite() -> Vec<Group> {
    let group = |work, label: &str, tasks, durability, peers: &[(Subject, Option<f64>)]| {
        rates(Area::Sqlite, label, Args { work, tasks, durability, ..Args::default() }, SQLITE, peers)
    };
    let mut groups: Vec<_> = [1, 8, 64]
        .into_iter()
        .map(|tasks| {
            let peers = [(SQLX, Some(8.0)), (RUSQLITE, Some(4.0)), (INLINE, Some(0.8))];
            group(Work::Retrieve, "retrieve", tasks, Durability::Process, &peers)
        })
        .collect();
    groups.extend([
        group(
            Work::Store,
            "store, process",
            64,
            Durability::Process,
            &[(SQLX, Some(4.0)), (RUSQLITE, Some(2.0)), (INLINE, Some(1.3)), (GROUP, None)],
        ),
        group(
            Work::Store,
            "store, power",
            64,
            Durability::Power,
            &[(SQLX, Some(30.0)), (RUSQLITE, Some(30.0)), (INLINE, Some(6.0)), (GROUP, None)],
        ),
        group(Work::Store, "store, process", 1, Durability::Process, &[(INLINE, Some(0.85))]),
        group(
            Work::Touch,
            "touch, process",
            64,
            Durability::Process,
            &[(SQLITE.doing(Work::Store, "its own store"), Some(1.5))],
        ),
    ]);
    groups
}

fn rates(area: Area, label: &str, args: Args, ours: Subject, peers: &[(Subject, Option<f64>)]) -> Group {
    let row = |(place, (_, target)): (usize, &(Subject, Option<f64>))| Compare {
        figure: RATE,
        against: Against::Subject(place + 1),
        target: *target,
    };
    Group {
        area,
        label: label.into(),
        args,
        subjects: std::iter::once(ours).chain(peers.iter().map(|(subject, _)| *subject)).collect(),
        rows: peers.iter().enumerate().map(row).collect(),
    }
}
