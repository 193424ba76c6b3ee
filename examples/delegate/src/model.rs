//! The model: how visitors are loaded and written.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use session_core::{
    Applied, Capabilities, Condition, Entry, EntryDeadline, Key, Prefix, Result as CoreResult, Revision,
    RollsBack, Shared, StoreErrorKind, Survives, Timestamp,
};
use session_store_delegate::{ByPrefix, Fields, Flushed, Location, Mapping, Model, Value};

use crate::connections::Connections;
use crate::error::Error;
use crate::row::{Row, from_sql, to_sql};
use crate::slot::{EXTRA, FLASH, SCHEMA, SESSION, Slot};

/// The visitors of a site, in the application's own table. Clones share the connections.
#[derive(Clone)]
pub struct Visitors(Arc<Connections>);

impl fmt::Debug for Visitors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitors").finish_non_exhaustive()
    }
}

impl Visitors {
    /// Opens the file, and creates it and its tables if they are missing. `max_pages` bounds its size, in pages of 4 KiB.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(path: impl Into<PathBuf>, max_pages: Option<u32>) -> Result<Self, Error> {
        let connections = Connections::open(path.into(), max_pages)?;
        connections.with(|connection| connection.execute_batch(SCHEMA))?;
        Ok(Self(Arc::new(connections)))
    }

    /// Sets a visitor's name, in the same row as the session.
    ///
    /// # Errors
    /// SQLite's.
    pub fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO visitors (id, name) VALUES (?1, ?2) \
            ON CONFLICT (id) DO UPDATE SET name = excluded.name";
        self.0.with(|connection| connection.execute(SQL, (id, name)))?;
        Ok(())
    }

    /// Moves a name to the visitor whose row a rotated session has now. The name stays if that visitor has one already.
    ///
    /// # Errors
    /// SQLite's.
    pub fn move_name(&self, from: &str, to: &str) -> Result<(), Error> {
        const GIVE: &str = "INSERT INTO visitors (id, name) \
            SELECT ?2, name FROM visitors WHERE id = ?1 AND name IS NOT NULL AND ?1 <> ?2 \
            ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE name IS NULL";
        const TAKE: &str = "UPDATE visitors SET name = NULL WHERE id = ?1";
        const DROP: &str = "DELETE FROM visitors WHERE id = ?1 AND \
            coalesce(session, expires, revision, flash, flash_expires, flash_revision) IS NULL";
        self.0.with(|connection| {
            // Other connections find the name in exactly one row.
            let both = connection.unchecked_transaction()?;
            if both.execute(GIVE, (from, to))? == 1 {
                both.execute(TAKE, [from])?;
                both.execute(DROP, [from])?;
            }
            both.commit()
        })?;
        Ok(())
    }

    /// The name of a visitor.
    ///
    /// # Errors
    /// SQLite's.
    pub fn name(&self, id: &str) -> Result<Option<String>, Error> {
        const SQL: &str = "SELECT name FROM visitors WHERE id = ?1";
        let name = self.0.with(|connection| connection.query_row(SQL, [id], |row| row.get(0)).optional())?;
        Ok(name.flatten())
    }
}

/// The mapping of this application: sessions and their flash are columns of a visitor. Every other record has a row of
/// its own, whose id is the whole key.
///
/// # Errors
/// None.
pub fn locate(key: &Key) -> CoreResult<Location> {
    match key.prefix() {
        "session" | "flash" => ByPrefix.locate(key),
        _ => {
            let [data, expires, revision] = EXTRA.names;
            Ok(Location::new(key.as_str(), Fields::new(data, expires, revision)))
        }
    }
}

fn slot(location: &Location) -> Result<&'static Slot, Error> {
    let field = &location.fields.data;
    Slot::of(field).ok_or_else(|| Error::NoSuchField(field.clone().into_owned()))
}

impl Model for Visitors {
    type Delegate = Row;
    type Error = Error;

    async fn delegate(&self, location: &Location) -> Result<Row, Error> {
        let slot = slot(location)?;
        let Slot { table, columns: [data, expires, revision], .. } = slot;
        // A damaged index leads to another visitor's row. So the id is read from the row itself; `i.id` would be read
        // from the index.
        let sql = format!(
            "SELECT r.{data}, r.{expires}, r.{revision}, r.id = ?1 FROM {table} AS i \
             LEFT JOIN {table} AS r ON r.rowid = i.rowid WHERE i.id = ?1"
        );
        let found = self.0.with(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let columns = statement.query_row([&location.id], |row| {
                let column = |index| row.get_ref(index).map(from_sql);
                let own = row.get::<_, Option<bool>>(3)?.unwrap_or(false);
                Ok(own.then_some([column(0)?, column(1)?, column(2)?]))
            });
            columns.optional()
        })?;
        let found = found.map(|columns| columns.ok_or(Error::Index)).transpose()?;
        Ok(found.map_or(Row::empty(slot), |columns| Row { columns, ..Row::empty(slot) }))
    }

    async fn flush(&self, location: &Location, row: Row, expected: Condition) -> Result<Flushed, Error> {
        let empties = row.is_empty();
        let written = self.0.with(|connection| {
            if empties {
                drop_record(connection, &location.id, row.slot, expected)
            } else {
                write(connection, &location.id, &row, expected)
            }
        })?;
        match written {
            true => Ok(Flushed::Yes),
            // Only the row of another id, to which a damaged index leads, is left alone without a condition.
            false if expected == Condition::Any && !empties => Err(Error::Index),
            false => Ok(Flushed::Conflict),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
            .conditional(true)
            .survives(Survives::Kill)
            .rolls_back(RollsBack::PowerLoss)
            .shared(Shared::Host)
            .max_record_bytes(Some(4 << 20))
            .exactly_once(true)
    }

    fn classify(&self, error: &Error) -> (StoreErrorKind, Applied) {
        error.classify()
    }

    async fn list(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>, Error> {
        // The id of a visitor's row is the id part of the key. The id of an extra is the whole key, and all of a prefix
        // are between `prefix:` and `prefix;`.
        let (slot, from, end) = match prefix.as_str() {
            "session" => (&SESSION, after.map_or("", Key::id).to_owned(), None),
            "flash" => (&FLASH, after.map_or("", Key::id).to_owned(), None),
            _ => {
                let from = after.map_or_else(|| format!("{prefix}:"), |key| key.as_str().to_owned());
                (&EXTRA, from, Some(format!("{prefix};")))
            }
        };
        let Slot { table, columns: [data, expires, revision], .. } = slot;
        // Where the index is damaged its ids are out of order, and a walk that continued with one might not end.
        let sql = format!(
            "SELECT i.id, r.{expires}, r.{revision}, length(r.{data}) FROM {table} AS i \
             JOIN {table} AS r ON r.rowid = i.rowid AND +r.id = i.id \
             WHERE i.id > ?1 AND (?2 IS NULL OR i.id < ?2) AND r.{revision} IS NOT NULL ORDER BY i.id LIMIT ?3"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let entries = self.0.with(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![from, end, limit])?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                // Only the driver writes a revision, so the id belongs to a key.
                let Some(key) = key_of(slot, prefix, &id) else { continue };
                let columns = [from_sql(row.get_ref(1)?), from_sql(row.get_ref(2)?)];
                entries.push(entry(key, columns, row.get(3)?));
            }
            Ok(entries)
        })?;
        Ok(Some(entries))
    }

    async fn expired(
        &self,
        now: Timestamp,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Option<Vec<Key>>, Error> {
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        // One slot after the other, each in the order of its ids. The slots before that of `after` are done.
        let slots = [(&SESSION, "session"), (&FLASH, "flash"), (&EXTRA, "")];
        let first = after.map_or(0, |after| {
            slots.iter().position(|(_, prefix)| *prefix == after.prefix()).unwrap_or(slots.len() - 1)
        });
        let mut keys = Vec::new();
        for (index, (slot, prefix)) in slots.into_iter().enumerate().skip(first) {
            let Slot { table, columns: [_, expires, revision], .. } = slot;
            // Damaged revisions are omitted, because a flush could not compare them.
            let sql = format!(
                "SELECT id FROM {table} WHERE {expires} BETWEEN 0 AND ?1 AND id > ?2 AND \
                 ({revision} IS NULL OR typeof({revision}) = 'blob' AND length({revision}) = 8) \
                 ORDER BY id LIMIT ?3"
            );
            let from = match after {
                Some(after) if index == first && prefix.is_empty() => after.as_str(),
                Some(after) if index == first => after.id(),
                _ => "",
            };
            let left = i64::try_from(limit - keys.len()).unwrap_or(i64::MAX);
            self.0.with(|connection| {
                let mut statement = connection.prepare_cached(&sql)?;
                let mut rows = statement.query((now, from, left))?;
                while let Some(row) = rows.next()? {
                    let id: String = row.get(0)?;
                    let text = if prefix.is_empty() { id } else { format!("{prefix}:{id}") };
                    keys.extend(Key::parse(&text).ok());
                }
                Ok(())
            })?;
        }
        Ok(Some(keys))
    }

    async fn sync(&self) -> Result<(), Error> {
        const SQL: &str = "PRAGMA wal_checkpoint(FULL)";
        let busy = self.0.with(|connection| connection.query_row(SQL, [], |row| row.get(0)))?;
        if busy { Err(Error::Busy) } else { Ok(()) }
    }
}

/// The condition on the row, with [`bytes`] as the parameter `?5`.
fn guard(expected: Condition, revision: &str) -> String {
    match expected {
        Condition::Any => "?5 IS NULL".into(),
        Condition::Absent => format!("{revision} IS ?5"),
        Condition::Revision(_) => format!("{revision} = ?5"),
    }
}

/// The expected revision; NULL for conditions without one.
fn bytes(expected: Condition) -> Option<[u8; 8]> {
    match expected {
        Condition::Revision(revision) => Some(revision.to_bytes()),
        _ => None,
    }
}

/// The row of the id, if the row agrees with the index.
fn this_row(table: &str) -> String {
    format!("rowid = (SELECT rowid FROM {table} WHERE id = ?1) AND +id = ?1")
}

/// One statement, so that comparing and writing are one atomic step.
fn write(connection: &Connection, id: &str, row: &Row, expected: Condition) -> rusqlite::Result<bool> {
    let Slot { table, columns: [data, expires, revision], .. } = row.slot;
    let guard = guard(expected, revision);
    let sql = match expected {
        // The row must exist, so it is not inserted. A touch leaves the data alone.
        Condition::Revision(_) => {
            let data = if row.new_data { format!("{data} = ?2, ") } else { String::new() };
            let there = this_row(table);
            format!("UPDATE {table} SET {data}{expires} = ?3, {revision} = ?4 WHERE {there} AND {guard}")
        }
        Condition::Any | Condition::Absent => format!(
            "INSERT INTO {table} (id, {data}, {expires}, {revision}) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (id) DO UPDATE SET {data} = ?2, {expires} = ?3, {revision} = ?4 \
             WHERE {table}.id = excluded.id AND {guard}"
        ),
    };
    let [new_data, new_expires, new_revision] = row.columns.each_ref().map(to_sql);
    let values = params![id, new_data, new_expires, new_revision, bytes(expected)];
    Ok(connection.prepare_cached(&sql)?.execute(values)? == 1)
}

/// Deletes the row if it holds nothing else, and otherwise empties these columns.
fn drop_record(
    connection: &Connection,
    id: &str,
    slot: &Slot,
    expected: Condition,
) -> rusqlite::Result<bool> {
    let Slot { table, columns: [data, expires, revision], alone, .. } = slot;
    let guard = guard(expected, revision);
    let there = this_row(table);
    let there = format!("{there} AND {guard} AND coalesce({data}, {expires}, {revision}) IS NOT NULL");
    let delete = format!("DELETE FROM {table} WHERE {there} AND {alone}");
    let empty = format!("UPDATE {table} SET {data} = ?2, {expires} = ?3, {revision} = ?4 WHERE {there}");
    // Each statement has the condition, so a change in between is not lost.
    let null = rusqlite::types::Null;
    let run =
        |sql: &str| connection.prepare_cached(sql)?.execute(params![id, null, null, null, bytes(expected)]);
    Ok(run(&delete)? == 1 || run(&empty)? == 1)
}

fn key_of(slot: &Slot, prefix: &Prefix, id: &str) -> Option<Key> {
    let key = if slot.table == EXTRA.table { Key::parse(id) } else { Key::new(prefix, id) };
    key.ok()
}

/// The entry of a row. It omits a damaged column, which the driver then reads itself.
fn entry(key: Key, columns: [Option<Value>; 2], size: Option<i64>) -> Entry {
    let [expires, revision] = columns;
    let mut entry = Entry::new(key);
    entry.deadline = match expires {
        None => EntryDeadline::Never,
        Some(Value::Number(millis)) => EntryDeadline::At(Timestamp::from_millis(millis)),
        Some(_) => EntryDeadline::Unknown,
    };
    entry.revision = match revision {
        Some(Value::Bytes(bytes)) => bytes[..].try_into().ok().map(Revision::from_bytes),
        _ => None,
    };
    entry.size = size.and_then(|size| u64::try_from(size).ok());
    entry
}
