//! The conformance suite over a migration before, during and after a copy.
//!
//! Before and during the copy, the first record of each key is created in the old store, as it was before the migration.
//! During the copy, a thread copies all the time, so that records move while the clauses use them. After the copy the old
//! store stays empty.
//!
//! Copies by other processes are in `tests/driver`. Two processes that purge count a record twice if it expires in the middle
//! of its move, so clause P11 does not hold during a copy.

mod copier;
mod first;
mod harness;

use harness::{Moving, Phase, Stores};

macro_rules! memory {
    ($module:ident, $name:literal, $phase:ident) => {
        mod $module {
            use super::{Moving, Phase, Stores};

            session_conformance::suite!(
                Moving { name: $name, stores: Stores::Memory, phase: Phase::$phase },
                lacks: [IN_MEMORY] {
                    ExactlyOnce: "a record that moves during a traversal may be reported by both stores",
                    Full: "the suites of the two stores fill them",
                },
            );
        }
    };
}

memory!(memory_before, "migrate-memory-before", Before);
memory!(memory_during, "migrate-memory-during", During);
memory!(memory_after, "migrate-memory-after", After);

macro_rules! sqlite_to_mmap {
    ($module:ident, $name:literal, $phase:ident) => {
        mod $module {
            use super::{Moving, Phase, Stores};

            session_conformance::suite!(
                Moving { name: $name, stores: Stores::SqliteToMmap, phase: Phase::$phase },
                lacks: {
                    AtOnce: "SQLite reads on a worker thread where it waits",
                    ExactlyOnce: "a record that moves during a traversal may be reported by both stores",
                    PowerLoss: "the mapped file does not survive power loss",
                    Damage: "the suites of the two stores damage them",
                    Checksum: "SQLite has no checksum of a value",
                    Index: "the suites of the two stores damage them",
                    Outage: "the suites of the two stores take them away, and tests/driver one of the two",
                    Full: "the suites of the two stores fill them",
                    Files: "the suites of the two stores move their files away",
                },
            );
        }
    };
}

sqlite_to_mmap!(sqlite_before, "migrate-sqlite-mmap-before", Before);
sqlite_to_mmap!(sqlite_after, "migrate-sqlite-mmap-after", After);
