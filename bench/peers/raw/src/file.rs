//! A file for each record: read whole, written beside and renamed over, on the task's own thread.

use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_bench_work::{Args, Change, Runner, Sample, Store, answer, text_id};

/// Measures or fills the store.
pub fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let store = Files { dir: args.dir.as_path().into() };
    answer(&Runner::new(args)?, args, &store)
}

#[derive(Clone)]
struct Files {
    dir: Arc<Path>,
}

impl Store for Files {
    type Key = PathBuf;

    /// Some thousand directories, as ours makes them.
    fn key(&self, record: usize) -> PathBuf {
        let name = text_id(record);
        self.dir.join(&name[..2]).join(&name[2..])
    }

    async fn retrieve(&mut self, path: &PathBuf) -> bool {
        black_box(std::fs::read(path)).is_ok()
    }

    async fn store(&mut self, path: &PathBuf, change: Change<'_>) -> bool {
        let beside = path.with_extension("new");
        std::fs::write(&beside, change.value).and_then(|()| std::fs::rename(&beside, path)).is_ok()
    }

    async fn create(&mut self, path: &PathBuf, change: Change<'_>) -> bool {
        let made = path.parent().is_some_and(|parent| std::fs::create_dir_all(parent).is_ok());
        made && std::fs::write(path, change.value).is_ok()
    }
}
