//! The Redis stores of tower-sessions and of actix-session.

mod actix;
mod application;

use std::error::Error;

use session_bench_work::{Args, Runner, Sample, Work, answer, mix, serve, tower_application, tower_store};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{Builder, ClientLike, Config};

tower_store!(tower_sessions_core);
tower_application!(tower_sessions);

fn main() -> Result<(), Box<dyn Error>> {
    serve(std::env::args().skip(1), |args| match args.subject.as_str() {
        "tower" => tower(args),
        "actix" if args.work == Work::Mix => application::sample(args),
        "actix" => actix::sample(args),
        other => Err(format!("{other:?} is not a subject").into()),
    })
}

/// On one connection, which is multiplexed: a pool of several is slower.
fn tower(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let client = Builder::from_config(Config::from_url(&args.url)?).build()?;
    let running = runner.block_on(client.init())?;
    if args.work == Work::Mix {
        return runner.block_on(mix::measure(args, router(RedisStore::new(client), args)));
    }
    let sample = answer(&runner, args, &TowerStore::<_>::new(RedisStore::new(client.clone())))?;
    runner.block_on(client.quit())?;
    runner.block_on(running)??;
    Ok(sample)
}
