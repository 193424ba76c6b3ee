//! tower-sessions 0.15: its layer, its memory store, and the moka store.

mod store;
mod web;

use session_bench_work::{Args, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::read(std::env::args().skip(1))?;
    let sample = match args.subject.as_str() {
        "layer" => web::sample(&args)?,
        "memory" => store::memory(&args)?,
        "moka" => store::moka(&args)?,
        other => return Err(format!("{other:?} is not a subject").into()),
    };
    sample.print();
    Ok(())
}
