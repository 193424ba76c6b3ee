//! The changes of an application, in a file that outlives it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use session_core::{Key, Record, Revision, Timestamp};

use crate::stores::record;

/// The expected record of a key. `None` is the end of the session.
pub(crate) type State = Option<Stored>;

/// A record without its data, which follows from the seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) seed: u64,
    pub(crate) revision: u64,
    pub(crate) millis: u64,
}

impl Stored {
    pub(crate) fn record(self) -> Record {
        record(self.seed, self.revision(), self.deadline())
    }

    pub(crate) fn revision(self) -> Revision {
        Revision::from_bytes(self.revision.to_be_bytes())
    }

    pub(crate) fn deadline(self) -> Option<Timestamp> {
        Some(Timestamp::from_millis(self.millis))
    }
}

/// The states of the keys that one application owns.
pub(crate) type Ledger = BTreeMap<Key, State>;

pub(crate) fn expected(state: State) -> Option<Record> {
    state.map(Stored::record)
}

/// Writes each change before it is made, and again when it is acknowledged.
pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn open(path: &Path) -> Self {
        Self(File::options().create(true).append(true).open(path).unwrap())
    }

    pub(crate) fn begin(&mut self, key: &Key, state: State) {
        let text = match state {
            None => format!("{} -\n", key.as_str()),
            Some(Stored { seed, revision, millis }) => {
                format!("{} {seed} {revision} {millis}\n", key.as_str())
            }
        };
        // One write, so that a kill leaves the whole line or nothing.
        self.0.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn end(&mut self) {
        self.0.write_all(b"done\n").unwrap();
    }
}

/// Writes a ledger as a journal.
pub(crate) fn write(path: &Path, ledger: &Ledger) {
    let mut journal = Journal::open(path);
    for (key, state) in ledger {
        journal.begin(key, *state);
        journal.end();
    }
}

/// The acknowledged states of a journal, and the change that was not acknowledged, if the process was killed during one.
pub(crate) fn read(path: &Path) -> (Ledger, Option<(Key, State)>) {
    let (mut ledger, mut pending) = (Ledger::new(), None);
    for line in fs::read_to_string(path).unwrap().lines() {
        if line == "done" {
            let (key, state) = pending.take().unwrap();
            ledger.insert(key, state);
            continue;
        }
        let words: Vec<_> = line.split(' ').collect();
        let state = match words[1..] {
            ["-"] => None,
            [seed, revision, millis] => {
                let [seed, revision, millis] = [seed, revision, millis].map(|word| word.parse().unwrap());
                Some(Stored { seed, revision, millis })
            }
            _ => panic!("a line of {} words", words.len()),
        };
        assert!(pending.replace((Key::parse(words[0]).unwrap(), state)).is_none(), "two changes at once");
    }
    (ledger, pending)
}
