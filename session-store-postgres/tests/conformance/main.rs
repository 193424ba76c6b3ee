//! The conformance suite over the PostgreSQL driver.
//!
//! All tests of this process share one server, and each has a role and a schema of its own there. A test that fills or
//! stops its server gets its own. The role has only the rights that the README lists.

mod harness;

session_conformance::suite!(
    crate::harness::Postgres,
    lacks: {
        AtOnce: "records are on a server",
        Files: "no process of an application opens the files of the server",
        Checksum: "records are in pages that the server has in memory; the server's own checksums protect its files",
        Index: "the server has its indexes in memory, which no other program can reach",
    },
);
