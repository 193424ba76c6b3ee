//! tower-sessions-sqlx-store 0.15 on SQLite, with the options that its pool offers.

use std::error::Error;

use session_bench_work::{Args, Durability, Runner, Work, answer, mix, serve, tower_application, tower_store};
use tower_sessions_sqlx_store::SqliteStore;
use tower_sessions_sqlx_store::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

tower_store!(tower_sessions_core);
tower_application!(tower_sessions);

fn main() -> Result<(), Box<dyn Error>> {
    serve(std::env::args().skip(1), |args| {
        let runner = Runner::new(args)?;
        let pool = runner.block_on(open(args))?;
        if args.work == Work::Mix {
            return runner.block_on(mix::measure(args, router(SqliteStore::new(pool), args)));
        }
        // Its `create` reads and then writes in one transaction, which SQLite refuses where another wrote in between.
        let store = TowerStore::<_, 1>::new(SqliteStore::new(pool.clone()));
        let sample = answer(&runner, args, &store)?;
        runner.block_on(pool.close());
        Ok(sample)
    })
}

async fn open(args: &Args) -> Result<SqlitePool, Box<dyn Error>> {
    let options = SqliteConnectOptions::new().filename(args.dir.join("store.db")).create_if_missing(true);
    let options = if args.durability == Durability::Power {
        // SQLite's defaults are a rollback journal and FULL. The file may have been in WAL before.
        options.journal_mode(SqliteJournalMode::Delete)
    } else {
        options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
    };
    let pool = SqlitePoolOptions::new().connect_with(options).await?;
    SqliteStore::new(pool.clone()).migrate().await?;
    Ok(pool)
}
