//! The harness: how a driver author gives the suite fresh stores.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use session_core::{Clock, Driver, DynDriver, Key};

/// Gives the suite fresh storage, and handles on it.
///
/// # For driver authors
/// `name`, `create` and `open` are enough for most clauses. The other methods are hooks for things that only you can do:
/// damage a record, reach the storage from another process, stop the backend, fill it, or lock the driver out. Each hook
/// names the [`Requirement`](crate::Requirement) that it serves. Declare the requirements that you do not serve in
/// `lacks`.
#[expect(unused_variables, reason = "the hooks that are missing need no arguments")]
pub trait Harness: Send + Sync + 'static {
    /// The driver. A clone shares the store with its original.
    type Driver: Driver + Clone;
    /// Fresh storage. Dropping it removes what the test has stored.
    type Storage: Send + Sync + 'static;

    /// The name of the driver in the matrix.
    fn name(&self) -> String;

    /// Creates empty storage that no other test uses.
    fn create(&self) -> impl Future<Output = HarnessResult<Self::Storage>> + Send;

    /// Opens another handle on `storage`, by `clock`. It has its own state if the driver has any, such as a pool or a
    /// cache. If the driver is the store itself, return a clone.
    fn open(
        &self,
        storage: &Self::Storage,
        clock: Arc<dyn Clock>,
    ) -> impl Future<Output = HarnessResult<Self::Driver>> + Send;

    /// Whether the driver follows the clock that `open` receives.
    fn time(&self) -> Time {
        Time::Virtual
    }

    /// Damages the record of `key` from outside the driver. Requirement `Damage`.
    fn damage(&self, storage: &Self::Storage, key: &Key) -> impl Future<Output = HarnessResult<()>> + Send {
        async { Err(missing("damage", "Damage")) }
    }

    /// The bytes of the record of `key`, including all of its framing. The suite changes each byte in turn. Requirement
    /// `Checksum`.
    fn record_bytes(
        &self,
        storage: &Self::Storage,
        key: &Key,
    ) -> impl Future<Output = HarnessResult<FileRange>> + Send {
        async { Err(missing("record_bytes", "Checksum")) }
    }

    /// The bytes by which the driver finds the record of `key`: its entry in an index or a table of hashes. The suite
    /// changes each of them while no handle is open. Requirement `Index`.
    fn index_bytes(
        &self,
        storage: &Self::Storage,
        key: &Key,
    ) -> impl Future<Output = HarnessResult<FileRange>> + Send {
        async { Err(missing("index_bytes", "Index")) }
    }

    /// Creates storage whose backend serves no other test, because some clauses stop it. By default this is
    /// [`create`](Self::create).
    fn create_isolated(&self) -> impl Future<Output = HarnessResult<Self::Storage>> + Send {
        self.create()
    }

    /// Takes the backend away from open handles: kills the server, moves the directory, holds the lock. The backend MUST
    /// keep what it acknowledged, because the clauses look for it after [`end_outage`](Self::end_outage). Requirement
    /// `Outage`.
    fn start_outage(&self, storage: &Self::Storage) -> impl Future<Output = HarnessResult<()>> + Send {
        async { Err(missing("start_outage", "Outage")) }
    }

    /// Ends the outage.
    fn end_outage(&self, storage: &Self::Storage) -> impl Future<Output = HarnessResult<()>> + Send {
        async { Err(missing("end_outage", "Outage")) }
    }

    /// Creates storage with room for 20 to 2,000 records of 16 KiB: a
    /// [`SmallDisk`](crate::testing::SmallDisk) if it can be mounted, else a bound of the engine. Its handles reject new
    /// records and evict none. Requirement `Full`.
    fn create_bounded(&self) -> impl Future<Output = HarnessResult<Self::Storage>> + Send {
        async { Err(missing("create_bounded", "Full")) }
    }

    /// Frees space in bounded storage from outside, like an operator who enlarges a disk, and returns whether it did.
    /// Only for engines that need space in order to remove, or whose removals give no space back at once. The suite calls
    /// it if a removal fails with `Full`, and if a store after removals does so for a second. It may call it repeatedly.
    fn free_space(&self, storage: &Self::Storage) -> impl Future<Output = HarnessResult<bool>> + Send {
        async { Ok(false) }
    }

    /// Takes the right to use the storage away from the driver, as an operator's mistake does: by file modes or by the
    /// rights of an account. The suite calls it in a child process that file modes bind, even if root runs the tests;
    /// `storage` comes from [`attach`](Self::attach). Requirement `Permission`.
    fn revoke_access(&self, storage: &Self::Storage) -> impl Future<Output = HarnessResult<()>> + Send {
        async { Err(missing("revoke_access", "Permission")) }
    }

    /// Gives the right back.
    fn restore_access(&self, storage: &Self::Storage) -> impl Future<Output = HarnessResult<()>> + Send {
        async { Err(missing("restore_access", "Permission")) }
    }

    /// Moves the files of the store away from open handles, as a deploy or a restored backup does. With `replace` an
    /// empty file or directory takes their place. [`FreshPath::take_away`](crate::testing::FreshPath::take_away) does
    /// it. Requirement `Files`.
    fn take_away(
        &self,
        storage: &Self::Storage,
        replace: bool,
    ) -> impl Future<Output = HarnessResult<()>> + Send {
        async { Err(missing("take_away", "Files")) }
    }

    /// Moves the files back, over whatever is in their place.
    fn put_back(&self, storage: &Self::Storage) -> impl Future<Output = HarnessResult<()>> + Send {
        async { Err(missing("put_back", "Files")) }
    }

    /// Text by which another process finds `storage`, such as a path. Requirements `Kill`, `Processes` and
    /// `Permission`.
    fn address(&self, storage: &Self::Storage) -> Option<String> {
        None
    }

    /// Waits until no call of a killed process can take effect any more. For engines on a network: a server may still
    /// make the calls that it had received when the process was killed. Requirement `Kill`.
    fn settle(&self, storage: &Self::Storage) -> impl Future<Output = HarnessResult<()>> + Send {
        async { Ok(()) }
    }

    /// The storage at an [`address`](Self::address), in another process. Dropping it removes nothing.
    ///
    /// # Errors
    /// If no storage exists at the address.
    fn attach(&self, address: &str) -> HarnessResult<Self::Storage> {
        Err(missing("attach", "Kill` and `Processes"))
    }

    /// Evidence that a write reaches stable storage before it is acknowledged, such as a trace of system calls.
    /// Requirement `PowerLoss`.
    fn power_evidence(&self) -> Option<String> {
        None
    }
}

pub(crate) fn missing(hook: &str, requirement: &str) -> HarnessError {
    HarnessError::new(format!(
        "the harness has no {hook}(): write it, or declare that the driver lacks `{requirement}`"
    ))
}

/// The answer of a hook.
pub type HarnessResult<T> = Result<T, HarnessError>;

/// A range of bytes in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// The file.
    pub path: PathBuf,
    /// The offset of the first byte.
    pub from: u64,
    /// The length in bytes.
    pub len: usize,
}

/// Which time the driver follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// The clock that [`Harness::open`] receives. The suite moves it and never waits.
    Virtual,
    /// Its own clock. The suite waits in real time, plus the granularity that the driver claims.
    Real,
}

/// Why a harness failed. The verdict is `error`, which is red and says nothing about the driver.
#[derive(Debug)]
pub struct HarnessError(String);

impl HarnessError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl<E: std::error::Error> From<E> for HarnessError {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(text)
    }
}

impl fmt::Display for HarnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = HarnessResult<T>> + Send + 'a>>;

/// Which storage a clause needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Plain,
    Isolated,
    Bounded,
}

/// [`Harness`] as a trait object, so that the clauses compile once and not once per driver.
pub(crate) trait ErasedHarness: Send + Sync {
    fn name(&self) -> String;
    fn create(&self, kind: Kind) -> Boxed<'_, Box<dyn ErasedStorage>>;
    fn time(&self) -> Time;
    fn attach(&self, address: &str) -> HarnessResult<Box<dyn ErasedStorage>>;
    fn power_evidence(&self) -> Option<String>;
}

/// The hooks for one storage.
pub(crate) trait ErasedStorage: Send + Sync {
    /// A handle and its clone: not two pointers to one handle.
    fn open(&self, clock: Arc<dyn Clock>) -> Boxed<'_, (DynDriver, DynDriver)>;
    fn damage<'a>(&'a self, key: &'a Key) -> Boxed<'a, ()>;
    fn record_bytes<'a>(&'a self, key: &'a Key) -> Boxed<'a, FileRange>;
    fn index_bytes<'a>(&'a self, key: &'a Key) -> Boxed<'a, FileRange>;
    fn start_outage(&self) -> Boxed<'_, ()>;
    fn end_outage(&self) -> Boxed<'_, ()>;
    fn free_space(&self) -> Boxed<'_, bool>;
    fn settle(&self) -> Boxed<'_, ()>;
    fn revoke_access(&self) -> Boxed<'_, ()>;
    fn restore_access(&self) -> Boxed<'_, ()>;
    fn take_away(&self, replace: bool) -> Boxed<'_, ()>;
    fn put_back(&self) -> Boxed<'_, ()>;
    fn address(&self) -> Option<String>;
}

impl<H: Harness> ErasedHarness for Arc<H> {
    fn name(&self) -> String {
        H::name(self)
    }
    fn create(&self, kind: Kind) -> Boxed<'_, Box<dyn ErasedStorage>> {
        Box::pin(async move {
            let storage = match kind {
                Kind::Plain => H::create(self).await?,
                Kind::Isolated => H::create_isolated(self).await?,
                Kind::Bounded => H::create_bounded(self).await?,
            };
            Ok(Box::new((Self::clone(self), storage)) as Box<dyn ErasedStorage>)
        })
    }
    fn time(&self) -> Time {
        H::time(self)
    }
    fn attach(&self, address: &str) -> HarnessResult<Box<dyn ErasedStorage>> {
        Ok(Box::new((Self::clone(self), H::attach(self, address)?)))
    }
    fn power_evidence(&self) -> Option<String> {
        H::power_evidence(self)
    }
}

impl<H: Harness<Storage = S>, S: Send + Sync + 'static> ErasedStorage for (Arc<H>, S) {
    fn open(&self, clock: Arc<dyn Clock>) -> Boxed<'_, (DynDriver, DynDriver)> {
        Box::pin(async move {
            let driver = self.0.open(&self.1, clock).await?;
            let clone = driver.clone();
            Ok((DynDriver::new(driver), DynDriver::new(clone)))
        })
    }
    fn damage<'a>(&'a self, key: &'a Key) -> Boxed<'a, ()> {
        Box::pin(self.0.damage(&self.1, key))
    }
    fn record_bytes<'a>(&'a self, key: &'a Key) -> Boxed<'a, FileRange> {
        Box::pin(self.0.record_bytes(&self.1, key))
    }
    fn index_bytes<'a>(&'a self, key: &'a Key) -> Boxed<'a, FileRange> {
        Box::pin(self.0.index_bytes(&self.1, key))
    }
    fn start_outage(&self) -> Boxed<'_, ()> {
        Box::pin(self.0.start_outage(&self.1))
    }
    fn end_outage(&self) -> Boxed<'_, ()> {
        Box::pin(self.0.end_outage(&self.1))
    }
    fn free_space(&self) -> Boxed<'_, bool> {
        Box::pin(self.0.free_space(&self.1))
    }
    fn settle(&self) -> Boxed<'_, ()> {
        Box::pin(self.0.settle(&self.1))
    }
    fn revoke_access(&self) -> Boxed<'_, ()> {
        Box::pin(self.0.revoke_access(&self.1))
    }
    fn restore_access(&self) -> Boxed<'_, ()> {
        Box::pin(self.0.restore_access(&self.1))
    }
    fn take_away(&self, replace: bool) -> Boxed<'_, ()> {
        Box::pin(self.0.take_away(&self.1, replace))
    }
    fn put_back(&self) -> Boxed<'_, ()> {
        Box::pin(self.0.put_back(&self.1))
    }
    fn address(&self) -> Option<String> {
        self.0.address(&self.1)
    }
}
