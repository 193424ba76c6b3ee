//! Opening a store, and what its handles share.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use session_core::{Durability, Operation, Result, StoreError, StoreErrorKind};

use crate::config::PostgresConfig;
use crate::connect::Hosts;
use crate::error::{Cause, Failure};
use crate::home::Home;
use crate::link::Link;
use crate::schema::{self, Table};
use crate::statement::Statements;

/// The shared part of all handles of a store.
pub(crate) struct Inner {
    pub(crate) link: Link,
    pub(crate) config: PostgresConfig,
    pub(crate) statements: Statements,
}

impl Inner {
    pub(crate) async fn open(config: PostgresConfig) -> Result<Self> {
        config.check()?;
        let (connection, home) = (config.connection()?, Home::current()?);
        let hosts = Hosts::new(&connection, config.connect_timeout, home);
        let limit = hosts.limit_of_all();
        let recycling_method = RecyclingMethod::Fast;
        let manager = Manager::from_connect(connection, hosts, ManagerConfig { recycling_method });
        let pool = Pool::builder(manager)
            .max_size(config.connections)
            .create_timeout(Some(limit))
            .runtime(Runtime::Tokio1)
            .build();
        let failed = |text: String| {
            StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_source(Cause::text(text))
        };
        Self::over(pool.map_err(|cause| failed(cause.to_string()))?, true, config).await
    }

    /// A store over the connections of `pool`. The URL plays no part.
    pub(crate) async fn over(pool: Pool, is_own: bool, config: PostgresConfig) -> Result<Self> {
        config.check()?;
        let table = Table::new(&config.table)?;
        let link = Link::new(pool, is_own, Home::current()?, &config);
        // Migrating a large table takes long, so only the connection and each look have a limit.
        let mut client = link.connect(config.response_timeout.max(Duration::from_secs(1))).await?;
        let refused = |cause| Failure::refused(cause).during(Operation::Open);
        let (is_standby, durable): (bool, bool) = client
            .query_typed_one("SELECT pg_is_in_recovery(), current_setting('fsync')::boolean", &[])
            .await
            .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .map_err(refused)?;
        if is_standby {
            return Err(Failure::Standby.during(Operation::Open));
        }
        if config.durability == Durability::Power && !durable {
            let text = "durability is power, and the server has fsync = off";
            return Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(text));
        }
        schema::prepare(&mut client, &table, config.create_table).await?;
        drop(client);
        let statements = Statements::new(&table.quoted, config.durability, config.response_timeout);
        Ok(Self { link, config, statements })
    }
}
