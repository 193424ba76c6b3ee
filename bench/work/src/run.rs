//! Tasks on a runtime with two workers, counted over a time window.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinError;

use crate::args::Args;
use crate::draw::Draws;
use crate::sample::Sample;

/// The operation that a task repeats.
pub trait Operation: Send + 'static {
    /// How many operations a task runs before it yields. A handler with an in-memory store runs several in a row; an
    /// operation that waits for a disk is a request of its own.
    const BEFORE_YIELD: u64;

    /// Runs once, on the record at index `place` of the task's list; `turn` is different each time within a task. `false`
    /// means that it failed, so that the figure is discarded.
    fn once(&mut self, place: usize, turn: u64) -> impl Future<Output = bool> + Send;
}

/// The number of a task, and the records that it uses in order, repeatedly.
///
/// A subject computes the keys beforehand and keeps them in this order. In a request the key has just been computed and
/// is in the cache; fetching it from a random place would cost more than a store in memory.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The number of the task, from 0, over all processes.
    pub task: usize,
    /// The numbers of the records.
    pub list: Vec<usize>,
    tasks: usize,
    records: usize,
}

impl Turn {
    /// The same list with each record replaced by the nearest record that belongs to this task only, for work that has
    /// to know the latest revision.
    #[must_use]
    pub fn own(mut self) -> Self {
        for record in &mut self.list {
            let own = *record - *record % self.tasks + self.task;
            *record = if own < self.records { own } else { self.task };
        }
        self
    }
}

/// The present moment of the monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub fn stopwatch() -> Instant {
    Instant::now()
}

/// A runtime and its work.
#[derive(Debug)]
pub struct Runner {
    runtime: Runtime,
    args: Args,
}

impl Runner {
    /// A runtime for this work.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn new(args: &Args) -> io::Result<Self> {
        Self::with_workers(args, 2)
    }

    /// A runtime with another number of workers. With one worker, no other worker takes over waiting tasks.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_workers(args: &Args, workers: usize) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
        Ok(Self { runtime, args: args.clone() })
    }

    /// A runtime without workers: everything runs on the thread that waits, as in a `current_thread` application.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn on_one_thread(args: &Args) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, args: args.clone() })
    }

    /// Runs preparations on the runtime, such as opening and filling a store.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The tasks of this process and their records.
    #[must_use]
    pub fn turns(&self) -> Vec<Turn> {
        let Args { tasks, process, processes, records, .. } = self.args;
        let draws = Draws::new(records);
        let all = tasks * processes;
        (process * tasks..(process + 1) * tasks)
            .map(|task| Turn { task, list: draws.of(task, all).collect(), tasks: all, records })
            .collect()
    }

    /// Runs the futures concurrently and waits for all.
    ///
    /// # Errors
    /// A future panicked.
    pub fn all<F>(&self, futures: impl Iterator<Item = F>) -> Result<Vec<F::Output>, JoinError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let handles: Vec<_> = futures.map(|future| self.runtime.spawn(future)).collect();
        handles.into_iter().map(|handle| self.runtime.block_on(handle)).collect()
    }

    /// [`run`](Self::run) with one operation for each task.
    pub fn measure<O: Operation>(&self, make: impl FnMut(Turn) -> O) -> Sample {
        self.run(self.turns().into_iter().map(make).collect())
    }

    /// Runs every operation on its own task, and counts the operations in the measured window.
    ///
    /// The figures are `rate` (operations per second), `cpu_ns` (processor time of all threads per operation, less
    /// affected by other programs; 0 where the system does not report it), `server_ns` (the same of the server, if there is
    /// one), `failed` (failed operations) and `gap_ms` (the
    /// longest delay of a task that sleeps 1 ms at a time).
    pub fn run<O: Operation>(&self, operations: Vec<O>) -> Sample {
        let len = Draws::COUNT / (self.args.tasks * self.args.processes);
        let shared = Arc::new(Shared::default());
        let counters: Vec<Arc<Counter>> = operations.iter().map(|_| Arc::default()).collect();
        // Preparing them takes long, so all tasks of all processes start together.
        let met = meet(&self.args);
        let tasks = operations.into_iter().zip(&counters);
        let mut handles: Vec<_> = tasks
            .map(|(task, counter)| repeat(task, Arc::clone(counter), Arc::clone(&shared), len.max(1)))
            .map(|task| self.runtime.spawn(task))
            .collect();
        handles.push(self.runtime.spawn(heartbeat(Arc::clone(&shared))));

        let sum = || counters.iter().map(|counter| counter.0.load(Relaxed)).sum::<u64>();
        pause(self.args.warm_up);
        shared.measuring.store(true, Relaxed);
        let (start, before_all, cpu_before) = (stopwatch(), sum(), cpu_nanos("self"));
        let server = Some(self.args.server).filter(|server| *server != 0);
        let of_server = || server.map(with_children_nanos);
        let server_before = of_server();
        pause(self.args.measured);
        let server_after = of_server();
        let (elapsed, after, cpu_after) = (start.elapsed(), sum(), cpu_nanos("self"));
        shared.stop.store(true, Relaxed);
        let panicked = handles.into_iter().filter_map(|handle| self.runtime.block_on(handle).err()).count();

        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let figure = |count: u64| count as f64;
        let each =
            |before: u64, now: u64| figure(now.saturating_sub(before)) / figure((after - before_all).max(1));
        let sample = match server_before.zip(server_after) {
            Some((before, after)) => Sample::new().with("server_ns", each(before, after)),
            None => Sample::new(),
        };
        sample
            .with("rate", figure(after - before_all) / elapsed.as_secs_f64())
            .with("cpu_ns", each(cpu_before, cpu_after))
            .with("failed", figure(shared.failed.load(Relaxed) + panicked as u64 + u64::from(!met)))
            .with("gap_ms", shared.gap_ms())
    }

    /// Runs a future on a worker beside the heartbeat. Returns its result, its duration, and the longest gap of the
    /// heartbeat in milliseconds, without the time in which its thread waited for a processor.
    ///
    /// # Errors
    /// The future panicked.
    pub fn watch<F>(&self, future: F) -> Result<(F::Output, Duration, f64), JoinError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        shared.own_only.store(true, Relaxed);
        let beating = self.runtime.spawn(heartbeat(Arc::clone(&shared)));
        pause(self.args.warm_up);
        shared.measuring.store(true, Relaxed);
        let start = stopwatch();
        let output = self.runtime.block_on(self.runtime.spawn(future))?;
        let elapsed = start.elapsed();
        shared.stop.store(true, Relaxed);
        self.runtime.block_on(beating)?;
        Ok((output, elapsed, shared.gap_ms()))
    }
}

/// A counter on its own cache lines, so that tasks do not contend for it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counter(AtomicU64);

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    measuring: AtomicBool,
    /// Whether the gaps are without the waits for a processor.
    own_only: AtomicBool,
    failed: AtomicU64,
    gap_micros: AtomicU64,
}

impl Shared {
    fn gap_ms(&self) -> f64 {
        Duration::from_micros(self.gap_micros.load(Relaxed)).as_secs_f64() * 1_000.0
    }
}

async fn repeat<O: Operation>(mut operation: O, counter: Arc<Counter>, shared: Arc<Shared>, len: usize) {
    let (mut place, mut turn) = (0, 0);
    while !shared.stop.load(Relaxed) {
        for _ in 0..O::BEFORE_YIELD {
            turn += 1;
            place = if place + 1 < len { place + 1 } else { 0 };
            if !operation.once(place, turn).await {
                shared.failed.fetch_add(1, Relaxed);
            }
        }
        counter.0.fetch_add(O::BEFORE_YIELD, Relaxed);
        tokio::task::yield_now().await;
    }
}

/// Sleeps a millisecond at a time and records the longest delay: how long a task of this runtime had to wait.
async fn heartbeat(shared: Arc<Shared>) {
    const BEAT: Duration = Duration::from_millis(1);
    let own_only = shared.own_only.load(Relaxed);
    while !shared.stop.load(Relaxed) {
        let (start, waited) = (stopwatch(), own_only.then(waited_nanos).flatten());
        tokio::time::sleep(BEAT).await;
        if shared.measuring.load(Relaxed) {
            let late = start.elapsed().saturating_sub(BEAT);
            // A task may move to another thread, whose waits are its own.
            let waits = match (waited, own_only.then(waited_nanos).flatten()) {
                (Some((thread, before)), Some((same, after))) if same == thread => {
                    Duration::from_nanos(after.saturating_sub(before))
                }
                _ => Duration::ZERO,
            };
            let late = late.saturating_sub(waits).as_micros();
            shared.gap_micros.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Relaxed);
        }
    }
}

/// Waits until all processes of the work reach this point, and returns whether they did.
fn meet(args: &Args) -> bool {
    let Args { process, processes, meeting, .. } = args;
    if *processes == 1 {
        return true;
    }
    if std::fs::write(meeting.join(process.to_string()), "").is_err() {
        return false;
    }
    let start = stopwatch();
    while !(0..*processes).all(|other| meeting.join(other.to_string()).exists()) {
        if start.elapsed() > Duration::from_secs(60) {
            return false;
        }
        pause(Duration::from_millis(1));
    }
    true
}

/// The processor time of a process so far.
pub(crate) fn cpu_nanos(process: &str) -> u64 {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return 0 };
    let of = |thread: io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    threads.filter_map(of).sum()
}

/// A number of this thread, and how long it has been ready to run while other threads had the processors, or while the host
/// had taken them away. `None` where the system does not report it: then a gap includes such waits, and is only longer.
fn waited_nanos() -> Option<(u64, u64)> {
    let thread = std::fs::read_link("/proc/thread-self").ok()?;
    let number = thread.file_name()?.to_str()?.parse().ok()?;
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let waited: u64 = times.split_whitespace().nth(1)?.parse().ok()?;
    Some((number, waited + stolen_nanos()?))
}

/// How long the host of a virtual machine has taken processors away, in steps of ten milliseconds.
fn stolen_nanos() -> Option<u64> {
    let times = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: u64 = times.split_whitespace().nth(8)?.parse().ok()?;
    Some(ticks * 10_000_000)
}

/// The processor time of a server and of its child processes so far, such as PostgreSQL's backends. The time of a child
/// that has ended is missing, so connections must last as long as the measurement.
pub(crate) fn with_children_nanos(server: u32) -> u64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    let is_child = |process: &str| {
        // A process that has ended since the listing is no child.
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name of the program is in parentheses and may contain spaces.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        fields.split_whitespace().nth(1) == Some(server.to_string().as_str())
    };
    let names = processes.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let children = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && is_child(name));
    cpu_nanos(&server.to_string()) + children.map(|child| cpu_nanos(&child)).sum::<u64>()
}

/// Blocks the thread.
#[expect(clippy::disallowed_methods, reason = "the window of a measurement is real time")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_belongs_to_exactly_one_task() {
        let (tasks, records) = (8, 1_003);
        for task in 0..tasks {
            let turn = Turn { task, list: (0..records).collect(), tasks, records };
            assert!(turn.own().list.iter().all(|mine| *mine < records && mine % tasks == task));
        }
    }
}
