//! The tables, and the columns of each record.

/// Three columns that hold one record, and their names in the accessors.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The names in the accessors: data, deadline, revision.
    pub(crate) names: [&'static str; 3],
    pub(crate) table: &'static str,
    /// In the same order.
    pub(crate) columns: [&'static str; 3],
    /// The SQL condition of a row that holds nothing else, and is deleted with its record.
    pub(crate) alone: &'static str,
}

/// The tables. A visitor is the application's own object, and a session has some of its columns.
pub(crate) const SCHEMA: &str = "\
    CREATE TABLE IF NOT EXISTS visitors (
        id TEXT PRIMARY KEY NOT NULL,
        name TEXT,
        session BLOB, expires INTEGER, revision BLOB,
        flash BLOB, flash_expires INTEGER, flash_revision BLOB
    );
    CREATE INDEX IF NOT EXISTS visitors_by_expires ON visitors (expires) WHERE expires IS NOT NULL;
    CREATE INDEX IF NOT EXISTS visitors_by_flash_expires ON visitors (flash_expires)
        WHERE flash_expires IS NOT NULL;
    CREATE TABLE IF NOT EXISTS extras (
        id TEXT PRIMARY KEY NOT NULL,
        data BLOB, expires INTEGER, revision BLOB
    );
    CREATE INDEX IF NOT EXISTS extras_by_expires ON extras (expires) WHERE expires IS NOT NULL;";

/// The session of a visitor.
pub(crate) const SESSION: Slot = Slot {
    names: ["session", "expires", "revision"],
    table: "visitors",
    columns: ["session", "expires", "revision"],
    alone: "name IS NULL AND coalesce(flash, flash_expires, flash_revision) IS NULL",
};

/// The flash of a visitor, in the same row.
pub(crate) const FLASH: Slot = Slot {
    names: ["flash.data", "flash.expires", "flash.revision"],
    table: "visitors",
    columns: ["flash", "flash_expires", "flash_revision"],
    alone: "name IS NULL AND coalesce(session, expires, revision) IS NULL",
};

/// Records of all other prefixes. Each has a row of its own, whose id is the whole key.
pub(crate) const EXTRA: Slot = Slot {
    names: ["extra", "extra.expires", "extra.revision"],
    table: "extras",
    columns: ["data", "expires", "revision"],
    alone: "true",
};

impl Slot {
    /// The slot whose data field has this name.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        [&SESSION, &FLASH, &EXTRA].into_iter().find(|slot| slot.names[0] == name)
    }
}
