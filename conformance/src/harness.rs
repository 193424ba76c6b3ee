//! What a driver author writes so that the suite can make stores.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use session_core::{Clock, Driver, DynDriver, Key};

/// How the suite gets at a driver: fresh storage as a guard, and any number of handles on it.
///
/// # For driver authors
/// `make` and `open` are enough for most clauses. The hooks below them are for what only you can do: damage a record
/// from outside, reach the storage from another process, take the backend away, fill it, or lock the driver out. Each
/// says which [`Requirement`](crate::Requirement) it serves; what is not served is declared in `lacks`.
pub trait Harness: Send + Sync + 'static {
    /// The driver. A clone shares the store with its original.
    type Driver: Driver + Clone;
    /// The guard of fresh storage: dropping it removes what the test has stored, and nothing else.
    type Storage: Send + Sync + 'static;

    /// The name of the driver, as the matrix shows it.
    fn name(&self) -> String;

    /// Makes fresh, empty storage that nobody else uses.
    fn create(&self) -> impl Future<Output = Result<Self::Storage, HarnessError>> + Send;

    /// Opens one more handle on `storage`, with a state of its own where the driver keeps any (a pool, a cache), by
    /// `clock`. Where the store is the driver itself, this is a clone.
    fn open(
        &self,
        storage: &Self::Storage,
        clock: Arc<dyn Clock>,
    ) -> impl Future<Output = Result<Self::Driver, HarnessError>> + Send;

    /// Whether the driver follows the clock that `open` was given.
    fn time(&self) -> Time {
        Time::Virtual
    }

    /// Damages what is stored under `key`, from outside of the driver. Needed unless `Damage` is lacked.
    fn damage(
        &self,
        storage: &Self::Storage,
        key: &Key,
    ) -> impl Future<Output = Result<(), HarnessError>> + Send {
        let _ = (storage, key);
        async { Err(HarnessError::new("the harness has no damage()")) }
    }

    /// Where the record of `key` stands, all of its framing included. The suite bends each byte of it in turn. Needed
    /// unless `Checksum` is lacked.
    fn record_bytes(
        &self,
        storage: &Self::Storage,
        key: &Key,
    ) -> impl Future<Output = Result<Region, HarnessError>> + Send {
        let _ = (storage, key);
        async { Err(HarnessError::new("the harness has no region()")) }
    }

    /// Fresh storage whose backend serves no other test, for the clauses that take it away. Where each storage has a
    /// backend of its own, this is [`make`](Self::make).
    fn create_isolated(&self) -> impl Future<Output = Result<Self::Storage, HarnessError>> + Send {
        self.create()
    }

    /// Takes the backend away from the handles that are open: kills the server, moves the directory, holds the lock.
    /// It MUST be an outage through which the backend keeps what it acknowledged, for the clauses look for all of it
    /// after [`end_outage`](Self::end_outage). Needed unless `Outage` is lacked.
    fn start_outage(&self, storage: &Self::Storage) -> impl Future<Output = Result<(), HarnessError>> + Send {
        let _ = storage;
        async { Err(HarnessError::new("the harness has no start_outage()")) }
    }

    /// Undoes [`start_outage`](Self::start_outage).
    fn end_outage(&self, storage: &Self::Storage) -> impl Future<Output = Result<(), HarnessError>> + Send {
        let _ = storage;
        async { Err(HarnessError::new("the harness has no end_outage()")) }
    }

    /// Fresh storage with room for 20 to 2,000 records of 16 KiB and no more: a small disk where that can be mounted,
    /// else a bound of the engine. Its handles refuse rather than evict. Needed unless `Full` is lacked.
    fn create_bounded(&self) -> impl Future<Output = Result<Self::Storage, HarnessError>> + Send {
        async { Err(HarnessError::new("the harness has no create_bounded()")) }
    }

    /// Makes room in such storage from outside, as an operator does who enlarges a disk, and says whether it did. Only for
    /// engines that need room in order to remove; the others make room by removing.
    fn free_space(&self, storage: &Self::Storage) -> impl Future<Output = Result<bool, HarnessError>> + Send {
        let _ = storage;
        async { Ok(false) }
    }

    /// Takes the permission to use the storage away from the driver, as an operator's mistake does: modes of files,
    /// rights of an account. Called in a child process whose user the modes of files bind, root's too, and where
    /// [`attach`](Self::attach) gave the storage. Needed unless `Permission` is lacked.
    fn revoke_access(
        &self,
        storage: &Self::Storage,
    ) -> impl Future<Output = Result<(), HarnessError>> + Send {
        let _ = storage;
        async { Err(HarnessError::new("the harness has no deny()")) }
    }

    /// Undoes [`deny`](Self::deny).
    fn restore_access(
        &self,
        storage: &Self::Storage,
    ) -> impl Future<Output = Result<(), HarnessError>> + Send {
        let _ = storage;
        async { Err(HarnessError::new("the harness has no allow()")) }
    }

    /// Text by which another process reaches `storage`, a path for instance. Needed unless `Kill` and `Processes` are
    /// lacked.
    fn address(&self, storage: &Self::Storage) -> Option<String> {
        let _ = storage;
        None
    }

    /// The storage at an address that [`address`](Self::address) gave, in another process. Dropping this guard
    /// removes nothing.
    ///
    /// # Errors
    /// Where there is no storage at the address.
    fn attach(&self, address: &str) -> Result<Self::Storage, HarnessError> {
        let _ = address;
        Err(HarnessError::new("the harness has no attach()"))
    }

    /// Where it is shown that a write is on stable storage before it is acknowledged, a trace of system calls for
    /// instance. Needed unless `PowerLoss` is lacked.
    fn power_evidence(&self) -> Option<String> {
        None
    }
}

/// A range of bytes in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The file.
    pub path: PathBuf,
    /// Where the range begins, in bytes.
    pub from: u64,
    /// Its length in bytes.
    pub len: usize,
}

/// Which time the driver follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// The clock given to [`Harness::open`]: the suite moves it, and nothing ever waits.
    Virtual,
    /// A clock of its own: the suite waits for real, as long as the granularity demands that the driver claims.
    Real,
}

/// Why a harness could not do its part. It becomes the verdict `error`, which is red and says nothing of the driver.
pub struct HarnessError(String);

impl HarnessError {
    /// HarnessError in words.
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

impl fmt::Debug for HarnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, HarnessError>> + Send + 'a>>;
pub(crate) type AnyStorage = Box<dyn Any + Send + Sync>;

/// [`Harness`] behind a pointer, so that the clauses are compiled once and not once per driver.
pub(crate) trait ErasedHarness: Send + Sync {
    fn name(&self) -> String;
    fn create(&self) -> Boxed<'_, AnyStorage>;
    /// A handle and a clone of it, which is more than two pointers to one handle.
    fn open<'a>(
        &'a self,
        storage: &'a AnyStorage,
        clock: Arc<dyn Clock>,
    ) -> Boxed<'a, (DynDriver, DynDriver)>;
    fn time(&self) -> Time;
    fn damage<'a>(&'a self, storage: &'a AnyStorage, key: &'a Key) -> Boxed<'a, ()>;
    fn record_bytes<'a>(&'a self, storage: &'a AnyStorage, key: &'a Key) -> Boxed<'a, Region>;
    fn create_isolated(&self) -> Boxed<'_, AnyStorage>;
    fn start_outage<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, ()>;
    fn end_outage<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, ()>;
    fn create_bounded(&self) -> Boxed<'_, AnyStorage>;
    fn free_space<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, bool>;
    fn revoke_access<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, ()>;
    fn restore_access<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, ()>;
    fn address(&self, storage: &AnyStorage) -> Option<String>;
    fn attach(&self, address: &str) -> Result<AnyStorage, HarnessError>;
    fn power_evidence(&self) -> Option<String>;
}

pub(crate) struct Erased<H>(pub(crate) H);

fn storage_of<H: Harness>(storage: &AnyStorage) -> &H::Storage {
    storage.downcast_ref().expect("a stage gives a harness only the storage that this harness made")
}

impl<H: Harness> ErasedHarness for Erased<H> {
    fn name(&self) -> String {
        self.0.name()
    }
    fn create(&self) -> Boxed<'_, AnyStorage> {
        Box::pin(async { Ok(Box::new(self.0.create().await?) as AnyStorage) })
    }
    fn open<'a>(
        &'a self,
        storage: &'a AnyStorage,
        clock: Arc<dyn Clock>,
    ) -> Boxed<'a, (DynDriver, DynDriver)> {
        Box::pin(async move {
            let driver = self.0.open(storage_of::<H>(storage), clock).await?;
            let clone = driver.clone();
            Ok((Arc::new(driver) as DynDriver, Arc::new(clone) as DynDriver))
        })
    }
    fn time(&self) -> Time {
        self.0.time()
    }
    fn damage<'a>(&'a self, storage: &'a AnyStorage, key: &'a Key) -> Boxed<'a, ()> {
        Box::pin(self.0.damage(storage_of::<H>(storage), key))
    }
    fn record_bytes<'a>(&'a self, storage: &'a AnyStorage, key: &'a Key) -> Boxed<'a, Region> {
        Box::pin(self.0.record_bytes(storage_of::<H>(storage), key))
    }
    fn create_isolated(&self) -> Boxed<'_, AnyStorage> {
        Box::pin(async { Ok(Box::new(self.0.create_isolated().await?) as AnyStorage) })
    }
    fn start_outage<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, ()> {
        Box::pin(self.0.start_outage(storage_of::<H>(storage)))
    }
    fn end_outage<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, ()> {
        Box::pin(self.0.end_outage(storage_of::<H>(storage)))
    }
    fn create_bounded(&self) -> Boxed<'_, AnyStorage> {
        Box::pin(async { Ok(Box::new(self.0.create_bounded().await?) as AnyStorage) })
    }
    fn free_space<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, bool> {
        Box::pin(self.0.free_space(storage_of::<H>(storage)))
    }
    fn revoke_access<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, ()> {
        Box::pin(self.0.revoke_access(storage_of::<H>(storage)))
    }
    fn restore_access<'a>(&'a self, storage: &'a AnyStorage) -> Boxed<'a, ()> {
        Box::pin(self.0.restore_access(storage_of::<H>(storage)))
    }
    fn address(&self, storage: &AnyStorage) -> Option<String> {
        self.0.address(storage_of::<H>(storage))
    }
    fn attach(&self, address: &str) -> Result<AnyStorage, HarnessError> {
        Ok(Box::new(self.0.attach(address)?))
    }
    fn power_evidence(&self) -> Option<String> {
        self.0.power_evidence()
    }
}
