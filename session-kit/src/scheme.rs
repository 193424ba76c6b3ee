//! The schemes of store URLs.

use crate::error::{OpenError, OpenErrorKind};
use crate::suggest::list;

/// A scheme, its driver, and what its URLs consist of.
#[derive(Debug)]
pub(crate) struct Scheme {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// The features of this crate that it needs, and whether each is on.
    pub(crate) features: &'static [(&'static str, bool)],
    /// The names of the driver's options. A test compares them with the driver's own.
    pub(crate) options: &'static [&'static str],
}

/// What stands between the scheme and the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Nothing,
    Path,
    /// A server, with an optional user, port and database.
    Server,
    /// Some of the nodes of a cluster.
    Nodes,
    /// The path of a socket.
    Socket,
    /// A database on a server, or on one of several hosts, with a user.
    Database,
}

const REDIS: (&str, bool) = ("redis", cfg!(feature = "redis"));
const CLUSTER: (&str, bool) = ("redis-cluster", cfg!(feature = "redis-cluster"));
const TLS: (&str, bool) = ("redis-tls", cfg!(feature = "redis-tls"));
const OF_REDIS: &[&str] = &[
    "namespace",
    "password",
    "response_timeout",
    "connect_timeout",
    "max_record_bytes",
    "native_compare",
    "near",
    "near_max_bytes",
];
/// The options of a cache before the store of a server, which are not the driver's.
pub(crate) const OF_NEAR: [&str; 2] = ["near", "near_max_bytes"];

pub(crate) const SCHEMES: [Scheme; 11] = [
    Scheme {
        name: "memory",
        form: Form::Nothing,
        features: &[("memory", cfg!(feature = "memory"))],
        options: &["max_entries", "max_bytes", "on_full", "max_record_bytes", "shards"],
    },
    Scheme {
        name: "file",
        form: Form::Path,
        features: &[("file", cfg!(feature = "file"))],
        options: &[
            "durability",
            "create",
            "create_directory",
            "offload_reads",
            "offload_threshold",
            "max_record_bytes",
            "max_queue",
            "threads",
            "busy_timeout",
        ],
    },
    Scheme {
        name: "mmap",
        form: Form::Path,
        features: &[("mmap", cfg!(feature = "mmap"))],
        options: &[
            "create",
            "create_directory",
            "max_bytes",
            "shards",
            "extent_bytes",
            "on_full",
            "max_record_bytes",
            "busy_timeout",
            "open_timeout",
        ],
    },
    Scheme {
        name: "sqlite",
        form: Form::Path,
        features: &[("sqlite", cfg!(feature = "sqlite"))],
        options: &[
            "durability",
            "create",
            "create_directory",
            "readers",
            "cache_bytes",
            "offload_reads",
            "max_record_bytes",
            "max_bytes",
            "max_queue",
            "max_queue_bytes",
            "max_batch",
            "busy_timeout",
            "sync_every",
            "checkpoint_after",
            "max_wal_bytes",
        ],
    },
    Scheme {
        name: "postgres",
        form: Form::Database,
        features: &[("postgres", cfg!(feature = "postgres"))],
        options: &[
            "password",
            "sslmode",
            "sslrootcert",
            "sslcert",
            "sslkey",
            "table",
            "create_table",
            "durability",
            "prepare",
            "connections",
            "response_timeout",
            "connect_timeout",
            "max_record_bytes",
            "near",
            "near_max_bytes",
        ],
    },
    Scheme { name: "redis", form: Form::Server, features: &[REDIS], options: OF_REDIS },
    Scheme { name: "rediss", form: Form::Server, features: &[TLS], options: OF_REDIS },
    Scheme { name: "redis+unix", form: Form::Socket, features: &[REDIS], options: OF_REDIS },
    Scheme { name: "redis-cluster", form: Form::Nodes, features: &[CLUSTER], options: OF_REDIS },
    Scheme { name: "rediss-cluster", form: Form::Nodes, features: &[CLUSTER, TLS], options: OF_REDIS },
    Scheme {
        name: "sled",
        form: Form::Path,
        features: &[("sled", cfg!(feature = "sled"))],
        options: &[
            "create",
            "cache_bytes",
            "tree",
            "flush_each_change",
            "max_record_bytes",
            "scan",
            "flush_timeout",
        ],
    },
];

impl Scheme {
    /// The error of a scheme whose features are off.
    pub(crate) fn missing_feature(&self) -> OpenError {
        let off: Vec<_> = self.features.iter().filter(|(_, on)| !on).map(|(name, _)| *name).collect();
        let word = if off.len() == 1 { "feature" } else { "features" };
        let text = format!("scheme `{}` needs the {word} {} of session-kit", self.name, list(&off, "and"));
        OpenError::new(OpenErrorKind::MissingFeature, text)
    }

    /// The error of an option of a cache, if its feature is off.
    pub(crate) fn missing_near(option: &str) -> Option<OpenError> {
        if cfg!(feature = "near") || !OF_NEAR.contains(&option) {
            return None;
        }
        let text = format!("option `{option}` needs the feature `near` of session-kit");
        Some(OpenError::new(OpenErrorKind::MissingFeature, text))
    }

    /// The error of an option of PostgreSQL that needs TLS, if that feature is off. `prefer` works without it.
    pub(crate) fn missing_tls(&self, option: &str, value: &str) -> Option<OpenError> {
        let needs = match option {
            "sslmode" => ["require", "verify-ca", "verify-full"].contains(&value),
            "sslrootcert" | "sslcert" | "sslkey" => true,
            _ => false,
        };
        if !needs || cfg!(feature = "postgres-tls") {
            return None;
        }
        let shown = if option == "sslmode" { format!("sslmode={value}") } else { option.to_owned() };
        let text = format!("option `{shown}` needs the feature `postgres-tls` of session-kit");
        Some(OpenError::new(OpenErrorKind::MissingFeature, text))
    }
}

/// Whether the number of an option counts bytes, so that it may have a unit.
pub(crate) fn counts_bytes(option: &str) -> bool {
    option.ends_with("_bytes") || ["checkpoint_after", "offload_threshold"].contains(&option)
}
