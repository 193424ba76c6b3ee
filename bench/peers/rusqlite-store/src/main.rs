//! tower-sessions-rusqlite-store 0.15, given what it can be given: WAL and `synchronous` on its connection.

use std::error::Error;

use session_bench_work::{
    Args, Counting, Durability, Operation, PAGE_KEY, Payload, Random, Runner, Sample, Turn, Work,
};
use time::{Duration, OffsetDateTime};
use tokio_rusqlite::{Connection, params};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_rusqlite_store::RusqliteStore;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse(std::env::args().skip(1))?;
    let runner = Runner::new(&args)?;
    if args.work == Work::Prepare {
        runner.block_on(prepare(&args))?;
        Sample::new().print();
        return Ok(());
    }
    let store = RusqliteStore::new(runner.block_on(open(&args, args.durability))?);
    let make = |turn: Turn| Task {
        store: store.clone(),
        record: record(0, args.size),
        payload: Payload::new(args.size),
        ids: turn.list.iter().map(|record| id(*record)).collect(),
    };
    let sample = match args.work {
        Work::Retrieve => runner.measure(|turn| Load(make(turn))),
        Work::Store => runner.measure(|turn| Save(make(turn.own()))),
        _ => return Err("not the work of this store".into()),
    };
    sample.print();
    Ok(())
}

struct Task {
    store: RusqliteStore,
    record: Record,
    payload: Payload,
    ids: Vec<Id>,
}

struct Load(Task);

impl Operation for Load {
    const BEFORE_YIELD: u64 = 1;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        let loaded = self.0.store.load(&self.0.ids[place]).await;
        std::hint::black_box(loaded).is_ok_and(|record| record.is_some())
    }
}

struct Save(Task);

impl Operation for Save {
    const BEFORE_YIELD: u64 = 1;

    async fn once(&mut self, place: usize, turn: u64) -> bool {
        let Task { store, record: changed, payload, ids } = &mut self.0;
        changed.id = ids[place];
        changed.data.insert(PAGE_KEY.into(), payload.stamped(fresh(turn)).into());
        store.save(changed).await.is_ok()
    }
}

/// A stamp that no earlier run left in the store.
fn fresh(turn: u64) -> u64 {
    turn | u64::from(std::process::id()) << 40
}

async fn open(args: &Args, durability: Durability) -> Result<Connection, Box<dyn Error>> {
    let connection = Connection::open(args.dir.join("store.db")).await?;
    if durability == Durability::Process {
        let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;";
        connection.call(move |connection| connection.execute_batch(pragmas)).await?;
    } else {
        // The store's defaults are SQLite's: a rollback journal and FULL. The file may have been in WAL before.
        connection.call(|connection| connection.execute_batch("PRAGMA journal_mode = DELETE;")).await?;
    }
    Ok(connection)
}

/// Fills the store's own table in one transaction, for the store itself commits each record alone.
async fn prepare(args: &Args) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&args.dir)?;
    let connection = open(args, Durability::Process).await?;
    RusqliteStore::new(connection.clone()).migrate().await?;
    let (records, size) = (args.records, args.size);
    connection
        .call(move |connection| {
            let transaction = connection.transaction()?;
            {
                let mut insert = transaction
                    .prepare("INSERT INTO tower_sessions (id, data, expiry_date) VALUES (?1, ?2, ?3)")?;
                for number in 0..records {
                    let record = record(number, size);
                    let data = rmp_serde::to_vec(&record)
                        .expect("a record of texts and numbers has its MessagePack");
                    insert.execute(params![
                        record.id.to_string(),
                        data,
                        record.expiry_date.unix_timestamp()
                    ])?;
                }
            }
            transaction.commit()?;
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        })
        .await?;
    connection.close().await?;
    Ok(())
}

fn record(number: usize, size: usize) -> Record {
    let data = [(PAGE_KEY.to_owned(), Payload::new(size).stamped(number as u64).into())].into();
    Record { id: id(number), data, expiry_date: OffsetDateTime::now_utc() + Duration::days(1) }
}

fn id(record: usize) -> Id {
    Id(i128::from_le_bytes(Random::new(record as u64).bytes()))
}
