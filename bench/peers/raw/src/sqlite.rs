//! rusqlite with the settings of someone who has read SQLite's manual: the table, the cache and the number of reading
//! connections are those of our driver, so that what is left between the two is what the driver itself costs.

use std::error::Error;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, params};
use session_bench_work::{Args, Durability, Operation, Payload, Runner, Sample, Turn, Work, text_id};
use tokio::sync::oneshot;

const SELECT: &str = "SELECT revision, deadline, data FROM records WHERE key = ?1";
const UPDATE: &str =
    "UPDATE records SET revision = ?2, deadline = ?3, data = ?4 WHERE key = ?1 AND revision = ?5";
/// A deadline far away, in milliseconds; each store moves it a little, as a session's does.
const DEADLINE: i64 = 4_000_000_000_000;

/// Fills a database in `dir`.
pub fn prepare(args: &Args) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&args.dir)?;
    let mut connection = open(&args.dir, Durability::Process)?;
    connection.execute_batch(
        "CREATE TABLE records (
             id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, revision BLOB NOT NULL, deadline INTEGER, data BLOB NOT NULL
         ) STRICT;
         CREATE INDEX records_deadline ON records (deadline) WHERE deadline IS NOT NULL;",
    )?;
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction
            .prepare("INSERT INTO records (key, revision, deadline, data) VALUES (?1, ?2, ?3, ?4)")?;
        let mut payload = Payload::new(args.size);
        for record in 0..args.records {
            let data = payload.stamped(record as u64).as_bytes();
            insert.execute(params![key(record), 0_u64.to_be_bytes(), DEADLINE + record as i64, data])?;
        }
    }
    transaction.commit()?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// Reads on a connection from a pool, writes on one behind a mutex, all on the task's own thread.
pub fn inline(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    match args.work {
        Work::Retrieve => {
            let pool = Arc::new(Mutex::new(Vec::new()));
            for _ in 0..2 {
                lock(&pool).push(open(&args.dir, args.durability)?);
            }
            Ok(runner.measure(|turn| Retrieve { pool: Arc::clone(&pool), keys: keys(&turn) }))
        }
        Work::Store => {
            let writer = open(&args.dir, args.durability)?;
            let revisions = revisions(&writer, args)?;
            let writer = Arc::new(Mutex::new(writer));
            Ok(runner.measure(|turn| Store {
                task: Task::new(args, &revisions, turn),
                how: How::Inline(Arc::clone(&writer)),
            }))
        }
        _ => Err("not the work of a raw connection".into()),
    }
}

/// Writes that wait in a channel are committed together by a thread of its own.
pub fn group(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let mut writer = open(&args.dir, args.durability)?;
    let revisions = revisions(&writer, args)?;
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || commit_together(&mut writer, &receiver));
    let sample = runner
        .measure(|turn| Store { task: Task::new(args, &revisions, turn), how: How::Group(sender.clone()) });
    drop(sender);
    thread.join().map_err(|_| "the writer thread panicked")??;
    Ok(sample)
}

struct Retrieve {
    pool: Arc<Mutex<Vec<Connection>>>,
    keys: Vec<Box<[u8]>>,
}

impl Operation for Retrieve {
    const BEFORE_YIELD: u64 = 1;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        let Some(connection) = lock(&self.pool).pop() else { return false };
        let found = connection.prepare_cached(SELECT).and_then(|mut select| {
            select.query_row([&self.keys[place]], |row| {
                Ok((row.get::<_, [u8; 8]>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Vec<u8>>(2)?))
            })
        });
        lock(&self.pool).push(connection);
        std::hint::black_box(found).is_ok()
    }
}

struct Write {
    key: Box<[u8]>,
    from: u64,
    to: u64,
    data: Vec<u8>,
}

impl Write {
    fn apply(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let (from, to) = (self.from.to_be_bytes(), self.to.to_be_bytes());
        let deadline = DEADLINE + self.to as i64;
        connection
            .prepare_cached(UPDATE)?
            .execute(params![self.key, to, deadline, self.data, from])
            .map(|rows| rows == 1)
    }
}

struct Task {
    keys: Vec<Box<[u8]>>,
    revisions: Vec<u64>,
    payload: Payload,
    turn: Turn,
}

impl Task {
    fn new(args: &Args, revisions: &[u64], turn: Turn) -> Self {
        let turn = turn.own();
        Self { keys: keys(&turn), revisions: revisions.to_vec(), payload: Payload::new(args.size), turn }
    }
}

#[derive(Clone)]
enum How {
    Inline(Arc<Mutex<Connection>>),
    Group(Sender<(Write, oneshot::Sender<bool>)>),
}

struct Store {
    task: Task,
    how: How,
}

impl Operation for Store {
    const BEFORE_YIELD: u64 = 1;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        let task = &mut self.task;
        let record = task.turn.list[place];
        let from = task.revisions[record];
        let to = from + 1;
        task.revisions[record] = to;
        let data = task.payload.stamped(to).as_bytes().to_vec();
        let write = Write { key: task.keys[place].clone(), from, to, data };
        match &self.how {
            How::Inline(writer) => write.apply(&lock(writer)).unwrap_or(false),
            How::Group(queue) => {
                let (answer, answered) = oneshot::channel();
                queue.send((write, answer)).is_ok() && answered.await.unwrap_or(false)
            }
        }
    }
}

fn commit_together(
    writer: &mut Connection,
    queue: &Receiver<(Write, oneshot::Sender<bool>)>,
) -> Result<(), rusqlite::Error> {
    while let Ok(first) = queue.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(queue.try_iter().take(255)).collect();
        let transaction = writer.transaction()?;
        let done: Vec<bool> =
            batch.iter().map(|(write, _)| write.apply(&transaction)).collect::<Result<_, _>>()?;
        transaction.commit()?;
        for ((_, answer), done) in batch.into_iter().zip(done) {
            let _ = answer.send(done);
        }
    }
    Ok(())
}

fn revisions(connection: &Connection, args: &Args) -> rusqlite::Result<Vec<u64>> {
    let mut select = connection.prepare("SELECT revision FROM records WHERE key = ?1")?;
    let mut read = |key| select.query_row([key], |row| row.get(0)).map(u64::from_be_bytes);
    (0..args.records).map(|record| read(key(record))).collect()
}

fn keys(turn: &Turn) -> Vec<Box<[u8]>> {
    turn.list.iter().map(|record| key(*record)).collect()
}

fn open(dir: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let connection = Connection::open(dir.join("raw.db"))?;
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA busy_timeout = 5000;
         PRAGMA cache_size = -8192;"
    ))?;
    Ok(connection)
}

fn key(record: usize) -> Box<[u8]> {
    format!("session:{}", text_id(record)).into_bytes().into()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
