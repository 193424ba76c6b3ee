//! The workspaces of stores. They are separate because their dependencies cannot be in one graph.

/// One workspace in `third-party/`.
pub(crate) struct Group {
    pub(crate) folder: &'static str,
    /// The names of its stores, in the order of the page.
    pub(crate) stores: &'static [&'static str],
    /// Its examples, which are the programs of findings.
    pub(crate) programs: &'static [&'static str],
    /// Whether the examples need the URL of a server.
    pub(crate) server: bool,
}

/// The store whose failures are those of the four calls.
pub(crate) const CONTROL: &str = "control";

/// All of them, in the order of the page.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        folder: "memory",
        stores: &[
            CONTROL,
            "tower-sessions MemoryStore",
            "tower-sessions-moka-store",
            "tower-sessions-file-store",
            "tower-sessions-file-based-store",
            "tower-sessions-fs-store",
            "tower-sessions-sled-store",
        ],
        programs: &[
            "save_after_delete",
            "expired_session",
            "taken_id",
            "torn_read",
            "lost_update",
            "create_race",
            "dropped_save",
            "expired_id",
        ],
        server: false,
    },
    Group {
        folder: "rusqlite",
        stores: &["tower-sessions-rusqlite-store"],
        programs: &["early_by_a_second"],
        server: false,
    },
    Group {
        folder: "sqlx",
        stores: &["tower-sessions-sqlx-store, SQLite", "tower-sessions-sqlx-store, PostgreSQL"],
        programs: &["expired_for_a_second"],
        server: false,
    },
    Group {
        folder: "toasty",
        stores: &["tower-sessions-toasty-store, SQLite"],
        programs: &[],
        server: false,
    },
    Group { folder: "libsql", stores: &["tower-sessions-libsql-store"], programs: &[], server: false },
    Group {
        folder: "redis",
        stores: &[
            "tower-sessions-redis-store",
            "actix-session RedisSessionStore",
            "actix-session CookieSessionStore",
        ],
        programs: &["save_of_deleted", "update_of_deleted", "deleted_cookie"],
        server: true,
    },
    Group { folder: "axum-session", stores: &["axum_session_sqlx, SQLite"], programs: &[], server: false },
    Group { folder: "async-session", stores: &["async-session MemoryStore"], programs: &[], server: false },
];
