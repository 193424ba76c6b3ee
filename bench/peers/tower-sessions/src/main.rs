//! tower-sessions 0.15: its layer, its memory store, and the moka store.

mod store;
mod web;

use session_bench_work::{Runner, Work, mix, serve, tower_application};

tower_application!(tower_sessions);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve(std::env::args().skip(1), |args| match args.subject.as_str() {
        "layer" => web::sample(args),
        "memory" if args.work == Work::Mix => {
            let store = tower_sessions::MemoryStore::default();
            Runner::new(args)?.block_on(mix::measure(args, router(store, args)))
        }
        "memory" => store::memory(args),
        "moka" => store::moka(args),
        other => Err(format!("{other:?} is not a subject").into()),
    })
}
