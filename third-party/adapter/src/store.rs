//! The description of a published store.

use std::future::Future;
use std::sync::Arc;

use session_conformance::{Harness, HarnessResult, Requirement, Time};
use session_core::{Clock, Survives};

use crate::adapted::Adapted;
use crate::foreign::Foreign;

/// One store under the suite.
pub trait Store: Send + Sync + 'static {
    /// Its name in the report, such as `tower-sessions MemoryStore`.
    const NAME: &'static str;
    /// The package that has it. Its version comes from `Cargo.lock`.
    const PACKAGE: &'static str;
    /// The trait through which it is called.
    const TRAIT: &'static str;
    /// The events that an acknowledged change survives, by the store's documentation or by its engine.
    const SURVIVES: Survives;
    /// Further requirements that this store or its trait lacks.
    const LACKS: &'static [(Requirement, &'static str)] = &[];
    /// Further clauses that are not asked, each with a reason.
    const UNASKED: &'static [(&'static str, &'static str)] = &[];

    /// Fresh storage. Dropping it removes what the clause has stored.
    type Home: Send + Sync + 'static;
    /// A handle.
    type Handle: Foreign;

    /// Makes fresh storage.
    fn create() -> impl Future<Output = HarnessResult<Self::Home>> + Send;

    /// Opens a handle on it.
    fn open(home: &Self::Home) -> impl Future<Output = HarnessResult<Self::Handle>> + Send;

    /// Text by which another process finds the storage.
    fn address(_home: &Self::Home) -> Option<String> {
        None
    }

    /// The storage of another process. Dropping it removes nothing.
    ///
    /// # Errors
    /// By default always: a store in memory has no address.
    fn attach(_address: &str) -> HarnessResult<Self::Home> {
        Err(session_conformance::HarnessError::new("the store has no address"))
    }

    /// The engine behind the store and its version, if it is not part of the package.
    fn engine() -> Option<String> {
        None
    }
}

/// The requirements of a store whose sessions go with the process.
pub const VOLATILE: &[(Requirement, &str)] = &[
    (Requirement::Close, "the sessions go with the process"),
    (Requirement::Kill, "the sessions go with the process"),
];

/// The harness of a [`Store`].
pub(crate) struct Asked<S>(std::marker::PhantomData<fn() -> S>);

impl<S> Default for Asked<S> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<S: Store> Harness for Asked<S> {
    type Driver = Adapted<S::Handle>;
    type Storage = S::Home;

    fn name(&self) -> String {
        S::NAME.to_owned()
    }

    async fn create(&self) -> HarnessResult<S::Home> {
        S::create().await
    }

    /// The clock is left out: the stores read the system's.
    async fn open(&self, home: &S::Home, _: Arc<dyn Clock>) -> HarnessResult<Self::Driver> {
        Ok(Adapted::new(S::open(home).await?, S::SURVIVES))
    }

    fn time(&self) -> Time {
        Time::Real
    }

    fn address(&self, home: &S::Home) -> Option<String> {
        S::address(home)
    }

    fn attach(&self, address: &str) -> HarnessResult<S::Home> {
        S::attach(address)
    }
}
