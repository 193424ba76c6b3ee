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

mod memory_before {
    use super::{Moving, Phase, Stores};

    session_conformance::suite!(
        Moving { name: "migrate-memory-before", stores: Stores::Memory, phase: Phase::Before },
        lacks: [IN_MEMORY] {
            ExactlyOnce: "a record that moves during a traversal may be reported by both stores",
            Full: "the suites of the two stores fill them",
        },
    );
}

mod memory_during {
    use super::{Moving, Phase, Stores};

    session_conformance::suite!(
        Moving { name: "migrate-memory-during", stores: Stores::Memory, phase: Phase::During },
        lacks: [IN_MEMORY] {
            ExactlyOnce: "a record that moves during a traversal may be reported by both stores",
            Full: "the suites of the two stores fill them",
        },
    );
}

mod memory_after {
    use super::{Moving, Phase, Stores};

    session_conformance::suite!(
        Moving { name: "migrate-memory-after", stores: Stores::Memory, phase: Phase::After },
        lacks: [IN_MEMORY] {
            ExactlyOnce: "a record that moves during a traversal may be reported by both stores",
            Full: "the suites of the two stores fill them",
        },
    );
}

mod sqlite_before {
    use super::{Moving, Phase, Stores};

    session_conformance::suite!(
        Moving { name: "migrate-sqlite-mmap-before", stores: Stores::SqliteToMmap, phase: Phase::Before },
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

mod sqlite_after {
    use super::{Moving, Phase, Stores};

    session_conformance::suite!(
        Moving { name: "migrate-sqlite-mmap-after", stores: Stores::SqliteToMmap, phase: Phase::After },
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
