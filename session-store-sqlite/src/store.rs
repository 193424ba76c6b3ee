//! The driver.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_channel::oneshot;
use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, ExpiryMode, Key, Operation, Page, Prefix, Purged,
    Record, Result, RollsBack, Shared, StoreError, StoreErrorKind, Survives, Touch,
};

use crate::change::{Answer, ChangeRequest};
use crate::config::{Durability, SqliteConfig};
use crate::query::{self, Range};
use crate::queue::Phase;
use crate::readers::Readers;
use crate::writer::Writer;
use crate::{keeper, open};

/// A session store in an SQLite file. Cloning it is cheap, and every clone is the same store.
///
/// When the last clone is dropped, what was queued is still written and the file is closed, on the driver's own
/// threads: nobody waits for it. [`close`](Driver::close) does the same and waits.
#[derive(Clone)]
pub struct SqliteStore(Arc<Handle>);

struct Handle {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
}

impl SqliteStore {
    /// Opens the store, making the file if it is missing, with a path or a whole [`SqliteConfig`].
    ///
    /// A relative path is resolved here, and so are symbolic links: what becomes of either afterwards is no matter.
    ///
    /// It blocks, for some milliseconds as a rule and for at most `busy_timeout` if another process is just making
    /// the same file: call it while the application starts.
    ///
    /// # Errors
    /// `Misconfigured` for options, paths and permissions that cannot work, for another application's database and for
    /// a schema that a newer version made, none of which is changed; `Corrupt`, `Unavailable`, `Full`, `Backend`.
    pub fn open(config: impl Into<SqliteConfig>) -> Result<Self> {
        let config = config.into();
        config.check()?;
        let config = open::prepare(config)?;
        let keeper = open::keeper(&config)?;
        let writer = Arc::new(Writer::open(&config)?);
        let readers = Arc::new(Readers::open(&config)?);
        // From here on dropping the handle ends the threads, whichever of them could be started.
        let handle = Handle { writer: Arc::clone(&writer), readers: Arc::clone(&readers) };
        spawn("session-sqlite-w", {
            let writer = Arc::clone(&writer);
            move || writer.run()
        })?;
        spawn("session-sqlite-k", move || keeper::run(&writer, &readers, keeper))?;
        Ok(Self(Arc::new(handle)))
    }

    async fn change(&self, change: ChangeRequest) -> Result<Answer> {
        self.0.writer.change(change).await
    }
}

impl Driver for SqliteStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let readers = &self.0.readers;
        let query = |connection: &_, now| query::retrieve(connection, key.as_bytes(), now);
        if let Some(answer) = readers.here(Operation::Retrieve, query) {
            return answer;
        }
        // Only a read that goes to another thread needs a key of its own.
        let key = key.clone();
        let query = move |connection: &_, now| query::retrieve(connection, key.as_bytes(), now);
        readers.elsewhere(Operation::Retrieve, query).await
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        let limit = self.0.writer.config.max_record_bytes;
        if record.data.len() as u64 > limit && !self.0.readers.is_closed() {
            let detail = format!("{} bytes of data, and max_record_bytes is {limit}", record.data.len());
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store).with_detail(detail));
        }
        match self.change(ChangeRequest::Store { key: key.clone(), record, when }).await? {
            Answer::Stored(stored) => Ok(stored),
            _ => Err(unexpected(Operation::Store)),
        }
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        match self.change(ChangeRequest::Remove { key: key.clone(), when }).await? {
            Answer::Stored(stored) => Ok(stored),
            _ => Err(unexpected(Operation::Remove)),
        }
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        if self.0.readers.is_closed() {
            return Err(StoreError::closed(Operation::Traverse));
        }
        let Some(range) = Range::after(prefix, &from) else {
            let error = StoreError::new(StoreErrorKind::InvalidCursor, Operation::Traverse);
            return Err(error.with_detail("not a cursor of this prefix"));
        };
        let query = move |connection: &_, now| query::page(connection, &range, limit, now);
        self.0.readers.read(Operation::Traverse, query).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        match self.change(ChangeRequest::Touch { key: key.clone(), from, to, deadline }).await? {
            Answer::Touched(touched) => Ok(touched),
            _ => Err(unexpected(Operation::Touch)),
        }
    }

    /// Works in transactions of 128 records, each of which goes through the queue: other changes come between.
    async fn purge(&self, limit: usize) -> Result<Purged> {
        let mut removed = 0;
        loop {
            let limit = limit.saturating_sub(usize::try_from(removed).unwrap_or(usize::MAX));
            let Answer::Purged(step) = self.change(ChangeRequest::Purge { limit }).await? else {
                return Err(unexpected(Operation::Purge));
            };
            removed += step.removed;
            if !step.more || limit as u64 == step.removed {
                return Ok(Purged { removed, more: step.more });
            }
        }
    }

    async fn flush(&self) -> Result<()> {
        let answer = {
            let mut waiting = self.0.writer.queue.lock();
            if waiting.phase != Phase::Open {
                return Err(StoreError::closed(Operation::Flush));
            }
            let (caller, answer) = oneshot::channel();
            waiting.flushes.push(caller);
            answer
        };
        self.0.writer.queue.chores.notify_all();
        answer.await.unwrap_or_else(|_| Err(unexpected(Operation::Flush)))
    }

    /// Does what is queued, flushes, and closes the file. Should the flush fail, the store is closed all the same.
    async fn close(&self) -> Result<()> {
        let answer = {
            let mut waiting = self.0.writer.queue.lock();
            if waiting.phase == Phase::Closed {
                return Ok(());
            }
            let (caller, answer) = oneshot::channel();
            waiting.closes.push(caller);
            answer
        };
        self.0.readers.stop();
        self.0.writer.queue.close();
        answer.await.unwrap_or_else(|_| Err(unexpected(Operation::Close)))
    }

    fn capabilities(&self) -> Capabilities {
        let config = &self.0.writer.config;
        let (survives, rolls_back) = match config.durability {
            Durability::Process => (Survives::Kill, RollsBack::PowerLoss),
            Durability::Power => (Survives::PowerLoss, RollsBack::Never),
        };
        Capabilities::none()
            .conditional(true)
            .survives(survives)
            .rolls_back(rolls_back)
            .shared(Shared::Host)
            .expiry(ExpiryMode::Caller)
            .max_record_bytes(Some(config.max_record_bytes))
            .exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.writer.config.clock)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("config", &self.0.writer.config).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.readers.stop();
        self.writer.queue.close();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|cause| {
        let error = StoreError::new(StoreErrorKind::Unavailable, Operation::Open);
        error.with_detail("a thread of the driver could not be started").with_source(cause)
    })
}

/// Only if a thread of the driver has panicked.
fn unexpected(operation: Operation) -> StoreError {
    let error = StoreError::new(StoreErrorKind::Backend, operation);
    error.with_detail("a thread of the driver has ended").applied_unknown()
}

async fn yield_now() {
    let mut yielded = false;
    let once = std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    pin!(once).await;
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use session_core::Driver;

    use super::SqliteStore;
    use crate::queue::Phase;

    /// The writer's thread is told to end while the keeper has the writer to itself, goes back to sleep, and must be
    /// told again.
    #[test]
    fn a_close_during_a_checkpoint_comes_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("sessions.db")).unwrap();
        let (closed, answer) = mpsc::channel();
        store.0.writer.alone(|_| {
            let closing = store.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                closed.send(runtime.block_on(closing.close())).unwrap();
            });
            // Long enough for the thread to have woken up and gone back to sleep, as a rule.
            let mut seen = 0;
            while seen < 1_000 {
                let waiting = store.0.writer.queue.lock();
                seen += u32::from(waiting.phase == Phase::Closing && waiting.asleep);
                drop(waiting);
                std::thread::yield_now();
            }
        });
        answer.recv_timeout(Duration::from_secs(30)).expect("the close has ended").unwrap();
    }
}
