//! The process that opened a store. A forked child inherits handles, but no threads and no locks.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::error::{Operation, Result, StoreError, StoreErrorKind};
use crate::known_file::{FileId, KnownFile};

/// How long a thread trusts that its process has not changed. A fork takes longer (the fastest of 2,000 forks of a
/// process without memory took 42 µs), so a child checks before its first call.
const TRUST: Duration = Duration::from_micros(10);

/// The id of this process. It costs a system call, so a busy thread does not ask for it each time.
pub(crate) fn id() -> u32 {
    thread_local!(static SEEN: Cell<Option<(Instant, u32)>> = const { Cell::new(None) });
    #[expect(clippy::disallowed_methods, reason = "a stopwatch, not the time of day")]
    let now = Instant::now();
    match SEEN.get() {
        Some((checked, id)) if is_trusted(checked, now) => id,
        _ => {
            let id = std::process::id();
            SEEN.set(Some((now, id)));
            id
        }
    }
}

fn is_trusted(checked: Instant, now: Instant) -> bool {
    now.saturating_duration_since(checked) < TRUST
}

/// The process that opened a store. For drivers whose handles a forked child cannot use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opener(u32);

impl Opener {
    /// This process.
    #[must_use]
    pub fn this_process() -> Self {
        Self(id())
    }

    /// Whether this is still the process that opened the store, and not a forked child of it.
    #[must_use]
    pub fn is_here(self) -> bool {
        id() == self.0
    }

    /// Passes in the process that opened the store.
    ///
    /// # Errors
    /// `Misconfigured` in a forked child.
    pub fn check(self, operation: Operation) -> Result<()> {
        if self.is_here() { Ok(()) } else { Err(forked(operation)) }
    }

    /// Another process. For tests, because a real fork needs unsafe code.
    #[doc(hidden)]
    #[must_use]
    pub fn pretend_fork(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

fn forked(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, operation)
        .with_detail("the store was opened before a fork; open it again in the child process")
}

/// Registers an open file or directory with this process until it is dropped. For engines that keep the state of their
/// locks in memory, such as SQLite.
///
/// A forked child inherits that state, but not the locks. If it opened the file too, the engine would take locks for
/// held that the child does not have, and the file would be damaged.
#[derive(Debug)]
#[must_use = "the file is registered until this is dropped"]
pub struct OpenFile {
    file: FileId,
    opener: Opener,
}

static OPEN: Mutex<Vec<(FileId, Opener)>> = Mutex::new(Vec::new());

impl OpenFile {
    /// Registers the file at `path`. Call it before the engine opens the file.
    ///
    /// # Errors
    /// `Misconfigured` in a child that was forked while the file was registered: the inherited handle was not closed
    /// before the fork. For a path that cannot be reached, the kind of that failure.
    pub fn register(path: &Path) -> Result<Self> {
        let file = KnownFile::at(path)?.id();
        let inherited = || {
            StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(format!(
                "{}: open in the parent process since before the fork; open it after the fork only",
                path.display()
            ))
        };
        let mut open = lock().ok_or_else(inherited)?;
        let opener = Opener::this_process();
        if open.iter().any(|(known, by)| *known == file && *by != opener) {
            return Err(inherited());
        }
        open.push((file, opener));
        Ok(Self { file, opener })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // In a forked child the engine's state stays, whatever is dropped there.
        if self.opener.is_here()
            && let Some(mut open) = lock()
            && let Some(at) = open.iter().position(|known| *known == (self.file, self.opener))
        {
            open.swap_remove(at);
        }
    }
}

/// The registry. `None` in a child that was forked while another thread of the parent held the lock.
fn lock() -> Option<MutexGuard<'static, Vec<(FileId, Opener)>>> {
    // It is held for nanoseconds.
    for _ in 0..1_000 {
        match OPEN.try_lock() {
            Ok(open) => return Some(open),
            Err(TryLockError::Poisoned(poisoned)) => return Some(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(Duration::from_millis(1)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn process_is_checked_again_after_a_fork() {
        let start = Instant::now();
        assert!(is_trusted(start, start + TRUST / 2));
        assert!(!is_trusted(start, start + TRUST));
    }

    #[test]
    fn inherited_file_is_refused_until_closed() {
        let path = std::env::temp_dir();
        let (one, two) = (OpenFile::register(&path).unwrap(), OpenFile::register(&path).unwrap());
        let forget = |file: OpenFile| {
            // What a child sees: an entry of another process, which dropping does not remove.
            let foreign = file.opener.pretend_fork();
            lock()
                .unwrap()
                .iter_mut()
                .filter(|known| known.0 == file.file)
                .for_each(|known| known.1 = foreign);
            drop(OpenFile { opener: foreign, ..file });
        };
        drop(one);
        forget(two);
        let refused = OpenFile::register(&path).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Misconfigured);
        assert!(refused.to_string().contains("fork"), "{refused}");
        lock().unwrap().clear();
    }
}
