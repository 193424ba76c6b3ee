//! The changing statements: what each operation does inside the transaction that the writer holds open.
//!
//! Each change first tries the one statement that is nearly always enough, and where that finds no row it reads what
//! is there and lets `Condition::decide` say what to do. (One `INSERT .. ON CONFLICT .. WHERE` for everything would
//! create a record where a replacement expects one that has gone.)

use rusqlite::Connection;
use session_core::{
    Change, Condition, Key, OldDecision, Operation, Purged, Record, Revision, Timestamp, is_live,
};

use crate::error::Fault;
use crate::query::{self, Next, Range, deadline_bits, retrieve};

/// The record is live. As unsigned numbers, see `query.rs`: `?5` and `?6` are the sign and the bits of now.
macro_rules! live {
    () => {
        "(deadline IS NULL OR (deadline < 0, deadline) > (?5, ?6))"
    };
}

/// `due` may stay as it is, for it is not after the new deadline, `?3`, whose sign is `?4`.
macro_rules! due_in_time {
    () => {
        "(?3 IS NULL OR (due < 0, due) <= (?4, ?3))"
    };
}

const PUT: &str = "INSERT INTO records (key, revision, deadline, due, data) VALUES (?1, ?2, ?3, ?3, ?4) \
    ON CONFLICT (key) DO UPDATE SET \
    revision = excluded.revision, deadline = excluded.deadline, due = excluded.due, data = excluded.data";
const CREATE: &str = "INSERT INTO records (key, revision, deadline, due, data) VALUES (?1, ?2, ?3, ?3, ?4) \
    ON CONFLICT (key) DO NOTHING";
/// The three that are nearly always enough: they leave `due` and its index alone.
const OVERWRITE: &str =
    concat!("UPDATE records SET revision = ?2, deadline = ?3, data = ?5 WHERE key = ?1 AND ", due_in_time!());
const REPLACE: &str = concat!(
    "UPDATE records SET revision = ?2, deadline = ?3, data = ?8 WHERE key = ?1 AND revision = ?7 AND ",
    due_in_time!(),
    " AND ",
    live!()
);
const TOUCH: &str = concat!(
    "UPDATE records SET revision = ?2, deadline = ?3 WHERE key = ?1 AND revision = ?7 AND ",
    due_in_time!(),
    " AND ",
    live!()
);
const TOUCH_BACK: &str = concat!(
    "UPDATE records SET revision = ?2, deadline = ?3, due = ?3 WHERE key = ?1 AND revision = ?4 AND ",
    live!()
);
const REMOVE: &str = "DELETE FROM records WHERE key = ?1";
const DUE: &str = "SELECT id, deadline FROM records WHERE due BETWEEN ?1 AND ?2 ORDER BY due LIMIT ?3";
const ANY_DUE: &str = "SELECT EXISTS (SELECT 1 FROM records WHERE due BETWEEN ?1 AND ?2)";
const PURGE: &str = "DELETE FROM records WHERE id = ?1";
const POSTPONE: &str = "UPDATE records SET due = ?2 WHERE id = ?1";
const CLEAR: &str = "DELETE FROM records WHERE id IN \
    (SELECT id FROM records WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3) RETURNING key, deadline";

/// Every statement of this file: see `query::STATEMENTS`.
pub(crate) const STATEMENTS: &[&str] =
    &[PUT, CREATE, OVERWRITE, REPLACE, TOUCH, TOUCH_BACK, REMOVE, DUE, ANY_DUE, PURGE, POSTPONE, CLEAR];

/// How many rows one purge or clear looks at; more is done in several, and other changes come between.
const SWEEP: usize = 128;
/// The weight of an operation that removes many rows: too heavy to be done in place.
const HEAVY: usize = 1 << 20;
/// What any change weighs beside its data.
const LIGHT: usize = 512;

/// A change that the writer is asked for.
#[derive(Clone, Debug)]
pub(crate) enum ChangeRequest {
    Store { key: Key, record: Record, when: Condition },
    Remove { key: Key, when: Condition },
    Touch { key: Key, from: Revision, to: Revision, deadline: Option<Timestamp> },
    Purge { limit: usize },
    Clear { range: Range },
}

/// What the writer answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Stored(Change),
    Touched(bool),
    Purged(Purged),
    /// How many live records went, and where to go on.
    Cleared(u64, Next),
}

impl ChangeRequest {
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Store { .. } => Operation::Store,
            Self::Remove { .. } => Operation::Remove,
            Self::Touch { .. } => Operation::Touch,
            Self::Purge { .. } => Operation::Purge,
            Self::Clear { .. } => Operation::Clear,
        }
    }

    /// About how many bytes this change keeps in memory while it waits, and writes when it is done.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Store { record, .. } => LIGHT + record.data.len(),
            Self::Remove { .. } | Self::Touch { .. } => LIGHT,
            Self::Purge { .. } | Self::Clear { .. } => HEAVY,
        }
    }

    /// Makes the change. `Fault::Row` is the answer to this change alone and has written nothing; after
    /// `Fault::Engine` the whole transaction may be gone.
    pub(crate) fn apply(&self, connection: &Connection, now: Timestamp) -> Result<Answer, Fault> {
        match self {
            Self::Store { key, record, when } => {
                store(connection, key.as_bytes(), record, *when, now).map(Answer::Stored)
            }
            Self::Remove { key, when } => remove(connection, key.as_bytes(), *when, now).map(Answer::Stored),
            Self::Touch { key, from, to, deadline } => {
                touch(connection, key.as_bytes(), *from, *to, *deadline, now).map(Answer::Touched)
            }
            Self::Purge { limit } => purge(connection, *limit, now).map(Answer::Purged),
            Self::Clear { range } => clear(connection, range, now),
        }
    }
}

fn store(
    connection: &Connection,
    key: &[u8],
    record: &Record,
    when: Condition,
    now: Timestamp,
) -> Result<Change, Fault> {
    let offered = record.revision.to_bytes();
    let (deadline, far) = (deadline_bits(record.expires), record.expires.map(|expires| moment(expires).0));
    let (sign, bits) = moment(now);
    let data = &*record.data;
    let write = |statement: &str| -> Result<bool, Fault> {
        Ok(connection.prepare_cached(statement)?.execute((key, offered, deadline, data))? == 1)
    };
    let still_live = record.is_live(now);
    if still_live {
        let written = match when {
            Condition::Any => {
                let values = (key, offered, deadline, far, data);
                connection.prepare_cached(OVERWRITE)?.execute(values)? == 1 || write(PUT)?
            }
            Condition::Absent => write(CREATE)?,
            Condition::Revision(expected) => {
                let values = (key, offered, deadline, far, sign, bits, expected.to_bytes(), data);
                connection.prepare_cached(REPLACE)?.execute(values)? == 1
            }
        };
        if written {
            return Ok(Change::Applied);
        }
    } else if when == Condition::Any {
        delete(connection, key)?;
        return Ok(Change::Applied);
    }
    let live = retrieve(connection, key, now)?;
    match when.decide(live.as_ref().map(|live| live.revision), Some(record.revision)) {
        OldDecision::Apply if still_live => write(PUT).map(|_| Change::Applied),
        OldDecision::Apply => delete(connection, key).map(|_| Change::Applied),
        OldDecision::AlreadyApplied => Ok(Change::Applied),
        OldDecision::Conflict => Ok(Change::Conflict(live)),
    }
}

fn remove(connection: &Connection, key: &[u8], when: Condition, now: Timestamp) -> Result<Change, Fault> {
    if when == Condition::Any {
        // A damaged record can be removed like any other: this is how one gets rid of it.
        let live = match query::live_revision(connection, key, now) {
            Err(Fault::Row(_)) => true,
            other => other?.is_some(),
        };
        return if live {
            delete(connection, key).map(|_| Change::Applied)
        } else {
            Ok(Change::Conflict(None))
        };
    }
    let live = query::live_revision(connection, key, now)?;
    match when.decide(live, None) {
        OldDecision::Apply => delete(connection, key).map(|_| Change::Applied),
        OldDecision::AlreadyApplied => Ok(Change::Applied),
        OldDecision::Conflict => Ok(Change::Conflict(retrieve(connection, key, now)?)),
    }
}

fn touch(
    connection: &Connection,
    key: &[u8],
    from: Revision,
    to: Revision,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, Fault> {
    let (sign, bits) = moment(now);
    let (from, to) = (from.to_bytes(), to.to_bytes());
    let far = deadline.map(|deadline| moment(deadline).0);
    let values = (key, to, deadline_bits(deadline), far, sign, bits, from);
    if connection.prepare_cached(TOUCH)?.execute(values)? == 1 {
        return Ok(true);
    }
    let values = (key, to, deadline_bits(deadline), from, sign, bits);
    if connection.prepare_cached(TOUCH_BACK)?.execute(values)? == 1 {
        return Ok(true);
    }
    Ok(query::live_revision(connection, key, now)? == Some(Revision::from_bytes(to)))
}

fn delete(connection: &Connection, key: &[u8]) -> Result<bool, Fault> {
    Ok(connection.prepare_cached(REMOVE)?.execute([key])? == 1)
}

fn purge(connection: &Connection, limit: usize, now: Timestamp) -> Result<Purged, Fault> {
    let mut purged = Purged::default();
    for (first, last) in expired(now) {
        // Read within the transaction that removes: nobody extends a record between the look and the removal.
        for (id, deadline) in due(connection, first, last)? {
            if is_live(deadline, now) {
                connection.prepare_cached(POSTPONE)?.execute((id, deadline_bits(deadline)))?;
            } else if purged.removed < limit as u64 {
                connection.prepare_cached(PURGE)?.execute([id])?;
                purged.removed += 1;
            }
        }
        let any_due = |row: &rusqlite::Row<'_>| row.get::<_, bool>(0);
        purged.more |= connection.prepare_cached(ANY_DUE)?.query_row((first, last), any_due)?;
    }
    Ok(purged)
}

fn due(connection: &Connection, first: i64, last: i64) -> Result<Vec<(i64, Option<Timestamp>)>, Fault> {
    let mut statement = connection.prepare_cached(DUE)?;
    let mut rows = statement.query((first, last, SWEEP as i64))?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        // A deadline that is none ends nothing: the record stays for whoever retrieves it, and is not looked at again.
        due.push((row.get(0)?, query::deadline(row, 1).unwrap_or(None)));
    }
    Ok(due)
}

fn clear(connection: &Connection, range: &Range, now: Timestamp) -> Result<Answer, Fault> {
    let mut statement = connection.prepare_cached(CLEAR)?;
    let mut rows = statement.query((&*range.from, &*range.end, SWEEP as i64))?;
    let (mut live, mut seen, mut last): (_, _, Next) = (0, 0, None);
    while let Some(row) = rows.next()? {
        seen += 1;
        let key = query::key_bytes(row)?;
        if last.as_deref().is_none_or(|last| last < key) {
            last = Some(key.into());
        }
        live += u64::from(is_live(query::deadline(row, 1).unwrap_or(None), now));
    }
    Ok(Answer::Cleared(live, if seen == SWEEP { last } else { None }))
}

/// Now as SQL compares it: the sign, then the bits. Among numbers of one sign the order is that of unsigned numbers.
fn moment(now: Timestamp) -> (bool, i64) {
    let bits = now.as_millis().cast_signed();
    (bits < 0, bits)
}

/// The intervals of the deadlines that have passed. The second is empty until the year 292,278,994.
fn expired(now: Timestamp) -> [(i64, i64); 2] {
    match moment(now) {
        (false, bits) => [(0, bits), (0, -1)],
        (true, bits) => [(0, i64::MAX), (i64::MIN, bits)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn open() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, schema::STEPS).unwrap();
        connection
    }

    #[test]
    fn deadlines_beyond_what_sqlite_counts_are_kept_and_compared_as_they_are() {
        let connection = open();
        let late = [1, i64::MAX as u64 - 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX - 1, u64::MAX];
        for (n, &deadline) in late.iter().enumerate() {
            let (key, one) = ([n as u8], Revision::from_bytes([1; 8]));
            let record = Record::new(&b"x"[..], Some(at(deadline)), one);
            assert!(store(&connection, &key, &record, Condition::Absent, at(0)).unwrap().is_applied());
            let before = at(deadline - 1);
            assert_eq!(retrieve(&connection, &key, before).unwrap(), Some(record.clone()));
            assert_eq!(retrieve(&connection, &key, at(deadline)).unwrap(), None);
            assert!(!touch(&connection, &key, one, one, Some(at(deadline)), at(deadline)).unwrap());
            assert!(touch(&connection, &key, one, one, Some(at(deadline)), before).unwrap());
            let replace = Condition::Revision(one);
            assert_eq!(
                store(&connection, &key, &Record { expires: None, ..record.clone() }, replace, at(deadline))
                    .unwrap(),
                Change::Conflict(None)
            );
            assert!(store(&connection, &key, &record, replace, before).unwrap().is_applied());
        }
        for now in late {
            let purged = purge(&connection, 10, at(now)).unwrap();
            assert_eq!(purged, Purged { removed: 1, more: false }, "at {now}");
        }
    }

    #[test]
    fn purge_keeps_what_was_extended_and_looks_at_it_again_at_its_new_deadline() {
        let connection = open();
        let one = Revision::from_bytes([1; 8]);
        let deadlines = [Some(at(50)), None, Some(at(u64::MAX)), Some(at(5)), Some(at(20))];
        for (n, &deadline) in deadlines.iter().enumerate() {
            let record = Record::new(&b"x"[..], Some(at(10)), one);
            assert!(store(&connection, &[n as u8], &record, Condition::Any, at(0)).unwrap().is_applied());
            assert!(touch(&connection, &[n as u8], one, one, deadline, at(0)).unwrap());
        }
        // The last one has no deadline any more and then has one again.
        assert!(touch(&connection, &[1], one, one, Some(at(30)), at(0)).unwrap());
        let mut removed = 0;
        for (now, expected) in
            [(4, 0), (5, 1), (19, 1), (20, 2), (30, 3), (49, 3), (50, 4), (u64::MAX - 1, 4)]
        {
            let purged = purge(&connection, 10, at(now)).unwrap();
            removed += purged.removed;
            assert_eq!((removed, purged.more), (expected, false), "at {now}");
        }
        assert_eq!(purge(&connection, 10, at(u64::MAX)).unwrap().removed, 1);
    }

    #[test]
    fn a_deadline_after_none_at_all_is_found_by_the_purge() {
        let connection = open();
        let one = Revision::from_bytes([1; 8]);
        let record = Record::new(&b"x"[..], None, one);
        assert!(store(&connection, b"a", &record, Condition::Any, at(0)).unwrap().is_applied());
        assert!(touch(&connection, b"a", one, one, Some(at(7)), at(0)).unwrap());
        assert_eq!(purge(&connection, 10, at(7)).unwrap(), Purged { removed: 1, more: false });
    }

    #[test]
    fn more_is_said_exactly_while_something_expired_is_left() {
        let connection = open();
        for n in 0..5_u8 {
            let record = Record::new(&b"x"[..], Some(at(10)), Revision::from_bytes([n; 8]));
            assert!(store(&connection, &[n], &record, Condition::Any, at(0)).unwrap().is_applied());
        }
        for (limit, removed, more) in
            [(0, 0, true), (2, 2, true), (3, 3, false), (3, 0, false), (0, 0, false)]
        {
            assert_eq!(purge(&connection, limit, at(10)).unwrap(), Purged { removed, more });
        }
    }
}
