//! The tables, their version, and the migration of older versions.
//!
//! One ordinary rowid table. `WITHOUT ROWID` was measured three times slower and larger with data of 1 KiB. The data is
//! the last column, so that a reader of revision and deadline stops before its overflow pages.
//!
//! `due` is when a purge looks at the record: at its deadline, or earlier if the deadline was moved since, never later.
//! The index is on `due`. So a write that extends a session rewrites one page instead of three. A purge that finds an
//! extended record sets `due` to its deadline, once for all the writes in between.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// The `application_id` of this driver's files, "sess". It distinguishes them from other applications' databases.
pub(crate) const APPLICATION_ID: i32 = 0x7365_7373;

/// Step `n` leads from version `n` to version `n + 1`. Steps are added and never changed.
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

/// The kind of a file, by its header and its list of tables.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// It has no tables yet.
    Empty,
    /// This driver's, of this version.
    Version(i32),
    /// This driver's, of a newer version.
    Future(i32),
    /// Another application's database.
    Foreign,
}

/// Reads the versions and writes nothing. It needs a transaction: another process may be creating the schema, and half
/// a schema looks like another application's.
pub(crate) fn inspect(connection: &Transaction<'_>, newest: i32) -> rusqlite::Result<FileKind> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match i32::try_from(version).unwrap_or(i32::MAX) {
        0 if application == 0 && tables == 0 => FileKind::Empty,
        _ if application != i64::from(APPLICATION_ID) => FileKind::Foreign,
        version if version > newest => FileKind::Future(version),
        version if version < 1 => FileKind::Foreign,
        version => FileKind::Version(version),
    })
}

/// Migrates the file to the newest version, in one transaction. Of two processes at once, one does it.
pub(crate) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<FileKind> {
    let newest = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    // Again under the lock: another process may have been faster.
    let kind = inspect(&transaction, newest)?;
    let from = match kind {
        FileKind::Empty => 0,
        FileKind::Version(version) if version < newest => version,
        other => return Ok(other),
    };
    for step in steps.iter().skip(usize::try_from(from).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest)?;
    transaction.commit()?;
    Ok(FileKind::Version(newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migration_keeps_the_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(migrate(&mut connection, STEPS).unwrap(), FileKind::Version(1));
        connection
            .execute("INSERT INTO records (key, revision, data) VALUES (x'61', x'00', x'62')", [])
            .unwrap();
        let later = [STEPS[0], "ALTER TABLE records ADD COLUMN size INTEGER; UPDATE records SET size = 1;"];
        assert_eq!(migrate(&mut connection, &later).unwrap(), FileKind::Version(2));
        let size: i64 = connection.query_row("SELECT size FROM records", [], |row| row.get(0)).unwrap();
        assert_eq!(size, 1);
        assert_eq!(migrate(&mut connection, &later).unwrap(), FileKind::Version(2), "only once");
        assert_eq!(migrate(&mut connection, STEPS).unwrap(), FileKind::Future(2), "older code refuses it");
    }

    #[test]
    fn a_failed_migration_leaves_the_old_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, STEPS).unwrap();
        assert!(migrate(&mut connection, &[STEPS[0], "CREATE TABLE more (a); NONSENSE;"]).is_err());
        assert_eq!(inspect(&connection.unchecked_transaction().unwrap(), 1).unwrap(), FileKind::Version(1));
        let more = "SELECT count(*) FROM sqlite_schema WHERE name = 'more'";
        assert_eq!(connection.query_row(more, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }
}
