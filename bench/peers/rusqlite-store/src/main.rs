//! tower-sessions-rusqlite-store 0.15, with the options that it offers: WAL and `synchronous` on its connection.

use std::error::Error;

use session_bench_work::{Args, Durability, Runner, Work, answer, mix, serve, tower_application, tower_store};
use tokio_rusqlite::Connection;
use tower_sessions_rusqlite_store::RusqliteStore;

tower_store!(tower_sessions_core);
tower_application!(tower_sessions);

fn main() -> Result<(), Box<dyn Error>> {
    serve(std::env::args().skip(1), |args| {
        let runner = Runner::new(args)?;
        let connection = runner.block_on(open(args))?;
        if args.work == Work::Mix {
            return runner.block_on(mix::measure(args, router(RusqliteStore::new(connection), args)));
        }
        let store = TowerStore::<_, 1>::new(RusqliteStore::new(connection.clone()));
        let sample = answer(&runner, args, &store)?;
        runner.block_on(connection.close())?;
        Ok(sample)
    })
}

async fn open(args: &Args) -> Result<Connection, Box<dyn Error>> {
    let connection = Connection::open(args.dir.join("store.db")).await?;
    let pragmas = if args.durability == Durability::Power {
        // The store's defaults are SQLite's: a rollback journal and FULL. The file may have been in WAL before.
        "PRAGMA journal_mode = DELETE;"
    } else {
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
    };
    connection.call(move |connection| connection.execute_batch(pragmas)).await?;
    RusqliteStore::new(connection.clone()).migrate().await?;
    Ok(connection)
}
