//! Sessions in a table of PostgreSQL.

use std::time::Duration;

use deadpool_postgres::{Manager, Pool, PoolError};
use http::HeaderMap;
use session_core::{Operation, StoreError, StoreErrorKind};
use session_handover::Value;
use session_manager::{HandoverSource, OldId};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Config, NoTls, Row};

use super::listed::{Listed, ListedSource, PAGE};
use super::rows::{Dialect, Rows};
use super::system::{name_of, now, readable, too_long};

type Parameter<'p> = (&'p (dyn ToSql + Sync), Type);

/// The live sessions of an application in a table of a PostgreSQL database, for
/// [`SessionsBuilder::handover`](crate::SessionsBuilder::handover).
///
/// A call is one statement without a name, so it runs behind PgBouncer. The role needs `SELECT`, and `DELETE` to end sessions.
#[derive(Clone, Debug)]
pub struct PostgresRows {
    pool: Pool,
    pub(super) rows: Rows,
    response_timeout: Duration,
}

impl PostgresRows {
    /// The table of the database at `postgres://user[:password]@host[:port]/database`, without TLS. It connects at its first use,
    /// with at most 8 connections.
    ///
    /// # Errors
    /// `Misconfigured` for a URL that is none of these.
    pub fn new(url: &str, rows: Rows) -> session_core::Result<Self> {
        // The parser's error may repeat a part of the URL.
        let wrong = |text: &str| {
            StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(text.to_owned())
        };
        let config: Config = url.parse().map_err(|_| wrong("the URL is not one of PostgreSQL"))?;
        let pool = Pool::builder(Manager::new(config, NoTls)).max_size(8).build();
        Ok(Self::with_pool(pool.map_err(|_| wrong("the pool cannot be built"))?, rows))
    }

    /// The table, through a pool of the application, which may use TLS.
    #[must_use]
    pub fn with_pool(pool: Pool, rows: Rows) -> Self {
        Self { pool, rows, response_timeout: Duration::from_secs(2) }
    }

    /// How long a call may take, with the wait for a connection; 2 seconds by default. Then it fails with `Timeout`.
    #[must_use]
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = time;
        self
    }

    async fn query(
        &self,
        operation: Operation,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> session_core::Result<Vec<Row>> {
        let call = async {
            let client = self.pool.get().await.map_err(|error| match error {
                PoolError::Backend(error) => failed(operation, &error),
                _ => StoreError::new(StoreErrorKind::Unavailable, operation),
            })?;
            client.query_typed(sql, parameters).await.map_err(|error| failed(operation, &error))
        };
        match tokio::time::timeout(self.response_timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::new(StoreErrorKind::Timeout, operation)),
        }
    }
}

impl HandoverSource for PostgresRows {
    type Old = Value;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        self.rows.system.presented(headers)
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<Value>> {
        Ok(self.read_until(id).await?.map(|(value, _)| value))
    }

    async fn end(&self, id: &OldId) -> session_core::Result<()> {
        let Some(name) = name_of(id) else { return Ok(()) };
        let parameters: [Parameter<'_>; 1] = [(&name, Type::UNKNOWN)];
        self.query(Operation::Remove, &self.rows.delete(Dialect::Postgres), &parameters).await.map(drop)
    }
}

impl ListedSource for PostgresRows {
    async fn list(&self, from: Option<&str>) -> session_core::Result<Listed> {
        let operation = Operation::Traverse;
        let (from, most) = (from.unwrap_or_default(), i64::from(PAGE));
        let parameters: [Parameter<'_>; 2] = [(&from, Type::UNKNOWN), (&most, Type::INT8)];
        let rows = self.query(operation, &self.rows.names(Dialect::Postgres), &parameters).await?;
        let names = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>();
        Ok(Listed::of(names.map_err(|error| failed(operation, &error))?))
    }

    async fn read_until(&self, id: &OldId) -> session_core::Result<Option<(Value, Option<f64>)>> {
        let operation = Operation::Retrieve;
        let Some(name) = readable(id)? else { return Ok(None) };
        let most = i32::try_from(self.rows.system.bounds.size).unwrap_or(i32::MAX);
        let sql = self.rows.select(Dialect::Postgres);
        // The server gives the name the type of its column.
        let found = self.query(operation, &sql, &[(&name, Type::UNKNOWN), (&most, Type::INT4)]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let end = row.try_get(1).map_err(|error| failed(operation, &error))?;
        let end = self.rows.end_of(end)?;
        if end.is_some_and(|end| now() >= end) {
            return Ok(None);
        }
        let data = data(row, 0).map_err(|error| failed(operation, &error))?.ok_or_else(too_long)?;
        Ok(self.rows.system.decode(name, data, None).await?.map(|value| (value, end)))
    }
}

/// Text or bytes.
fn data(row: &Row, at: usize) -> Result<Option<Vec<u8>>, tokio_postgres::Error> {
    if *row.columns()[at].type_() == Type::BYTEA {
        row.try_get(at)
    } else {
        Ok(row.try_get::<_, Option<String>>(at)?.map(String::into_bytes))
    }
}

/// The kind and the SQLSTATE, without the server's text, which may repeat values.
fn failed(operation: Operation, error: &tokio_postgres::Error) -> StoreError {
    let Some(state) = error.code() else {
        return StoreError::new(StoreErrorKind::Unavailable, operation);
    };
    let kind = match state.code() {
        "57014" | "55P03" => StoreErrorKind::Timeout,
        "53100" => StoreErrorKind::Full,
        code => match code.get(..2).unwrap_or_default() {
            // Connections, resources, the operator, conflicts of transactions.
            "08" | "53" | "57" | "40" | "55" | "25" => StoreErrorKind::Unavailable,
            // A wrong password, role, database, right, table or column.
            "28" | "3D" | "3F" | "42" => StoreErrorKind::Misconfigured,
            _ => StoreErrorKind::Backend,
        },
    };
    StoreError::new(kind, operation).with_detail(format!("SQLSTATE {}", state.code()))
}
