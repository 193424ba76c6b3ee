//! The harness.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use session_conformance::testing::SmallDisk;
use session_conformance::{Harness, HarnessError};
use session_core::{Clock, Key};
use session_store_postgres::{PostgresConfig, PostgresStore};
use xtask_postgres::{Options, Server, sql};

pub(crate) struct Postgres;

/// A role, and a schema of the same name.
pub(crate) struct Storage {
    name: String,
    port: u16,
    own: Option<Mutex<Server>>,
    disk: Option<SmallDisk>,
    /// Whether this is the storage of the test and not of its child process.
    first: bool,
}

const SMALL: u64 = 6 << 20;

/// The server that all tests of this process share. It ends with the process.
fn shared() -> Result<u16, HarnessError> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::start(Options::new()).map_err(|error| error.to_string()));
    Ok(server.as_ref().map_err(HarnessError::new)?.port())
}

impl Storage {
    fn new(port: u16, own: Option<Server>, disk: Option<SmallDisk>) -> Result<Self, HarnessError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let storage = Self { name, port, own: own.map(Mutex::new), disk, first: true };
        let (name, table) = (&storage.name, storage.config().sql()?);
        if let Some(disk) = &storage.disk {
            Server::give(disk.path())?;
            sql(port, &format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display()))?;
            sql(port, "ALTER DATABASE postgres SET default_tablespace = small")?;
        }
        sql(port, &format!("CREATE ROLE {name}; CREATE SCHEMA {name}; {table}"))?;
        storage.allow()?;
        Ok(storage)
    }

    fn with_own(options: Options, disk: Option<SmallDisk>) -> Result<Self, HarnessError> {
        let server = Server::start(options)?;
        Self::new(server.port(), Some(server), disk)
    }

    fn config(&self) -> PostgresConfig {
        let (name, port, process) = (&self.name, self.port, std::process::id());
        let url = format!("postgres://{name}@127.0.0.1:{port}/postgres?application_name={process}");
        PostgresConfig::new(url).table(format!("{}.sessions", self.name)).create_table(false).connections(8)
    }

    fn own(&self) -> Result<MutexGuard<'_, Server>, HarnessError> {
        let own = self.own.as_ref().ok_or_else(|| HarnessError::new("the server is shared"))?;
        Ok(own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grants the rights that the README lists.
    fn allow(&self) -> Result<(), HarnessError> {
        let name = &self.name;
        let rights = format!(
            "ALTER ROLE {name} LOGIN; GRANT USAGE ON SCHEMA {name} TO {name}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.sessions TO {name}"
        );
        sql(self.port, &rights)?;
        Ok(())
    }
}

/// Removes the rows, so that the shared server stays small.
impl Drop for Storage {
    fn drop(&mut self) {
        if self.first && self.own.is_none() {
            let name = &self.name;
            drop(sql(self.port, &format!("DROP SCHEMA {name} CASCADE; DROP ROLE {name}")));
        }
    }
}

impl Harness for Postgres {
    type Driver = PostgresStore;
    type Storage = Storage;

    fn name(&self) -> String {
        "postgres".into()
    }

    async fn create(&self) -> Result<Storage, HarnessError> {
        Storage::new(shared()?, None, None)
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<PostgresStore, HarnessError> {
        // A loaded machine is not an error of the driver.
        let (response, connect) = (Duration::from_secs(5), Duration::from_secs(4));
        let config = storage.config().response_timeout(response).connect_timeout(connect).clock(clock);
        // Without prepared statements, planning takes most of the server's time. The child processes work without them.
        let config = config.prepare(storage.first);
        Ok(PostgresStore::open(config).await?)
    }

    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), HarnessError> {
        let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "UPDATE {}.sessions SET revision = '\\x07' WHERE key = '\\x{hex}' RETURNING 'damaged'",
            storage.name
        );
        match sql(storage.port, &text)?.as_str() {
            "damaged" => Ok(()),
            said => Err(HarnessError::new(format!("no record to damage: {said}"))),
        }
    }

    async fn create_isolated(&self) -> Result<Storage, HarnessError> {
        Storage::with_own(Options::new(), None)
    }

    async fn start_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.own()?.kill();
        Ok(())
    }

    async fn end_outage(&self, storage: &Storage) -> Result<(), HarnessError> {
        Ok(storage.own()?.restart()?)
    }

    /// The table and its index are on a small disk. The log of the server is elsewhere: where it is full, the whole
    /// server ends.
    async fn create_bounded(&self) -> Result<Storage, HarnessError> {
        Storage::with_own(Options::new(), Some(SmallDisk::mount(SMALL)?))
    }

    /// A removal gives no room back before a vacuum.
    async fn free_space(&self, storage: &Storage) -> Result<bool, HarnessError> {
        let disk = storage.disk.as_ref().ok_or_else(|| HarnessError::new("the disk is not bounded"))?;
        disk.resize(SMALL * 2)?;
        Ok(true)
    }

    /// Also ends the role's connections, so that a new connection is refused too.
    async fn revoke_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        let name = &storage.name;
        sql(storage.port, &format!("ALTER ROLE {name} NOLOGIN; REVOKE ALL ON {name}.sessions FROM {name}"))?;
        let end = format!(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE usename = '{name}'"
        );
        sql(storage.port, &end)?;
        Ok(())
    }

    async fn restore_access(&self, storage: &Storage) -> Result<(), HarnessError> {
        storage.allow()
    }

    /// A backend ends when it has made its client's last call and reads the end of the connection.
    async fn settle(&self, storage: &Storage) -> Result<(), HarnessError> {
        let (name, process) = (&storage.name, std::process::id());
        let others = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{name}' AND application_name <> '{process}'"
        );
        for _ in 0..3_000 {
            if sql(storage.port, &others)? == "0" {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(HarnessError::new("the backends of a killed process did not end"))
    }

    fn power_evidence(&self) -> Option<String> {
        Some("every synchronous_commit but off waits until the log is on disk; the driver's tests crash the server".into())
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        Some(format!("{}|{}", storage.name, storage.port))
    }

    fn attach(&self, address: &str) -> Result<Storage, HarnessError> {
        let wrong = || HarnessError::new(format!("malformed address: {address}"));
        let (name, port) = address.split_once('|').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Storage { name: name.to_owned(), port, own: None, disk: None, first: false })
    }
}
