//! The conformance suite over a near cache before a store in memory, before SQLite, and before Redis.
//!
//! The bound is two seconds, longer than most clauses take: the clauses about several handles and processes meet records that
//! are as old as they may be. The suites of the stores take them away, damage them and fill them.

mod harness;

mod memory {
    session_conformance::suite!(
        crate::harness::NearMemory,
        lacks: [IN_MEMORY] { Full: "the suite of the store fills it" },
    );
}

mod sqlite {
    session_conformance::suite!(
        crate::harness::NearSqlite,
        lacks: {
            AtOnce: "a read that is locked or large runs on a worker thread",
            PowerLoss: "opened with the durability `Process`",
            Damage: "the suite of the store damages it",
            Checksum: "SQLite has no checksum of a value",
            Index: "the suite of the store damages it",
            Outage: "the suite of the store takes it away",
            Full: "the suite of the store fills it",
            Permission: "the suite of the store takes its rights away",
            Files: "the suite of the store moves its files away",
        },
    );
}

mod redis {
    session_conformance::suite!(
        crate::harness::NearRedis,
        lacks: {
            AtOnce: "records are on a server",
            Purge: "the server removes expired records by itself",
            ExactlyOnce: "SCAN may report a key twice",
            PowerLoss: "the server's own configuration decides what survives power loss",
            Damage: "the suite of the store damages it",
            Checksum: "the suite of the store damages it",
            Index: "the suite of the store damages it",
            Full: "the suite of the store fills it",
            Permission: "the suite of the store takes its rights away",
            Files: "the server has its files open, and no driver",
        },
    );
}
