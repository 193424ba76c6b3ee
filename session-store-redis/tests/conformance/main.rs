//! The conformance suite over the Redis driver: one server, and a cluster.
//!
//! All tests of this process share one server and one cluster, and each has a namespace and a user of its own there.
//! A test that fills or stops its server gets its own. The driver's user has only the rights that the README lists.

mod harness;

mod single {
    session_conformance::suite!(
        crate::harness::Redis::Single,
        lacks: { AtOnce: "records are on a server",
            Purge: "the server removes expired records by itself",
            ExactlyOnce: "SCAN may report a key twice",
            PowerLoss: "the server's own configuration decides what survives power loss",
            Checksum: "records are in the server's memory at an unknown place; the server checks its files itself",
            Index: "the server compares keys in its memory, which no other program can reach",
            Files: "the server has its files open, and no driver",
        },
    );
}

#[cfg(feature = "cluster")]
mod cluster {
    session_conformance::suite!(
        crate::harness::Redis::Cluster,
        lacks: { AtOnce: "records are on a server",
            Purge: "the servers remove expired records by themselves",
            ExactlyOnce: "SCAN may report a key twice",
            PowerLoss: "the servers' own configuration decides what survives power loss",
            Checksum: "records are in the servers' memory at an unknown place; the servers check their files themselves",
            Index: "the servers compare keys in their memory, which no other program can reach",
            Files: "the server has its files open, and no driver",
        },
    );
}
