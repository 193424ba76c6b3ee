//! Opening a store, and what its handles share.

use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use session_core::{Durability, Operation, Result, StoreError, StoreErrorKind};

use crate::config::PostgresConfig;
use crate::connect::Hosts;
use crate::error::{Cause, Failure};
use crate::home::Home;
use crate::link::Link;
use crate::schema::{self, Table};
use crate::sslmode::{Certificates, SslMode};
use crate::statement::Statements;
use crate::tls::Transport;

/// The shared part of all handles of a store.
pub(crate) struct Inner {
    pub(crate) link: Link,
    pub(crate) config: PostgresConfig,
    pub(crate) statements: Statements,
}

impl Inner {
    pub(crate) async fn open(config: PostgresConfig) -> Result<Self> {
        config.check()?;
        let home = Home::current()?;
        let (connection, mode, certificates) = config.connection()?;
        let transport = transport(mode, certificates).await?;
        let hosts = Hosts::new(&connection, config.connect_timeout, home, transport.clone());
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
        Self::over(pool.map_err(|cause| failed(cause.to_string()))?, Some(transport), config).await
    }

    /// A store over the connections of `pool`. The URL plays no part.
    /// `own` is the way of the driver's own connections.
    pub(crate) async fn over(pool: Pool, own: Option<Transport>, config: PostgresConfig) -> Result<Self> {
        config.check()?;
        let table = Table::new(&config.table)?;
        let link = Link::new(pool, own, Home::current()?, &config);
        let limit = config.response_timeout.max(Duration::from_secs(1));
        let mut client = link.connect(limit).await?;
        if let Err(failed) = prepare(&mut client, &table, &config, limit).await {
            // The connection may have an answer on its way.
            drop(Client::take(client));
            return Err(failed);
        }
        drop(client);
        let statements = Statements::new(&table.quoted, config.durability, config.response_timeout);
        Ok(Self { link, config, statements })
    }
}

/// Reads certificates on a thread for blocking calls, because those of the operating system are many.
async fn transport(mode: SslMode, certificates: Certificates) -> Result<Transport> {
    if mode == SslMode::Disable {
        return Ok(Transport::Clear);
    }
    match tokio::task::spawn_blocking(move || Transport::new(mode, certificates)).await {
        Ok(made) => made,
        Err(failed) => Err(Failure::Unsent(Cause::text(format!("certificates were not read: {failed}")))
            .during(Operation::Open)),
    }
}

/// Checks the server, and checks or creates the table.
async fn prepare(client: &mut Client, table: &Table, config: &PostgresConfig, limit: Duration) -> Result<()> {
    let look = "SELECT pg_is_in_recovery(), current_setting('fsync')::boolean";
    let row = schema::within(limit, client.query_typed_one(look, &[])).await;
    let unexpected = |_| Failure::Unexpected;
    let checked = row.and_then(|row| {
        let is_standby: bool = row.try_get(0).map_err(unexpected)?;
        if is_standby { Err(Failure::Standby) } else { row.try_get::<_, bool>(1).map_err(unexpected) }
    });
    let is_durable = checked.map_err(|failure| failure.during(Operation::Open))?;
    if config.durability == Durability::Power && !is_durable {
        let text = "durability is power, and the server has fsync = off";
        return Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(text));
    }
    schema::prepare(client, table, config.create_table, limit).await
}
