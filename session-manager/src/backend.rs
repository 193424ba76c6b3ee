//! The manager behind the handle of a request, without the type of its driver.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use session_core::{Key, Timestamp};

use crate::config::Config;
use crate::error::Error;
use crate::event::{Event, SessionTag};
use crate::op::Claim;
use crate::outcome::{Committed, EndReason};
use crate::request::RequestInfo;
use crate::watch::Watches;
use crate::work::{Loaded, Work};

/// The manager without the driver's type, so that handlers need not name the driver.
pub(crate) trait Backend: Send + Sync {
    fn load<'a>(&'a self, request: &'a RequestInfo) -> Loading<'a, Box<Work>>;
    /// Whether a load is complete at its first poll.
    #[cfg(feature = "actix")]
    fn loads_at_once(&self) -> bool;
    /// Whether the old system owns the logins, so that each request asks it.
    fn old_owns(&self) -> bool;
    /// The session of a request that presents one of the old system. `this` is this backend.
    fn take_over<'a>(
        &'a self,
        this: Arc<dyn Backend>,
        request: &'a RequestInfo,
        found: Box<Work>,
    ) -> Boxed<'a, Box<Work>>;
    fn commit<'a>(&'a self, request: &'a RequestInfo, work: &'a mut Work) -> Boxed<'a, Committed>;
    fn destroy<'a>(
        &'a self,
        request: &'a RequestInfo,
        work: &'a mut Work,
        reason: Cow<'static, str>,
    ) -> Boxed<'a, bool>;
    fn claim<'a>(&'a self, work: &'a mut Work, entry: &'a Bytes) -> Boxed<'a, Claim>;
    /// Reads a session that was loaded before: its work, or the reason why it has ended.
    fn look<'a>(&'a self, loaded: &'a Loaded) -> Boxed<'a, Result<Box<Work>, EndReason>>;
    /// Reads the session again. Returns whether it lives.
    fn reload<'a>(&'a self, work: &'a mut Work) -> Boxed<'a, bool>;
    fn watches(&self) -> &Arc<Watches>;
    fn emit(&self, key: Option<&Key>, event: &Event);
    fn tag(&self, key: &Key) -> SessionTag;
    fn now(&self) -> Timestamp;
    fn config(&self) -> &Config;
}

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// The output of a future that is complete at its first poll. Otherwise the future is dropped.
#[inline]
pub(crate) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A load that has begun.
pub(crate) enum Loading<'a, T> {
    /// The driver has answered at once.
    Ready(Result<T, Error>),
    Pending(Boxed<'a, T>),
}

impl<T> Loading<'_, T> {
    pub(crate) async fn done(self) -> Result<T, Error> {
        match self {
            Self::Ready(loaded) => loaded,
            Self::Pending(load) => load.await,
        }
    }
}
