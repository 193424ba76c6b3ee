//! The findings, with the clauses and the programs that show them.

use super::results::{Cell, Store};

/// One cause of failures.
pub(crate) struct Finding {
    pub(crate) title: &'static str,
    /// What happens, what the store or its trait says about it, and what an application can do.
    pub(crate) text: &'static str,
    causes: &'static [Cause],
    /// Programs that show it, in `third-party/`, each with a line of its output. Without that line the page cannot be written,
    /// so that the text, the program and its output agree.
    pub(crate) programs: &'static [(&'static str, &'static str)],
}

/// Failures that belong to a finding: a part of the store's name, the clauses, and a part of what happened. An empty part
/// is in every text, and no clauses are all clauses.
type Cause = (&'static str, &'static [&'static str], &'static str);

impl Finding {
    /// The failed clauses of a store that belong to it.
    pub(crate) fn clauses_of<'a>(&self, store: &Store<'a>) -> Vec<&'a str> {
        let own = |cell: &Cell<'_>| of(store.name, cell).is_some_and(|finding| std::ptr::eq(finding, self));
        store.cells().filter(own).map(|cell| cell.id).collect()
    }

    /// Whether it rests on its programs alone.
    #[cfg(test)]
    pub(crate) fn is_without_clause(&self) -> bool {
        self.causes.is_empty()
    }

    fn explains(&self, store: &str, cell: &Cell<'_>) -> bool {
        let fits = |(name, ids, part): &Cause| {
            store.contains(name) && (ids.is_empty() || ids.contains(&cell.id)) && cell.reason.contains(part)
        };
        self.causes.iter().any(fits)
    }
}

/// The finding to which a cell of a store belongs: the first that explains the failure.
pub(crate) fn of(store: &str, cell: &Cell<'_>) -> Option<&'static Finding> {
    FINDINGS.iter().find(|finding| cell.verdict == "fail" && finding.explains(store, cell))
}

pub(crate) static FINDINGS: &[Finding] = &[
    Finding {
        title: "A save after a delete brings the session back",
        text: "A request loads a session. Another request deletes it, which is the user's logout. The first request ends \
               and saves what it loaded. The session exists again, and the client's old cookie opens it.\n\n\
               The trait of tower-sessions says of `save`: \"This method is intended for updating the state of an \
               existing session.\" It leaves open what a store does if the session does not exist. These stores insert \
               it. tower-sessions-file-store, tower-sessions-redis-store and the control refuse it with an error instead. \
               `RedisSessionStore` of actix-session saves the session under a new key and \
               returns that key; a comment in its source says so, for a session that expired meanwhile.",
        causes: &[
            ("tower-sessions", &["C08"], "got Record"),
            ("RedisSessionStore", &["C08"], "got Record"),
            ("axum_session", &["C08"], "got Record"),
            ("async-session", &["C08"], "got Record"),
        ],
        programs: &[
            ("memory/examples/save_after_delete.rs", "the session exists after delete and save: true"),
            ("redis/examples/update_of_deleted.rs", "a session exists under it: true"),
        ],
    },
    Finding {
        title: "Expired sessions are served",
        text: "`load` returns a session whose expiry date has passed, until a cleanup removes it. The trait of \
               tower-sessions says: \"If the session does not exist or has been invalidated (e.g., expired), `None` is \
               returned.\" The layer above does not check the date again. Browsers drop the cookie at that time; another \
               client can keep it. The clauses about changes of an expired session fail for the same reason.",
        causes: &[
            ("tower-sessions-file-store", EXPIRED, ""),
            ("tower-sessions-fs-store", EXPIRED, ""),
            ("tower-sessions-sled-store", EXPIRED, ""),
        ],
        programs: &[("memory/examples/expired_session.rs", "load returns the expired session: true")],
    },
    Finding {
        title: "A session is served for up to a second after its expiry date",
        text: "sqlx stores the expiry date in SQLite as text, and compares it with the present time as text. A date whose \
               second has no fraction is written without one, and then sorts after all times of that second: `Z` sorts \
               after `.`. The dates of tower-sessions usually have a fraction of nine digits, so this is seldom seen; a \
               date with fewer digits is late by less.",
        causes: &[("tower-sessions-sqlx-store, SQLite", &["E01b"], "")],
        programs: &[("sqlx/examples/expired_for_a_second.rs", "load 0.5 s after the expiry date: true")],
    },
    Finding {
        title: "A session ends up to a second before its expiry date",
        text: "The store keeps the expiry date in whole seconds and drops the fraction, so a session ends at the beginning \
               of the second in which it should end. A session of a second or less may not live at all. This matters only for \
               very short sessions. `RedisSessionStore` of actix-session drops the fraction of the time to live, and Redis \
               refuses a time below a second.",
        causes: &[("", &["E01a"], "")],
        programs: &[("rusqlite/examples/early_by_a_second.rs", "load returns the session: false")],
    },
    Finding {
        title: "A taken id is overwritten",
        text: "`create` stores the new session over the one that has the id. The trait of tower-sessions has a default for \
               `create`, which saves without a check and logs a warning: \"it is recommended that stores implement their \
               own version\". The sled store has the default. The traits of async-session and of axum_session's pools have \
               one call for new and for changed sessions, so no store of them can refuse; axum_session asks whether an id \
               exists before it uses it. These libraries draw ids of at least 122 random bits, so two equal ids do not \
               occur by chance.",
        causes: &[
            ("tower-sessions-sled-store", &["B17", "B20", "C02"], ""),
            ("async-session", &["B17", "B20", "B35", "C02", "E03", "E08", "E09"], ""),
        ],
        programs: &[("memory/examples/taken_id.rs", "create for bob kept the id: true")],
    },
    Finding {
        title: "Two creations at once share an id",
        text: "`create` asks whether the id exists, and then inserts in a second step that replaces what is there. Of two \
               concurrent creations with one id both succeed, and the later one wins. The ids are random, so this does not \
               occur by chance.",
        causes: &[("", &["C02"], "of them are")],
        programs: &[("memory/examples/create_race.rs", "two creations at once both kept the id: true")],
    },
    Finding {
        title: "Torn reads: a session cannot be read while it is saved",
        text: "The store truncates the file of the session and writes it again. A request that loads the session between \
               the two steps reads an empty or incomplete file. tower-sessions-file-store returns an error then, and \
               tower-sessions-fs-store no session, so that the visitor appears to be logged out: a comment in its source \
               says \"broken records are counted as the record does not exist\". tower-sessions-file-based-store writes \
               another file and renames it, and passes.",
        causes: &[
            ("tower-sessions-file-store", TORN, ""),
            ("tower-sessions-file-store", &["C14"], "Failed to serialize"),
            ("tower-sessions-fs-store", TORN, ""),
        ],
        programs: &[("memory/examples/torn_read.rs", "loads failed while the session was saved: true")],
    },
    Finding {
        title: "A save whose request was dropped takes effect later",
        text: "A web server drops the future of a request when its client disconnects. The store has by then passed the \
               save to a thread for blocking calls or to one of several connections. It cannot be cancelled there, and it \
               runs beside the store\'s next calls. \
               The save can take effect after a later save or delete of the same session, also if the same task makes \
               these calls.",
        causes: &[("tower-sessions", &["C14"], "got Record"), ("axum_session", &["C14"], "got Record")],
        programs: &[(
            "memory/examples/dropped_save.rs",
            "the dropped save took effect after the delete: true",
        )],
    },
    Finding {
        title: "The id of an expired session counts as taken",
        text: "`create` looks for the id among all stored sessions, also among those that have expired and wait for a \
               cleanup. It then draws another id. This harms nobody, because the library draws random ids; it fails the \
               clauses that store a new record under the key of an expired one.",
        causes: &[("", &["B35", "B37", "E03", "E09"], "Conflict(None)")],
        programs: &[("memory/examples/expired_id.rs", "create kept the id of an expired session: false")],
    },
    Finding {
        title: "A refusal has the text of another error",
        text: "tower-sessions-redis-store asks Redis to create only a new key and to save only over an existing one, so it \
               neither overwrites a taken id nor brings a session back. Redis refuses with an empty answer, which the client \
               does not convert to the expected type. The application gets that error, and `create` does not draw another \
               id. The trait permits an error in both cases, so no clause fails.",
        causes: &[],
        programs: &[("redis/examples/save_of_deleted.rs", "the session exists: false")],
    },
    Finding {
        title: "A cookie opens its session after delete and after its time to live",
        text: "The session is in the cookie, and the store keeps nothing. The documentation of actix-session says: \"There is \
               no way to invalidate a session before its natural expiry when using cookies as the storage backend.\" The \
               value has no date either: the end of its life is the `Max-Age` of the cookie, which the browser keeps. A \
               copy of the cookie opens the session for as long as the application keeps its key. The documentation also \
               names the bound of about 4 kB, which many records of the suite exceed.",
        causes: &[("CookieSessionStore", &[], "")],
        programs: &[(
            "redis/examples/deleted_cookie.rs",
            "the session after delete: Some({\"user\": \"alice\"})",
        )],
    },
    Finding {
        title: "The later of two saves wins, and a change is lost",
        text: "The traits have no condition for a save, so two requests that load one session and save it keep only the \
               changes of the later one. No store behind these traits can prevent it; only a store that finds the loaded \
               state among the session's values can, as `session-interop` does. These clauses have the verdict `trait` for \
               every store. The same holds for the clauses about removals, because `delete` does not say whether it \
               deleted.",
        causes: &[],
        programs: &[("memory/examples/lost_update.rs", "cart: None")],
    },
];

const EXPIRED: &[&str] = &["B35", "B37", "E01b", "E02", "E03", "E04", "E05", "E06", "E08", "E09", "E11"];
const TORN: &[&str] = &["B29", "C02", "C05", "C06", "C08", "C12", "C18", "D03"];
