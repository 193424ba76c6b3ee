//! The tables, their version, and how an older version becomes this one.
//!
//! One ordinary rowid table. `WITHOUT ROWID` was measured three times slower and larger with data of 1 KiB. The data
//! stands last, so that a reader of revision and deadline stops before its overflow pages.
//!
//! `due` is when a purge looks at the record: at its deadline, or earlier where the deadline was moved since; never
//! later. The index is on `due`, so that a write which extends a session rewrites one page and not three, and the purge
//! that comes upon an extended record moves its `due` up to its deadline, once for all the writes since.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// `application_id` of our files: "sess". It tells an empty file of ours from somebody else's database.
pub(crate) const APPLICATION_ID: i32 = 0x7365_7373;

/// Step `n` leads from version `n` to version `n + 1`. Steps are only ever added.
pub(crate) const STEPS: &[&str] = &["
    CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        revision BLOB NOT NULL,
        deadline INTEGER,
        due INTEGER,
        data BLOB NOT NULL
    ) STRICT;
    CREATE INDEX records_due ON records (due) WHERE due IS NOT NULL;
"];

/// What a file is, as far as its header and its list of tables tell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing in it yet.
    Empty,
    /// Ours, of this version.
    Version(i32),
    /// Ours, of a version that this code does not know.
    Future(i32),
    /// Another application's database.
    Foreign,
}

/// Reads the versions and writes nothing. Within a transaction: another process may be making the schema just now, and
/// half of what it made would look like somebody else's.
pub(crate) fn inspect(connection: &Transaction<'_>, newest: i32) -> rusqlite::Result<Found> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match i32::try_from(version).unwrap_or(i32::MAX) {
        0 if application == 0 && tables == 0 => Found::Empty,
        _ if application != i64::from(APPLICATION_ID) => Found::Foreign,
        version if version > newest => Found::Future(version),
        version if version < 1 => Found::Foreign,
        version => Found::Version(version),
    })
}

/// Brings the file to the newest version, in one transaction; two processes at once do it once.
pub(crate) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<Found> {
    let newest = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    // Read again under the lock: another process may have been faster.
    let found = inspect(&transaction, newest)?;
    let from = match found {
        Found::Empty => 0,
        Found::Version(version) if version < newest => version,
        other => return Ok(other),
    };
    for step in steps.iter().skip(usize::try_from(from).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest)?;
    transaction.commit()?;
    Ok(Found::Version(newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_is_migrated_and_keeps_its_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(migrate(&mut connection, STEPS).unwrap(), Found::Version(1));
        connection
            .execute("INSERT INTO records (key, revision, data) VALUES (x'61', x'00', x'62')", [])
            .unwrap();
        let later = [STEPS[0], "ALTER TABLE records ADD COLUMN size INTEGER; UPDATE records SET size = 1;"];
        assert_eq!(migrate(&mut connection, &later).unwrap(), Found::Version(2));
        let size: i64 = connection.query_row("SELECT size FROM records", [], |row| row.get(0)).unwrap();
        assert_eq!(size, 1);
        assert_eq!(migrate(&mut connection, &later).unwrap(), Found::Version(2), "and only once");
        assert_eq!(migrate(&mut connection, STEPS).unwrap(), Found::Future(2), "older code keeps off");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_old_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, STEPS).unwrap();
        assert!(migrate(&mut connection, &[STEPS[0], "CREATE TABLE more (a); NONSENSE;"]).is_err());
        assert_eq!(inspect(&connection.unchecked_transaction().unwrap(), 1).unwrap(), Found::Version(1));
        let more = "SELECT count(*) FROM sqlite_schema WHERE name = 'more'";
        assert_eq!(connection.query_row(more, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }

    #[test]
    fn somebody_elses_database_is_told_from_an_empty_one() {
        let connection = Connection::open_in_memory().unwrap();
        assert_eq!(inspect(&connection.unchecked_transaction().unwrap(), 1).unwrap(), Found::Empty);
        connection.execute_batch("CREATE TABLE invoices (total)").unwrap();
        assert_eq!(inspect(&connection.unchecked_transaction().unwrap(), 1).unwrap(), Found::Foreign);
        connection.pragma_update(None, "user_version", 1).unwrap();
        assert_eq!(inspect(&connection.unchecked_transaction().unwrap(), 1).unwrap(), Found::Foreign);
    }
}
