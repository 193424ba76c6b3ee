//! tower-sessions-sqlx-store 0.15 on SQLite, given what its pool can be given.

use std::error::Error;

use session_bench_work::{
    Args, Counting, Durability, Operation, PAGE_KEY, Payload, Random, Runner, Sample, Turn, Work,
};
use time::{Duration, OffsetDateTime};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_sqlx_store::SqliteStore;
use tower_sessions_sqlx_store::sqlx;
use tower_sessions_sqlx_store::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

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
    let store = SqliteStore::new(runner.block_on(open(&args, args.durability))?);
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
    store: SqliteStore,
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

async fn open(args: &Args, durability: Durability) -> Result<SqlitePool, Box<dyn Error>> {
    let options = SqliteConnectOptions::new().filename(args.dir.join("store.db")).create_if_missing(true);
    let options = match durability {
        Durability::Process => {
            options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
        }
        // SQLite's defaults are a rollback journal and FULL. The file may have been in WAL before.
        Durability::Power => options.journal_mode(SqliteJournalMode::Delete),
    };
    Ok(SqlitePoolOptions::new().connect_with(options).await?)
}

/// Fills the store's own table in one transaction, for the store itself commits each record alone.
async fn prepare(args: &Args) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&args.dir)?;
    let pool = open(args, Durability::Process).await?;
    SqliteStore::new(pool.clone()).migrate().await?;
    let mut transaction = pool.begin().await?;
    for number in 0..args.records {
        let record = record(number, args.size);
        sqlx::query("INSERT INTO tower_sessions (id, data, expiry_date) VALUES (?, ?, ?)")
            .bind(record.id.to_string())
            .bind(rmp_serde::to_vec(&record)?)
            .bind(record.expiry_date)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await?;
    pool.close().await;
    Ok(())
}

fn record(number: usize, size: usize) -> Record {
    let data = [(PAGE_KEY.to_owned(), Payload::new(size).stamped(number as u64).into())].into();
    Record { id: id(number), data, expiry_date: OffsetDateTime::now_utc() + Duration::days(1) }
}

fn id(record: usize) -> Id {
    Id(i128::from_le_bytes(Random::new(record as u64).bytes()))
}
