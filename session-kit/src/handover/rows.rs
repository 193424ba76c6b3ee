//! A table of sessions, in SQLite or PostgreSQL.

use std::fmt::Write as _;
use std::time::Duration;

use super::system::{System, with_system};

/// A table with one row per session, for `SqliteRows` and `PostgresRows`.
#[derive(Clone, Debug)]
pub struct Rows {
    pub(super) system: System,
    table: String,
    name: String,
    data: String,
    binary: bool,
    end: Option<End>,
}

/// How a column holds a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// A number of seconds since 1970.
    Seconds,
    /// A number of milliseconds since 1970.
    Milliseconds,
    /// A timestamp; in UTC where it has no zone. In SQLite it is text.
    Utc,
    /// A timestamp of PostgreSQL without a zone, in the zone of the connections.
    Local,
}

#[derive(Clone, Debug)]
struct End {
    column: String,
    moment: Moment,
    idle: Duration,
}

/// The differences of the two dialects.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(all(feature = "handover-sqlite", feature = "handover-postgres")),
    allow(dead_code, reason = "each source uses one")
)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    fn parameter(self, number: u8) -> String {
        // SQLite takes `$1` for a name, and numbers names by their first place in the text.
        format!("{}{number}", if self == Self::Sqlite { '?' } else { '$' })
    }
}

impl Rows {
    /// The table `table`, also as `schema.table`, whose column `name` holds the names of the sessions and whose column `data`
    /// holds them as text. Upper and lower case differ.
    pub fn new(
        table: impl Into<String>,
        name: impl Into<String>,
        data: impl Into<String>,
        system: System,
    ) -> Self {
        Self { system, table: table.into(), name: name.into(), data: data.into(), binary: false, end: None }
    }

    /// The column of the sessions holds bytes.
    #[must_use]
    pub fn binary(mut self) -> Self {
        self.binary = true;
        self
    }

    /// The table's name, if it is not the usual one.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// A session has ended at the moment in `column`.
    #[must_use]
    pub fn ends_at(self, column: impl Into<String>, moment: Moment) -> Self {
        self.idle(column, moment, Duration::ZERO)
    }

    /// A session has ended `time` after the moment in `column`.
    #[must_use]
    pub fn idle(mut self, column: impl Into<String>, moment: Moment, time: Duration) -> Self {
        self.end = Some(End { column: column.into(), moment, idle: time });
        self
    }

    with_system!();

    /// Selects the session of the first parameter: its data if they have at most the second parameter's bytes, their length,
    /// and the moment of its end. The end is `NULL` where the column does not hold a moment.
    pub(super) fn select(&self, dialect: Dialect) -> String {
        let mut sql = self.columns(dialect);
        let _ = write!(sql, " WHERE {} = {}", quoted(&self.name), dialect.parameter(1));
        sql
    }

    /// Selects the names of sessions after the first parameter, in their order; at most as many as the second parameter.
    pub(super) fn names(&self, dialect: Dialect) -> String {
        let (table, name) = (self.quoted_table(), quoted(&self.name));
        let (after, most) = (dialect.parameter(1), dialect.parameter(2));
        format!("SELECT {name} FROM {table} WHERE {name} > {after} ORDER BY {name} LIMIT {most}")
    }

    pub(super) fn delete(&self, dialect: Dialect) -> String {
        format!("DELETE FROM {} WHERE {} = {}", self.quoted_table(), quoted(&self.name), dialect.parameter(1))
    }

    /// The end of a session, if it has one: `end` is what the column says. A column that holds no moment is damage.
    pub(super) fn end_of(&self, end: Option<f64>) -> session_core::Result<Option<f64>> {
        match (&self.end, end) {
            (None, _) => Ok(None),
            (Some(rule), Some(end)) => Ok(Some(end + rule.idle.as_secs_f64())),
            (Some(_), None) => {
                Err(super::system::corrupt().with_detail("the end of the session is not a moment"))
            }
        }
    }

    fn columns(&self, dialect: Dialect) -> String {
        let most = dialect.parameter(2);
        let column = quoted(&self.data);
        let data = if self.binary { column } else { format!("CAST({column} AS text)") };
        let end = self.end.as_ref().map_or_else(
            || "NULL".to_owned(),
            |end| match (end.moment, dialect) {
                (Moment::Seconds, _) => quoted(&end.column),
                (Moment::Milliseconds, _) => format!("{} / 1000.0", quoted(&end.column)),
                (Moment::Utc | Moment::Local, Dialect::Sqlite) => {
                    format!("unixepoch({}, 'subsec')", quoted(&end.column))
                }
                (Moment::Utc, Dialect::Postgres) => {
                    format!("EXTRACT(EPOCH FROM {} AT TIME ZONE 'UTC')", quoted(&end.column))
                }
                (Moment::Local, Dialect::Postgres) => {
                    format!("EXTRACT(EPOCH FROM CAST({} AS timestamptz))", quoted(&end.column))
                }
            },
        );
        let end = match dialect {
            Dialect::Sqlite => end,
            Dialect::Postgres => format!("CAST({end} AS float8)"),
        };
        format!(
            "SELECT CASE WHEN octet_length({data}) <= {most} THEN {data} END, {end} FROM {}",
            self.quoted_table()
        )
    }

    fn quoted_table(&self) -> String {
        self.table.split('.').map(quoted).collect::<Vec<_>>().join(".")
    }
}

/// A name in SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
