//! The engines themselves, used as plainly and as fast as one can: what a driver on top of them is measured by.

mod map;
mod sqlite;

use session_bench_work::{Args, Counting, Sample, Work};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse(std::env::args().skip(1))?;
    let sample = match (args.subject.as_str(), args.work) {
        ("dashmap", _) => map::sample(&args)?,
        ("inline" | "group", Work::Prepare) => sqlite::prepare(&args).map(|()| Sample::new())?,
        ("inline", _) => sqlite::inline(&args)?,
        ("group", Work::Store) => sqlite::group(&args)?,
        _ => return Err(format!("cannot do {:?} with {:?}", args.work, args.subject).into()),
    };
    sample.print();
    Ok(())
}
