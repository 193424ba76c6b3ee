//! The SQL of each operation.
//!
//! Each statement is outside of a transaction block, so it is a transaction of its own. Isolation is `READ COMMITTED`.
//!
//! A change is a plain statement with the condition in its `WHERE`. If it changes one row, the change is made. If it
//! changes none, the condition may have failed, and the snapshot that it was compared with may be older than the newest
//! row. Then a deciding statement follows. It waits for other transactions that change the row, and evaluates its
//! expressions again on the newest version. So `CASE` compares with what is really stored, and `RETURNING` shows it. The
//! price is that a conflict rewrites the row with its own values, and that the server keeps the returned row in a buffer
//! of its own: the plain statement takes a tenth less of its processor time.
//!
//! `due` is when a purge looks at the record: at its deadline, or earlier if the deadline was moved since, never later.
//! The index is on `due`. So a write that extends a session changes no indexed column (a heap-only tuple).

use std::time::Duration;

use session_core::{Durability, Timestamp};
use tokio_postgres::types::{ToSql, Type};

use crate::settings::{Settings, is_short, lock_millis};

/// The most data that one statement carries or answers, in bytes. A longer record is stored and read in parts.
pub(crate) const PART: usize = 1 << 20;

/// A statement and the types of its parameters.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) types: Vec<Type>,
    /// Whether it answers with rows, and not only with their number.
    pub(crate) has_rows: bool,
}

/// A change of a record, as two statements with the same parameters.
#[derive(Debug)]
pub(crate) struct Attempts {
    /// Changes one row if nothing is in the way.
    pub(crate) plain: Statement,
    /// Decides on the newest row, and answers with it. Sent after a plain statement that changed nothing.
    pub(crate) deciding: Statement,
}

/// The values of a statement's parameters. The time, which is the last parameter of most statements, is not among them: a
/// statement with one parameter more than values gets it when it is sent. A call may wait long before that.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The statements for one table.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) retrieve: Statement,
    /// A part of a large record: its head, and bytes from `$2` on, counted from 1.
    pub(crate) part: Statement,
    pub(crate) whole: Stores,
    /// As `whole` for a record whose data was stored in parts.
    pub(crate) joined: Stores,
    /// Deletes these parts.
    pub(crate) unjoin: Statement,
    pub(crate) remove: Statement,
    pub(crate) touch: Attempts,
    pub(crate) traverse: Statement,
    pub(crate) purge: Statement,
    pub(crate) flush: Statement,
}

/// The stores of a record, by their conditions. `$1` is the key, `$2` the new revision, `$3` the new deadline, `$4` the new
/// data, or what the keys of its parts begin with. Then follow the number of parts, the expected revision and the time,
/// where a statement has them.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(crate) put: Attempts,
    pub(crate) create: Attempts,
    pub(crate) replace: Attempts,
}

impl Stores {
    fn new(table: &str, local: &str, in_parts: bool) -> Self {
        // A missing part makes the data null, which the table refuses.
        let (data, next) = if in_parts {
            let parts = format!("FROM {table} AS p WHERE {}", parts_of("p.key", "$4"));
            let data = "CASE WHEN count(*) = $5 THEN string_agg(p.data, ''::bytea ORDER BY p.key) END";
            (format!("(SELECT {data} {parts})"), 6)
        } else {
            ("$4".to_owned(), 5)
        };
        let (time, expected, later) = (format!("${next}"), format!("${next}"), format!("${}", next + 1));
        let attempts = |plain: String, deciding: String, more: &[Type]| {
            let head = [Type::BYTEA, Type::BYTEA, Type::INT8, Type::BYTEA, Type::INT8];
            let types: Vec<_> = head.iter().take(next - 1).chain(more).cloned().collect();
            Attempts {
                plain: Statement { sql: plain, types: types.clone(), has_rows: false },
                deciding: Statement { sql: deciding, types, has_rows: true },
            }
        };
        // After a conflict, with the data.
        let live = format!(
            "RETURNING key = $1, revision, deadline, \
             CASE WHEN revision <> $2 AND octet_length(data) <= {PART} THEN data END"
        );
        let due = "CASE WHEN r.due IS NOT NULL AND (excluded.due IS NULL OR r.due <= excluded.due) \
                   THEN r.due ELSE excluded.due END";
        let insert = format!(
            "INSERT INTO {table} AS r (key, revision, deadline, due, data) SELECT $1, $2, $3, $3, {data} \
             WHERE {local} ON CONFLICT (key) DO"
        );
        // `new` is the condition for taking the new values. A row under another key shows a damaged index.
        let upsert = |new: &str| {
            format!(
                "{insert} UPDATE SET revision = CASE WHEN {new} THEN excluded.revision ELSE r.revision END, \
                 deadline = CASE WHEN {new} THEN excluded.deadline ELSE r.deadline END, \
                 due = CASE WHEN {new} THEN {due} ELSE r.due END, \
                 data = CASE WHEN {new} THEN excluded.data ELSE r.data END {live}"
            )
        };
        Self {
            put: attempts(
                format!(
                    "{insert} UPDATE SET revision = excluded.revision, deadline = excluded.deadline, due = {due}, \
                     data = excluded.data WHERE r.key = excluded.key"
                ),
                upsert("r.key = excluded.key"),
                &[],
            ),
            // The plain statement does without the time.
            create: attempts(
                format!("{insert} NOTHING"),
                upsert(&format!("r.deadline <= {time} AND r.key = excluded.key")),
                &[Type::INT8],
            ),
            replace: attempts(
                format!(
                    "UPDATE {table} AS r SET revision = $2, deadline = $3, due = {}, data = {data} WHERE r.key = $1 \
                     AND {REVISION_OF_KEY} = {expected} AND (r.deadline IS NULL OR r.deadline > {later}) AND {local}",
                    earlier("$3"),
                ),
                format!(
                    "UPDATE {table} AS r SET \
                     revision = CASE WHEN r.revision = {expected} AND r.key = $1 THEN $2 ELSE r.revision END, \
                     deadline = CASE WHEN r.revision = {expected} AND r.key = $1 THEN $3 ELSE r.deadline END, \
                     due = CASE WHEN r.revision = {expected} AND r.key = $1 AND (r.due IS NULL OR r.due > $3) \
                     THEN $3 ELSE r.due END, \
                     data = CASE WHEN r.revision = {expected} AND r.key = $1 THEN {data} ELSE r.data END \
                     WHERE r.key = $1 AND (r.deadline IS NULL OR r.deadline > {later}) AND {local} {live}"
                ),
                &[Type::BYTEA, Type::INT8],
            ),
        }
    }
}

/// A condition on a key: it is of a part of the data whose parts begin with `name`.
fn parts_of(key: &str, name: &str) -> String {
    format!("{key} > {name} AND {key} < {name} || '\\xff'::bytea")
}

impl Statements {
    /// `table` is quoted. `limit` is the time limit of an operation.
    pub(crate) fn new(table: &str, durability: Durability, limit: Duration, settings: &Settings) -> Self {
        let local = format!("{} AND {}", synchronous_commit(durability), lock_timeout(limit, settings));
        let statement = |sql: String, types: &[Type]| Statement { sql, types: types.into(), has_rows: true };
        let attempts = |plain: String, deciding: String, types: &[Type]| Attempts {
            plain: Statement { sql: plain, types: types.into(), has_rows: false },
            deciding: Statement { sql: deciding, types: types.into(), has_rows: true },
        };
        Self {
            // A standby is recovering. Its rows may be old, so the answer says so.
            retrieve: statement(
                format!(
                    "SELECT pg_is_in_recovery(), r.key, r.revision, r.deadline, \
                     CASE WHEN octet_length(r.data) <= {PART} THEN r.data END \
                     FROM (SELECT 1) AS one LEFT JOIN {table} AS r ON r.key = $1"
                ),
                &[Type::BYTEA],
            ),
            part: statement(
                format!(
                    "SELECT pg_is_in_recovery(), r.key, r.revision, r.deadline, substr(r.data, $2, {PART}), \
                     octet_length(r.data) FROM (SELECT 1) AS one LEFT JOIN {table} AS r ON r.key = $1"
                ),
                &[Type::BYTEA, Type::INT4],
            ),
            whole: Stores::new(table, &local, false),
            joined: Stores::new(table, &local, true),
            unjoin: statement(
                format!("DELETE FROM {table} AS p WHERE {}", parts_of("p.key", "$1")),
                &[Type::BYTEA],
            ),
            // `$2` is the expected revision or null, `$3` whether no live record may be there, `$4` the time. The lock
            // gives the newest version of the row, and keeps it until the row is deleted.
            remove: statement(
                format!(
                    "WITH found AS MATERIALIZED ( \
                     SELECT key, revision, deadline, data FROM {table} WHERE key = $1 AND {local} FOR UPDATE \
                     ), gone AS ( \
                     DELETE FROM {table} AS r USING found AS f WHERE r.key = $1 AND f.key = $1 AND CASE \
                     WHEN $3 THEN f.deadline <= $4 \
                     WHEN $2 IS NULL THEN true \
                     ELSE f.revision = $2 AND (f.deadline IS NULL OR f.deadline > $4) END RETURNING 1 \
                     ) SELECT key = $1, revision, deadline, \
                     CASE WHEN NOT EXISTS (SELECT FROM gone) AND octet_length(data) <= {PART} THEN data END \
                     FROM found"
                ),
                &[Type::BYTEA, Type::BYTEA, Type::BOOL, Type::INT8],
            ),
            // `$2` is the revision before, `$3` after it, `$4` the new deadline, `$5` the time.
            touch: attempts(
                format!(
                    "UPDATE {table} AS r SET revision = $3, deadline = $4, due = {} WHERE r.key = $1 AND {} = $2 \
                     AND $2 <> $3 AND (r.deadline IS NULL OR r.deadline > $5) AND {local}",
                    earlier("$4"),
                    REVISION_OF_KEY
                ),
                format!(
                    "UPDATE {table} AS r SET \
                     revision = CASE WHEN r.revision = $2 AND r.key = $1 THEN $3 ELSE r.revision END, \
                     deadline = CASE WHEN r.revision = $2 AND r.revision <> $3 AND r.key = $1 \
                     THEN $4 ELSE r.deadline END, \
                     due = CASE WHEN r.revision = $2 AND r.revision <> $3 AND r.key = $1 \
                     AND (r.due IS NULL OR r.due > $4) THEN $4 ELSE r.due END \
                     WHERE r.key = $1 AND (r.deadline IS NULL OR r.deadline > $5) AND {local} \
                     RETURNING key = $1, revision"
                ),
                &[Type::BYTEA, Type::BYTEA, Type::BYTEA, Type::INT8, Type::INT8],
            ),
            // One row without a key if the page is empty.
            traverse: statement(
                format!(
                    "SELECT pg_is_in_recovery(), r.key, r.revision, r.deadline, r.size FROM (SELECT 1) AS one \
                     LEFT JOIN (SELECT key, revision, deadline, octet_length(data) AS size FROM {table} \
                     WHERE key > $1 AND key < $2 ORDER BY key LIMIT $3) AS r ON true ORDER BY r.key"
                ),
                &[Type::BYTEA, Type::BYTEA, Type::INT8],
            ),
            // `$1` is the limit, `$2` the time. Two purges at once take different rows. A row that is being changed is
            // left to the next purge. A damaged index may lead from a key to another row: only an expired one is deleted.
            purge: statement(
                format!(
                    "WITH due AS MATERIALIZED ( \
                     SELECT key, deadline FROM {table} WHERE due <= $2 ORDER BY due LIMIT $1 \
                     FOR UPDATE SKIP LOCKED \
                     ), gone AS ( \
                     DELETE FROM {table} AS r USING due AS d \
                     WHERE r.key = d.key AND d.deadline <= $2 AND r.deadline <= $2 RETURNING 1 \
                     ), kept AS ( \
                     UPDATE {table} AS r SET due = d.deadline FROM due AS d \
                     WHERE r.key = d.key AND (d.deadline IS NULL OR d.deadline > $2) \
                     AND r.deadline IS NOT DISTINCT FROM d.deadline RETURNING 1 \
                     ) SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM due), (SELECT count(*) FROM kept)"
                ),
                &[Type::INT8, Type::INT8],
            ),
            // Its own commit waits until the log is on disk, with all commits before it. A standby has no log to write.
            flush: statement(
                format!(
                    "SELECT pg_is_in_recovery(), CASE WHEN NOT pg_is_in_recovery() \
                     THEN {} AND pg_logical_emit_message(true, 'session-kit', '') IS NOT NULL END",
                    synchronous_commit(Durability::Power)
                ),
                &[],
            ),
        }
    }
}

/// The revision of the row, if the row has the key that was asked for: a damaged index may lead to another row. The key is
/// compared again only because this is no condition that the index answers.
const REVISION_OF_KEY: &str = "CASE WHEN r.key = $1 THEN r.revision END";

/// The earlier of `due` and a new deadline, as the new `due`.
fn earlier(deadline: &str) -> String {
    format!("CASE WHEN r.due IS NULL OR r.due > {deadline} THEN {deadline} ELSE r.due END")
}

/// A condition that holds and sets `synchronous_commit` for this transaction, which is this statement. Every value
/// except `off` waits for the local disk, and the operator may have chosen one that waits for standbys too. Setting costs
/// more than looking, and the driver's own connections have the setting already.
fn synchronous_commit(durability: Durability) -> &'static str {
    match durability {
        Durability::Process => {
            "(current_setting('synchronous_commit') = 'off' OR set_config('synchronous_commit', 'off', true) = 'off')"
        }
        Durability::Power => {
            "(current_setting('synchronous_commit') <> 'off' OR set_config('synchronous_commit', 'on', true) = 'on')"
        }
    }
}

/// A condition that holds and limits the waits of this statement for locks of other transactions. So an abandoned change
/// ends by itself, also where it cannot be cancelled, and a change that waited has changed nothing instead of an unknown
/// effect. A shorter limit of the operator stays. The usual value is compared as text, which costs least.
fn lock_timeout(limit: Duration, settings: &Settings) -> String {
    let (millis, usual) = (lock_millis(limit), &settings.lock_timeout);
    format!(
        "(current_setting('lock_timeout') = '{usual}' OR {} OR set_config('lock_timeout', '{millis}', true) IS NOT NULL)",
        is_short(millis)
    )
}

/// A moment as the table stores it. A deadline beyond `i64::MAX` milliseconds (the year 292,278,994) is stored as
/// `i64::MAX`.
pub(crate) fn millis(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}
