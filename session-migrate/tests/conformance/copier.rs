//! A copy that runs all the time.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use session_conformance::testing::block_on;
use session_core::{DynDriver, Prefix, StoreErrorKind};
use session_migrate::{CopyOptions, MigrateError, Originals, copy, prefixes};

/// Shared by the copy and the handles of its storage.
#[derive(Default)]
pub(crate) struct Shared {
    /// The prefixes of all records that were created.
    pub(crate) prefixes: Mutex<BTreeSet<Prefix>>,
}

/// Locks a file during each pass. A purge in any process waits for the end of the pass, because it would count a record
/// twice that expires in the middle of its move when a clause moves the clock.
pub(crate) fn lock(pass: &Path) -> File {
    let file =
        File::options().create(true).append(true).open(pass).expect("the directory belongs to the test");
    file.lock().expect("the file can be locked");
    file
}

impl Shared {
    fn prefixes(&self) -> Vec<Prefix> {
        let created = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        prefixes().into_iter().chain(created.iter().cloned()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

pub(crate) struct Copier {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), MigrateError>>>,
}

impl Copier {
    pub(crate) fn start(old: DynDriver, new: DynDriver, shared: Arc<Shared>, pass: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let locked = lock(&pass);
                let options = CopyOptions::default().prefixes(shared.prefixes()).page(8).concurrency(4);
                let answer = block_on(async {
                    let answer = copy(&old, &new, Originals::Remove, options, |_| {}).await;
                    drop(locked);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    answer
                });
                match answer {
                    // Stores in memory are closed with the handle of the clause.
                    Err(failed) if failed.store_error().kind() == StoreErrorKind::Closed => return Ok(()),
                    answer => drop(answer?),
                }
            }
            Ok(())
        });
        Self { stop, thread: Some(thread) }
    }
}

/// Fails the test if the copy has failed.
impl Drop for Copier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))), "the copy failed: {ended:?}");
        }
    }
}
