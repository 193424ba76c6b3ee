//! Opening a store, and what its handles share.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use session_core::{Durability, Operation, Result, StoreError, StoreErrorKind};

use crate::config::PostgresConfig;
use crate::connect::Hosts;
use crate::error::{Cause, Failure};
use crate::home::Home;
use crate::link::Link;
use crate::schema::{self, Table};
use crate::settings::{Look, Settings, Startup};
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
        let startup = Arc::new(Startup::default());
        let hosts =
            Hosts::new(&connection, config.connect_timeout, home, transport.clone(), Arc::clone(&startup));
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
        let pool = pool.map_err(|cause| failed(cause.to_string()))?;
        Self::over(pool, Some((transport, startup)), config).await
    }

    /// A store over the connections of `pool`. The URL plays no part.
    /// `own` is the way of the driver's own connections, and how they begin.
    pub(crate) async fn over(
        pool: Pool,
        own: Option<(Transport, Arc<Startup>)>,
        config: PostgresConfig,
    ) -> Result<Self> {
        config.check()?;
        let table = Table::new(&config.table)?;
        let (transport, startup) = own.unzip();
        let link = Link::new(pool, transport, Home::current()?, &config);
        let limit = config.response_timeout.max(Duration::from_secs(1));
        let mut client = link.connect(limit).await?;
        let (settings, options) = match prepare(&mut client, &table, &config, limit).await {
            Ok(found) => found,
            Err(failed) => {
                // The connection may have an answer on its way.
                drop(Client::take(client));
                return Err(failed);
            }
        };
        match startup {
            // A new connection takes its place, which begins with the options.
            Some(startup) if !options.is_empty() => {
                startup.set(options);
                drop(Client::take(client));
            }
            _ => drop(client),
        }
        let statements =
            Statements::new(&table.quoted, config.durability, config.response_timeout, &settings);
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

/// Checks the server, and checks or creates the table. Returns the settings, and the options that bring them about.
async fn prepare(
    client: &mut Client,
    table: &Table,
    config: &PostgresConfig,
    limit: Duration,
) -> Result<(Settings, String)> {
    let look = Look::at(client, config.durability, config.response_timeout).await;
    let look = look.and_then(|look| if look.is_standby { Err(Failure::Standby) } else { Ok(look) });
    let look = look.map_err(|failure| failure.during(Operation::Open))?;
    if config.durability == Durability::Power && !look.fsync {
        let text = "durability is power, and the server has fsync = off";
        return Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(text));
    }
    schema::prepare(client, table, config.create_table, limit).await?;
    Ok((look.settings, look.options))
}
