//! The table, its version, and the migration of older versions.
//!
//! The comment of the table holds its version. Reading a comment needs no right, so a role with the four rights on rows
//! is enough after the table was made.

use std::time::Duration;

use session_core::{Operation, Result, StoreError, StoreErrorKind};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::error::Failure;

/// Step `n` leads from version `n` to version `n + 1`. Steps are added and never changed. `{table}` is the quoted table,
/// `{index}` the quoted name of its index.
pub(crate) const STEPS: &[&str] = &["\
CREATE TABLE {table} (
    key bytea PRIMARY KEY,
    revision bytea NOT NULL,
    deadline bigint,
    due bigint,
    data bytea NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX {index} ON {table} (due) WHERE due IS NOT NULL;
"];

const MARK: &str = "session-store-postgres, version ";

/// A schema-qualified or plain name of a table, quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) quoted: String,
    index: String,
}

impl Table {
    /// Quotes `table` or `schema.table`.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let parts: Vec<_> = name.split('.').collect();
        let is_name = |part: &str| (1..=55).contains(&part.len()) && !part.contains(['\0', '"']);
        if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
            let wrong = "table is not a name or schema.name, with at most 55 bytes each and without quotes";
            return Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(wrong));
        }
        let quote = |part: &&str| format!("\"{part}\"");
        let last = parts.last().copied().unwrap_or_default();
        Ok(Self {
            quoted: parts.iter().map(quote).collect::<Vec<_>>().join("."),
            index: format!("\"{last}_due\""),
        })
    }

    /// The statements that lead from version `from` to the newest one.
    pub(crate) fn sql(&self, from: usize) -> String {
        let mut sql = String::new();
        for step in STEPS.iter().skip(from) {
            sql.push_str(&step.replace("{table}", &self.quoted).replace("{index}", &self.index));
        }
        sql.push_str(&format!("COMMENT ON TABLE {} IS '{MARK}{}';\n", self.quoted, STEPS.len()));
        sql
    }
}

/// The state of the table in the database.
enum State {
    Missing,
    Version(usize),
    Future(String),
    Foreign,
}

/// Checks the table's version, and creates or migrates the table if `create`. Each look has a limit, and so has the wait
/// for another process that migrates. Migrating a large table itself takes long, so it has none.
pub(crate) async fn prepare(client: &mut Client, table: &Table, create: bool, limit: Duration) -> Result<()> {
    let new = |kind, text: String| Err(StoreError::new(kind, Operation::Open).with_detail(text));
    let wrong = |text| new(StoreErrorKind::Misconfigured, text);
    let name = &table.quoted;
    for again in [true, true, true, false] {
        match within(limit, inspect(client, table))
            .await
            .map_err(|failure| failure.during(Operation::Open))?
        {
            State::Version(version) if version == STEPS.len() => return Ok(()),
            // `to_regclass` sees a table that another process committed after the snapshot, in which the comment is missing.
            State::Foreign if again => {}
            State::Missing | State::Version(_) if create && again => {
                match migrate(client, table, limit).await {
                    // The next look decides, because another program may have made the table.
                    Ok(()) => {}
                    Err(failure) if is_made_meanwhile(&failure) => {}
                    Err(failure) => {
                        return Err(failure
                            .during(Operation::Open)
                            .with_detail(format!("cannot create or migrate the table {name}")));
                    }
                }
            }
            State::Missing | State::Version(_) if create => {
                return new(StoreErrorKind::Unavailable, format!("other processes change the table {name}"));
            }
            State::Missing => {
                let detail = format!("the table {name} is missing, and create_table is off");
                return new(StoreErrorKind::Missing, detail);
            }
            State::Version(version) => {
                return wrong(format!(
                    "the table {name} has version {version} and needs a migration, and create_table is off"
                ));
            }
            State::Future(version) => {
                return wrong(format!(
                    "the table {name} has version {version}, which is newer than this driver"
                ));
            }
            State::Foreign => break,
        }
    }
    wrong(format!("the table {name} is not a table of this driver"))
}

/// The answer of the server within a limit.
pub(crate) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    match timeout(limit, answer).await {
        Ok(answer) => answer.map_err(|cause| Failure::of(&cause)),
        Err(_) => Err(Failure::Late),
    }
}

/// Whether another process has created the table since this one looked. The look before the creation may come from the
/// server's cache of names.
fn is_made_meanwhile(failure: &Failure) -> bool {
    let made = [SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT, SqlState::UNIQUE_VIOLATION];
    made.iter().any(|code| code.code() == failure.code())
}

async fn inspect(client: &Client, table: &Table) -> Result<State, Error> {
    let sql = "SELECT to_regclass($1) IS NOT NULL, obj_description(to_regclass($1)::oid, 'pg_class')";
    let types =
        [(&table.quoted as &(dyn tokio_postgres::types::ToSql + Sync), tokio_postgres::types::Type::TEXT)];
    let row = client.query_typed_one(sql, &types).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(State::Missing);
    }
    let comment: Option<String> = row.try_get(1)?;
    let version = comment.as_deref().and_then(|comment| comment.strip_prefix(MARK));
    Ok(match version.map(str::parse::<usize>) {
        Some(Ok(version)) if (1..=STEPS.len()).contains(&version) => State::Version(version),
        Some(_) => State::Future(version.unwrap_or_default().to_owned()),
        None => State::Foreign,
    })
}

/// One transaction. Of two processes at once, one does it and the other finds it done.
async fn migrate(client: &mut Client, table: &Table, limit: Duration) -> Result<(), Failure> {
    /// "session" in ASCII.
    const LOCK: i64 = 0x0073_6573_7369_6f6e;
    // The server gives its reason before this side stops to wait.
    let (wait, limit) = (limit.as_millis(), limit * 2);
    let transaction = within(limit, client.transaction()).await?;
    let lock = format!("SET LOCAL lock_timeout = {wait}; SELECT pg_advisory_xact_lock({LOCK})");
    within(limit, transaction.batch_execute(&lock)).await?;
    let from = match within(limit, inspect(transaction.client(), table)).await? {
        State::Missing => 0,
        State::Version(version) if version < STEPS.len() => version,
        _ => return Ok(()),
    };
    let failed = |cause| Failure::of(&cause);
    transaction.batch_execute(&table.sql(from)).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_checked() {
        assert_eq!(Table::new("sessions").unwrap().quoted, r#""sessions""#);
        assert_eq!(Table::new("App.my sessions").unwrap().quoted, r#""App"."my sessions""#);
        for wrong in ["", ".", "a.b.c", "a\"; DROP TABLE x; --", "a.", &"x".repeat(56), "a\0"] {
            assert_eq!(Table::new(wrong).unwrap_err().kind(), StoreErrorKind::Misconfigured, "{wrong:?}");
        }
    }
}
