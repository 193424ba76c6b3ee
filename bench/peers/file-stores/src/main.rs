//! Stores for tower-sessions 0.15 with one file per session.

use std::error::Error;
use std::path::Path;

use session_bench_work::{Runner, answer, serve, tower_store};
use tower_sessions_file_store::FileSessionStorage;

tower_store!(tower_sessions_core);

fn main() -> Result<(), Box<dyn Error>> {
    serve(std::env::args().skip(1), |args| {
        let (runner, dir) = (Runner::new(args)?, args.dir.clone());
        match args.subject.as_str() {
            "file" => answer(&runner, args, &TowerStore::<_>::new(FileSessionStorage::new_in_folder(dir))),
            "file-based" => {
                let store = tower_sessions_file_based_store::FileStore::in_dir(dir)?;
                answer(&runner, args, &TowerStore::<_>::new(store))
            }
            "fs" => {
                // The store needs a `'static` path.
                let dir: &'static Path = Box::leak(dir.into_boxed_path());
                answer(&runner, args, &TowerStore::<_>::new(tower_sessions_fs_store::FileStore::new(dir)))
            }
            other => Err(format!("{other:?} is not a subject").into()),
        }
    })
}
