//! tower-sessions 0.15: its layer, its memory store, and the moka store.

mod store;
mod web;

use session_bench_work::serve;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve(std::env::args().skip(1), |args| match args.subject.as_str() {
        "layer" => web::sample(args),
        "memory" => store::memory(args),
        "moka" => store::moka(args),
        other => Err(format!("{other:?} is not a subject").into()),
    })
}
