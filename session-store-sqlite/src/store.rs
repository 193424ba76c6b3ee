//! The handle and its `Driver`.

use std::fmt;
use std::sync::Arc;

use session_core::offload::{FileWatch, start_thread};
use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, Key, Opener, Operation, Page,
    Prefix, Purged, Record, Result, Touch, check_record_bytes,
};

use crate::config::SqliteConfig;
use crate::read::Most;
use crate::readers::Readers;
use crate::writer::{Writer, lost};
use crate::{connection, keeper, open, read, traverse};

/// A session store in an SQLite file. Clones are cheap and share one store.
///
/// When the last clone is dropped, the driver's threads write the queued changes and close the file; dropping does not
/// wait for them. [`close`](Driver::close) does the same and waits.
#[derive(Clone)]
pub struct SqliteStore(Arc<Handle>);

struct Handle {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    files: Arc<FileWatch>,
    opener: Opener,
}

impl SqliteStore {
    /// Opens the store at a path or with a whole [`SqliteConfig`], and creates the file if it is missing.
    ///
    /// Relative paths are resolved now. While a symbolic link in the path leads to another file, all calls fail with
    /// `Unavailable`.
    ///
    /// Blocks for some milliseconds, and for at most `busy_timeout` while another process creates the same file. Call
    /// it when the application starts.
    ///
    /// # Errors
    /// `Misconfigured` for options, paths and permissions that cannot work, for another application's database and for
    /// the schema of a newer version; none of these files is changed. `Corrupt`, `Unavailable`, `Full`, `Backend`.
    pub fn open(config: impl Into<SqliteConfig>) -> Result<Self> {
        let config = config.into();
        config.check()?;
        let given = config.path.clone();
        let (config, file) = open::prepare(config)?;
        let keeper = connection::keeper(&config)?;
        let writer = Arc::new(Writer::open(&config)?);
        let readers = Arc::new(Readers::open(&config)?);
        // Made first: dropping it ends the thread that could be started.
        let files = Arc::new(FileWatch::start(open::files(&config.path, &given)?)?);
        let handle = Handle {
            writer: Arc::clone(&writer),
            readers: Arc::clone(&readers),
            files: Arc::clone(&files),
            opener: Opener::this_process(),
        };
        start_thread("session-sqlite-w", {
            let writer = Arc::clone(&writer);
            move || writer.run()
        })?;
        start_thread("session-sqlite-k", move || keeper::run(&writer, &readers, keeper, &files, file))?;
        Ok(Self(Arc::new(handle)))
    }
}

impl Driver for SqliteStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.check(Operation::Retrieve)?;
        let readers = &self.0.readers;
        let query = |connection: &_, now| read::retrieve(connection, key.as_bytes(), now, Most::InPlace);
        if let Some(answer) = readers.in_place(Operation::Retrieve, query) {
            return answer;
        }
        // Only a worker thread needs a key of its own.
        let key = key.clone();
        let query = move |connection: &_, now| read::retrieve(connection, key.as_bytes(), now, Most::Any);
        readers.on_a_worker(Operation::Retrieve, query).await
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.0.check(Operation::Store)?;
        check_record_bytes(record.data.len(), self.0.writer.config.max_record_bytes)?;
        self.0.writer.change(key, ChangeRequest::Store { record, condition }).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.0.check(Operation::Remove)?;
        self.0.writer.change(key, ChangeRequest::Remove { condition }).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.check(Operation::Traverse)?;
        let (prefix, after) = (prefix.clone(), from.key(prefix)?);
        let query =
            move |connection: &_, now| traverse::page(connection, &prefix, after.as_ref(), limit, now);
        // Most keys of a page are a read of the file, and a walk has many pages.
        self.0.readers.on_a_worker(Operation::Traverse, query).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.0.check(Operation::Touch)?;
        Ok(self.0.writer.change(key, ChangeRequest::Touch(touch)).await?.is_applied())
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.0.check(Operation::Purge)?;
        self.0.writer.purge(limit).await
    }

    async fn flush(&self) -> Result<()> {
        self.0.opener.check(Operation::Flush)?;
        let answer = self.0.writer.queue.flush()?;
        answer.await.unwrap_or_else(|_| Err(lost(Operation::Flush)))
    }

    /// Makes the queued changes, flushes, and closes the file. The store is closed even if the flush fails.
    async fn close(&self) -> Result<()> {
        self.0.opener.check(Operation::Close)?;
        self.0.readers.stop();
        match self.0.writer.queue.close() {
            Some(answer) => answer.await.unwrap_or_else(|_| Err(lost(Operation::Close))),
            None => Ok(()),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let config = &self.0.writer.config;
        Capabilities::in_files(config.durability, config.max_record_bytes)
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

impl Handle {
    /// Passes while the store is open and its files are there, in the process that opened it.
    fn check(&self, operation: Operation) -> Result<()> {
        self.opener.check(operation)?;
        self.readers.check(operation)?;
        self.files.check(operation)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // In a forked child the connections stay open: closing them there damages the file. The threads' references to
        // them are never dropped.
        if !self.opener.is_here() {
            return;
        }
        self.readers.stop();
        drop(self.writer.queue.close());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use session_core::Driver;

    use super::SqliteStore;
    use crate::queue::Phase;

    /// The close wakes the writer's thread while the keeper has the writer; the thread sleeps again and must be woken
    /// a second time.
    #[test]
    fn a_close_during_a_checkpoint_ends() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("sessions.db")).unwrap();
        let (closed, answer) = mpsc::channel();
        store.0.writer.alone(|_| {
            let closing = store.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                closed.send(runtime.block_on(closing.close())).unwrap();
            });
            // Usually long enough for the thread to wake up and sleep again.
            let mut seen = 0;
            while seen < 1_000 {
                let waiting = store.0.writer.queue.lock();
                seen += u32::from(waiting.phase == Phase::Closing && waiting.asleep);
                drop(waiting);
                std::thread::yield_now();
            }
        });
        answer.recv_timeout(Duration::from_secs(30)).expect("the close ends").unwrap();
    }
}
