//! sled, with the cache size of our driver. A value begins with its revision.

use std::error::Error;
use std::hint::black_box;
use std::sync::mpsc::{Receiver, Sender, channel};

use session_bench_work::{Args, Change, Durability, Runner, Sample, Store, answer, stamp};
use sled::{IVec, Tree};
use tokio::sync::oneshot;

use crate::key;

/// Measures or fills the store.
pub fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let database = sled::Config::new().path(args.dir.join("raw.sled")).cache_capacity(64 << 20).open()?;
    let tree = database.open_tree("records")?;
    let flusher = (args.durability != Durability::Relaxed).then(|| {
        let (sender, receiver) = channel();
        let tree = tree.clone();
        std::thread::spawn(move || flush_together(&tree, &receiver));
        sender
    });
    let sample = answer(&Runner::new(args)?, args, &Sled { tree, flusher })?;
    database.flush()?;
    Ok(sample)
}

#[derive(Clone)]
struct Sled {
    tree: Tree,
    /// The flusher, if a write waits for a flush.
    flusher: Option<Sender<oneshot::Sender<bool>>>,
}

impl Sled {
    async fn swap(&self, key: &[u8], old: Option<IVec>, value: &str) -> bool {
        let swapped = self.tree.compare_and_swap(key, old, Some(value.as_bytes()));
        if !matches!(swapped, Ok(Ok(()))) {
            return false;
        }
        let Some(flusher) = &self.flusher else { return true };
        let (answer, answered) = oneshot::channel();
        flusher.send(answer).is_ok() && answered.await.unwrap_or(false)
    }
}

/// One flush for all waiting writers. sled's own `flush_async` cannot be used: when all of its threads wait in a flush, no
/// thread is left to write.
fn flush_together(tree: &Tree, queue: &Receiver<oneshot::Sender<bool>>) {
    while let Ok(first) = queue.recv() {
        let waiting: Vec<_> = std::iter::once(first).chain(queue.try_iter()).collect();
        let flushed = tree.flush().is_ok();
        for answer in waiting {
            let _ = answer.send(flushed);
        }
    }
}

impl Store for Sled {
    type Key = Box<[u8]>;

    fn key(&self, record: usize) -> Box<[u8]> {
        key(record)
    }

    async fn retrieve(&mut self, key: &Box<[u8]>) -> bool {
        black_box(self.tree.get(key)).is_ok_and(|value| value.is_some())
    }

    async fn store(&mut self, key: &Box<[u8]>, change: Change<'_>) -> bool {
        match self.tree.get(key) {
            Ok(Some(old)) if stamp(&old) == Some(change.from) => self.swap(key, Some(old), change.value).await,
            _ => false,
        }
    }

    async fn create(&mut self, key: &Box<[u8]>, change: Change<'_>) -> bool {
        self.swap(key, None, change.value).await
    }

    async fn revision(&mut self, key: &Box<[u8]>) -> Option<u64> {
        self.tree.get(key).ok()?.and_then(|value| stamp(&value))
    }
}
