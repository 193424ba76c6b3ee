//! rusqlite with good settings: the table, the cache and the number of reading connections are those of our driver, so that
//! the difference is the cost of the driver.

use std::error::Error;
use std::hint::black_box;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, params};
use session_bench_work::{Args, Change, Durability, Runner, Sample, Store, Work, answer};
use tokio::sync::oneshot;

use crate::key;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS records (
         id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, revision BLOB NOT NULL, deadline INTEGER, data BLOB NOT NULL
     ) STRICT;
     CREATE INDEX IF NOT EXISTS records_deadline ON records (deadline) WHERE deadline IS NOT NULL;";
const SELECT: &str = "SELECT revision, deadline, data FROM records WHERE key = ?1";
const INSERT: &str = "INSERT INTO records (key, revision, deadline, data) VALUES (?1, ?2, ?3, ?4)";
const UPDATE: &str =
    "UPDATE records SET revision = ?2, deadline = ?3, data = ?4 WHERE key = ?1 AND revision = ?5";
/// A far deadline, in milliseconds; each store moves it a little, like a session's changes.
const DEADLINE: i64 = 4_000_000_000_000;

/// Reads on a connection from a pool, writes on one behind a mutex, all on the task's own thread.
pub fn inline(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let writer = open(args)?;
    if args.work == Work::Prepare {
        writer.execute_batch(TABLE)?;
    }
    let writer = Arc::new(Mutex::new(writer));
    answer(&Runner::new(args)?, args, &Sqlite { readers: readers(args)?, how: How::Inline(writer) })
}

/// A thread commits all writes that wait in its channel together.
pub fn group(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let mut writer = open(args)?;
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || commit_together(&mut writer, &receiver));
    let sample =
        answer(&Runner::new(args)?, args, &Sqlite { readers: readers(args)?, how: How::Group(sender) })?;
    thread.join().map_err(|_| "the writer thread panicked")??;
    Ok(sample)
}

#[derive(Clone)]
struct Sqlite {
    readers: Arc<Mutex<Vec<Connection>>>,
    how: How,
}

#[derive(Clone)]
enum How {
    Inline(Arc<Mutex<Connection>>),
    Group(Sender<(Write, oneshot::Sender<bool>)>),
}

type Row = ([u8; 8], Option<i64>, Vec<u8>);

impl Sqlite {
    fn read(&self, key: &[u8]) -> Option<Row> {
        let connection = lock(&self.readers).pop()?;
        let found = connection.prepare_cached(SELECT).and_then(|mut select| {
            select.query_row([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        });
        lock(&self.readers).push(connection);
        found.ok()
    }
}

impl Store for Sqlite {
    type Key = Box<[u8]>;

    const FILLERS: usize = 1;

    fn key(&self, record: usize) -> Box<[u8]> {
        key(record)
    }

    async fn retrieve(&mut self, key: &Box<[u8]>) -> bool {
        black_box(self.read(key)).is_some()
    }

    async fn store(&mut self, key: &Box<[u8]>, change: Change<'_>) -> bool {
        let Change { from, to, value } = change;
        let write = Write { key: key.clone(), from, to, data: value.as_bytes().to_vec() };
        match &self.how {
            How::Inline(writer) => write.apply(&lock(writer)).unwrap_or(false),
            How::Group(queue) => {
                let (answer, answered) = oneshot::channel();
                queue.send((write, answer)).is_ok() && answered.await.unwrap_or(false)
            }
        }
    }

    async fn create(&mut self, key: &Box<[u8]>, change: Change<'_>) -> bool {
        let How::Inline(writer) = &self.how else { return false };
        let values = params![key, change.to.to_be_bytes(), DEADLINE, change.value.as_bytes()];
        lock(writer).prepare_cached(INSERT).and_then(|mut insert| insert.execute(values)).is_ok()
    }

    async fn revision(&mut self, key: &Box<[u8]>) -> Option<u64> {
        self.read(key).map(|(revision, ..)| u64::from_be_bytes(revision))
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

fn readers(args: &Args) -> rusqlite::Result<Arc<Mutex<Vec<Connection>>>> {
    let connections = [open(args)?, open(args)?];
    Ok(Arc::new(Mutex::new(connections.into())))
}

fn open(args: &Args) -> rusqlite::Result<Connection> {
    let connection = Connection::open(args.dir.join("raw.db"))?;
    let synchronous = if args.durability == Durability::Power { "FULL" } else { "NORMAL" };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA busy_timeout = 5000;
         PRAGMA cache_size = -8192;"
    ))?;
    Ok(connection)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
