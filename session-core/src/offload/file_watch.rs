//! Noticing that the files of an open store were taken away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use super::start_thread;
use crate::error::{Operation, Result, StoreError};
use crate::known_file::KnownFile;

/// Half of the second within which clause F11 wants a lost file noticed.
const EVERY: Duration = Duration::from_millis(500);

/// Looks twice a second, on a thread of its own, whether the files of a store are still at their paths. For drivers that
/// keep files open.
///
/// Calls only read the result of the last look, so no call waits for the file system. The thread ends with the value. A
/// forked child has no thread: there only [`look`](Self::look) notices.
#[derive(Debug)]
pub struct FileWatch {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug)]
struct Shared {
    files: Vec<KnownFile>,
    /// The number of looks, doubled, and 1 if the last one missed a file.
    state: AtomicU64,
    stopped: AtomicBool,
}

impl FileWatch {
    /// Starts to watch `files`.
    ///
    /// # Errors
    /// `Unavailable` if the system cannot start a thread.
    pub fn start(files: Vec<KnownFile>) -> Result<Self> {
        let stopped = AtomicBool::new(false);
        let shared = Arc::new(Shared { files, state: AtomicU64::new(0), stopped });
        let watched = Arc::clone(&shared);
        let thread = start_thread("session-files", move || watched.run())?;
        Ok(Self { shared, thread })
    }

    /// Passes unless the last look missed a file.
    ///
    /// # Errors
    /// `Unavailable`, with the path.
    #[inline]
    pub fn check(&self, operation: Operation) -> Result<()> {
        let gone = self.shared.state.load(Ordering::Relaxed) & 1 != 0;
        if gone { Err(self.gone(operation)) } else { Ok(()) }
    }

    /// Looks now. For `flush`, `close` and other calls whose answer is a promise about the files.
    ///
    /// # Errors
    /// `Unavailable`, with the path.
    pub fn look(&self, operation: Operation) -> Result<()> {
        if self.shared.look() { Ok(()) } else { Err(self.gone(operation)) }
    }

    /// The error of an operation on files that are gone.
    #[must_use]
    #[cold]
    pub fn gone(&self, operation: Operation) -> StoreError {
        let gone = self.shared.files.iter().find(|file| file.is_gone());
        match gone.or(self.shared.files.first()) {
            Some(file) => file.gone(operation),
            None => StoreError::new(crate::StoreErrorKind::Unavailable, operation),
        }
    }

    /// Ends the thread, when the store is closed.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self) {
        while !self.stopped.load(Ordering::Relaxed) {
            std::thread::park_timeout(EVERY);
            self.look();
        }
    }

    /// Whether all files are there. Afterwards `state` is the result of a look that began after this call.
    fn look(&self) -> bool {
        self.look_by(|| self.files.iter().any(KnownFile::is_gone))
    }

    /// A look that began before this one may overtake it, with an older result. A look that overtakes the second attempt
    /// began after the first was overtaken, so its result is new enough for F11. With more attempts, each of many flushes
    /// at once would look once for each of the others.
    fn look_by(&self, mut is_gone: impl FnMut() -> bool) -> bool {
        let mut attempt = || {
            let seen = self.state.load(Ordering::Acquire);
            let gone = is_gone();
            let next = (seen & !1).wrapping_add(2) | u64::from(gone);
            let counted = self.state.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed);
            if counted.is_ok() { Ok(!gone) } else { Err(!gone) }
        };
        attempt().or_else(|_| attempt()).unwrap_or_else(|overtaken| overtaken)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;
    use crate::error::StoreErrorKind;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "measures how long a lost file stays unnoticed")]
    fn lost_file_is_noticed_until_it_is_back() {
        let path = std::env::temp_dir().join(format!("session-core-watch-{}", std::process::id()));
        let away = path.with_extension("away");
        fs::write(&path, "1").unwrap();
        let watch = FileWatch::start(vec![KnownFile::at(&path).unwrap()]).unwrap();
        for replace in [false, true] {
            fs::rename(&path, &away).unwrap();
            if replace {
                fs::write(&path, "2").unwrap();
            }
            let since = Instant::now();
            let lost = loop {
                match watch.check(Operation::Retrieve) {
                    Ok(()) => assert!(since.elapsed() < Duration::from_secs(60), "it is noticed"),
                    Err(lost) => break lost,
                }
                std::thread::yield_now();
            };
            assert_eq!(lost.kind(), StoreErrorKind::Unavailable);
            assert!(lost.to_string().contains("session-core-watch"), "{lost}");
            fs::rename(&away, &path).unwrap();
            watch.look(Operation::Flush).unwrap();
            watch.check(Operation::Retrieve).unwrap();
        }
        fs::remove_file(&path).unwrap();
        assert!(watch.look(Operation::Close).is_err() && watch.check(Operation::Retrieve).is_err());
        let shared = Arc::clone(&watch.shared);
        drop(watch);
        while Arc::strong_count(&shared) > 1 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn overtaken_look_is_repeated_once() {
        let shared = Shared { files: Vec::new(), state: AtomicU64::new(0), stopped: AtomicBool::new(false) };
        for (overtaken, attempts) in [(0, 1), (1, 2), (100, 2)] {
            let mut looks = 0;
            let there = shared.look_by(|| {
                looks += 1;
                if looks <= overtaken {
                    assert!(shared.look_by(|| false), "the other look counts");
                }
                true
            });
            assert_eq!((there, looks), (false, attempts));
            assert_eq!(shared.state.load(Ordering::Relaxed) & 1 == 0, overtaken == 100);
        }
    }
}
