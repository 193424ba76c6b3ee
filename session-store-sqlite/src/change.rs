//! Store, remove and touch, each inside the transaction that the writer holds open.
//!
//! A change first tries the one statement that is nearly always enough. If that changes no row, the driver reads the
//! row and `ChangeRequest::decide` says what to do. A single `INSERT .. ON CONFLICT .. WHERE` is not enough: it would
//! create a record although the replaced record is gone.

use rusqlite::{Connection, Params};
use session_core::{Change, ChangeRequest, Condition, Decision, Found, Record, Timestamp, Touch};

use crate::error::Fault;
use crate::read::{self, Most, millis};

/// The row of the key. The `+` keeps SQLite from answering the second comparison with the index too: a damaged index may
/// lead to the row of another key (see `read`).
macro_rules! this_row {
    () => {
        "id = (SELECT id FROM records WHERE key = ?1) AND +key = ?1"
    };
}

/// Whether the column `due`, by which a purge finds rows, may stay as it is: it is not later than the new deadline.
macro_rules! due_in_time {
    () => {
        "(?3 IS NULL OR due BETWEEN 0 AND ?3)"
    };
}

const PUT: &str = "INSERT INTO records (key, revision, deadline, due, data) VALUES (?1, ?2, ?3, ?3, ?4) \
    ON CONFLICT (key) DO UPDATE SET \
    revision = excluded.revision, deadline = excluded.deadline, due = excluded.due, data = excluded.data \
    WHERE records.key = excluded.key AND length(records.data) <= ?5";
const CREATE: &str = "INSERT INTO records (key, revision, deadline, due, data) VALUES (?1, ?2, ?3, ?3, ?4) \
    ON CONFLICT (key) DO NOTHING";
const MOVE: &str = concat!("UPDATE records SET revision = ?2, deadline = ?3, due = ?3 WHERE ", this_row!());
const DELETE: &str = concat!("DELETE FROM records WHERE ", this_row!());
// These leave `due` and its index alone.
const OVERWRITE: &str = concat!(
    "UPDATE records SET revision = ?2, deadline = ?3, data = ?4 WHERE ",
    this_row!(),
    " AND length(data) <= ?5 AND ",
    due_in_time!()
);
const REPLACE: &str = concat!(
    "UPDATE records SET revision = ?2, deadline = ?3, data = ?4 WHERE ",
    this_row!(),
    " AND length(data) <= ?7 AND revision = ?5 AND (deadline IS NULL OR deadline > ?6) AND ",
    due_in_time!()
);
const TOUCH: &str = concat!(
    "UPDATE records SET revision = ?2, deadline = ?3 WHERE ",
    this_row!(),
    " AND revision = ?4 AND (deadline IS NULL OR deadline > ?5) AND length(data) <= ?6 AND ",
    due_in_time!()
);

/// Prepared when a connection is opened, so that a missing column is found then.
pub(crate) const STATEMENTS: &[&str] = &[PUT, CREATE, MOVE, DELETE, OVERWRITE, REPLACE, TOUCH];

/// Makes one change of a transaction that holds the changes of several callers. `Fault::Row` is the answer to this change
/// alone, which has written nothing. After
/// `Fault::Engine` the whole transaction may be rolled back.
pub(crate) fn apply(
    connection: &Connection,
    key: &[u8],
    request: &ChangeRequest,
    now: Timestamp,
    most: Most,
) -> Result<Change, Fault> {
    if in_one_statement(connection, key, request, now, most)? {
        return Ok(Change::Applied);
    }
    let (found, damage) = match read::state(connection, key, now, most) {
        Err(Fault::Row(damage)) => (Found::Damaged, damage),
        other => (other?, ""),
    };
    match request.decide(found, now) {
        Decision::Write => write(connection, key, request, most)?,
        Decision::Delete => drop(execute(connection, DELETE, [key])?),
        Decision::AlreadyApplied | Decision::AlreadyAbsent => {}
        Decision::Conflict if matches!(request, ChangeRequest::Touch(_)) => {
            return Ok(Change::Conflict(None));
        }
        Decision::Conflict => return Ok(Change::Conflict(read::retrieve(connection, key, now, most)?)),
        Decision::Corrupt => return Err(Fault::Row(damage)),
    }
    Ok(Change::Applied)
}

/// Returns whether the change was made. `false` decides nothing.
fn in_one_statement(
    connection: &Connection,
    key: &[u8],
    request: &ChangeRequest,
    now: Timestamp,
    most: Most,
) -> Result<bool, Fault> {
    let (now_millis, most) = (millis(now), most.bytes());
    match request {
        ChangeRequest::Store { record, condition } if record.is_live(now) => {
            let (revision, deadline, data) = values(record);
            match condition {
                Condition::Any => Ok(execute(connection, OVERWRITE, (key, revision, deadline, data, most))?
                    || execute(connection, PUT, (key, revision, deadline, data, most))?),
                Condition::Absent => execute(connection, CREATE, (key, revision, deadline, data)),
                Condition::Revision(expected) => {
                    let expected = expected.to_bytes();
                    execute(connection, REPLACE, (key, revision, deadline, data, expected, now_millis, most))
                }
            }
        }
        // A live record at `to` was touched already, even if `from` is the same.
        ChangeRequest::Touch(Touch { from, to, deadline }) if from != to => {
            let values = (key, to.to_bytes(), deadline.map(millis), from.to_bytes(), now_millis, most);
            execute(connection, TOUCH, values)
        }
        ChangeRequest::Store { .. } | ChangeRequest::Remove { .. } | ChangeRequest::Touch(_) => Ok(false),
    }
}

fn write(connection: &Connection, key: &[u8], request: &ChangeRequest, most: Most) -> Result<(), Fault> {
    match request {
        ChangeRequest::Store { record, .. } => {
            let (revision, deadline, data) = values(record);
            if !execute(connection, PUT, (key, revision, deadline, data, most.bytes()))? {
                return Err(if most == Most::Any { Fault::Row("data is missing") } else { Fault::Large });
            }
        }
        ChangeRequest::Touch(touch) => {
            execute(connection, MOVE, (key, touch.to.to_bytes(), touch.deadline.map(millis)))?;
        }
        ChangeRequest::Remove { .. } => {}
    }
    Ok(())
}

fn values(record: &Record) -> ([u8; 8], Option<i64>, &[u8]) {
    (record.revision.to_bytes(), record.expires.map(millis), &record.data)
}

/// Returns whether a row was changed.
fn execute(connection: &Connection, statement: &str, values: impl Params) -> Result<bool, Fault> {
    Ok(connection.prepare_cached(statement)?.execute(values)? == 1)
}

#[cfg(test)]
mod tests {
    use session_core::Revision;

    use super::*;
    use crate::{purge, schema};

    const ONE: Revision = Revision::from_bytes([1; 8]);
    const FAR: u64 = i64::MAX as u64;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn open() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, schema::STEPS).unwrap();
        connection
    }

    fn applied(connection: &Connection, key: u8, request: &ChangeRequest, now: u64) -> bool {
        apply(connection, &[key], request, at(now), Most::InPlace).unwrap().is_applied()
    }

    fn store(connection: &Connection, key: u8, deadline: Option<u64>) {
        let record = Record::new(&b"x"[..], deadline.map(at), ONE);
        assert!(applied(connection, key, &ChangeRequest::Store { record, condition: Condition::Any }, 0));
    }

    /// Moves the deadline of the record at revision `number` to one at revision `number + 1`.
    fn touch(number: u8, deadline: Option<u64>) -> ChangeRequest {
        let revision = |number| Revision::from_bytes([number; 8]);
        let (from, to) = (revision(number), revision(number + 1));
        ChangeRequest::Touch(Touch { from, to, deadline: deadline.map(at) })
    }

    fn purge(connection: &Connection, limit: usize, now: u64) -> (u64, bool) {
        let purged = purge::purge(connection, limit, at(now)).unwrap();
        (purged.removed, purged.more)
    }

    #[test]
    fn far_deadlines_are_clamped() {
        let connection = open();
        for deadline in [FAR - 1, FAR, FAR + 1, u64::MAX] {
            store(&connection, 0, Some(deadline));
            let found = read::retrieve(&connection, &[0], at(FAR - 2), Most::InPlace).unwrap().unwrap();
            assert_eq!(found.expires, Some(at(deadline.min(FAR))));
            assert!(applied(&connection, 0, &touch(1, Some(deadline)), FAR - 2));
            assert_eq!(read::retrieve(&connection, &[0], at(u64::MAX), Most::InPlace).unwrap(), None);
        }
        assert_eq!(purge(&connection, 10, u64::MAX), (1, false));
    }

    /// Older versions stored a deadline beyond `i64::MAX` as a negative number.
    #[test]
    fn negative_deadlines_of_older_versions_are_far_ones() {
        let connection = open();
        for key in 0..4 {
            let sql =
                "INSERT INTO records (key, revision, deadline, due, data) VALUES (?1, ?2, -5, -5, x'78')";
            connection.execute(sql, ([key], ONE.to_bytes())).unwrap();
        }
        let found = read::retrieve(&connection, &[0], at(7), Most::InPlace).unwrap().unwrap();
        assert_eq!(found.expires, Some(at(FAR)));
        assert_eq!(purge(&connection, 10, FAR - 1), (0, false));
        let record = Record::new(&b"y"[..], Some(at(20)), ONE);
        assert!(applied(&connection, 0, &touch(1, Some(20)), 7));
        for (key, condition) in [(1, Condition::Any), (2, Condition::Revision(ONE))] {
            assert!(applied(
                &connection,
                key,
                &ChangeRequest::Store { record: record.clone(), condition },
                7
            ));
        }
        assert!(applied(&connection, 3, &ChangeRequest::Remove { condition: Condition::Revision(ONE) }, 7));
        assert_eq!(purge(&connection, 10, 20), (3, false));
    }

    #[test]
    fn purge_looks_at_an_extended_record_again() {
        let connection = open();
        let deadlines = [Some(50), None, Some(u64::MAX), Some(5), Some(20)];
        for (key, deadline) in (0..).zip(deadlines) {
            store(&connection, key, Some(10));
            assert!(applied(&connection, key, &touch(1, deadline), 0));
        }
        // This record has no deadline any more, and then has one again.
        assert!(applied(&connection, 1, &touch(2, Some(30)), 0));
        let mut removed = 0;
        for (now, expected) in
            [(4, 0), (5, 1), (19, 1), (20, 2), (30, 3), (49, 3), (50, 4), (FAR - 1, 4), (FAR, 5)]
        {
            let (more_removed, more) = purge(&connection, 10, now);
            removed += more_removed;
            assert_eq!((removed, more), (expected, false), "at {now}");
        }
    }

    #[test]
    fn a_record_that_had_no_deadline_is_purged() {
        let connection = open();
        store(&connection, 0, None);
        assert!(applied(&connection, 0, &touch(1, Some(7)), 0));
        assert_eq!(purge(&connection, 10, 7), (1, false));
    }
}
