//! tokio-postgres without a driver, and tower-sessions-sqlx-store 0.15.

mod raw;

use std::error::Error;
use std::str::FromStr;

use session_bench_work::{Args, Durability, Runner, Sample, Work, answer, mix, serve, tower_application, tower_store};
use tower_sessions_sqlx_store::PostgresStore;
use tower_sessions_sqlx_store::sqlx::postgres::{PgConnectOptions, PgPoolOptions};

tower_store!(tower_sessions_core);
tower_application!(tower_sessions);

/// As many as our driver has by default.
const CONNECTIONS: u32 = 16;

fn main() -> Result<(), Box<dyn Error>> {
    serve(std::env::args().skip(1), |args| match args.subject.as_str() {
        "pool" => raw::pooled(args),
        "pipeline" => raw::pipelined(args),
        "tower" => tower(args),
        other => Err(format!("{other:?} is not a subject").into()),
    })
}

fn tower(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let options = PgConnectOptions::from_str(&args.url)?.options([("synchronous_commit", waits(args))]);
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
    let pool = runner.block_on(pool.connect_with(options))?;
    let store = PostgresStore::new(pool.clone());
    runner.block_on(store.migrate())?;
    if args.work == Work::Mix {
        return runner.block_on(mix::measure(args, router(store, args)));
    }
    let sample = answer(&runner, args, &TowerStore::<_>::new(store))?;
    runner.block_on(pool.close());
    Ok(sample)
}

/// The `synchronous_commit` of a durability.
fn waits(args: &Args) -> &'static str {
    if args.durability == Durability::Power { "on" } else { "off" }
}
