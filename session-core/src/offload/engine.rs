//! The queue and the threads. This file is compiled a second time for the loom model, with loom's types in `sync`.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::sync::{Arc, Condvar, Instant, Mutex, MutexGuard, PoisonError, now, thread};
use crate::key::Key;

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// How a task's turn ended.
pub(super) enum Turn {
    /// The task is done.
    Ended,
    /// A lock is taken: run the task again after this pause.
    Again(Duration),
}

pub(super) type Task = Box<dyn FnMut() -> Turn + Send>;

/// Which other calls a call must not overtake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// None.
    Free,
    /// Waits for all earlier changes of this key. Reads of one key run side by side.
    Read(Key),
    /// Waits for all earlier changes of this key, and later calls on the key wait for it.
    Change(Key),
}

/// A task, and the key whose later calls wait for it.
struct Job {
    task: Task,
    holds: Option<Key>,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Job>,
    later: Vec<(Instant, Job)>,
    /// The keys that a change holds, with the jobs that wait for its end.
    held: BTreeMap<Key, VecDeque<Job>>,
    /// How many jobs were accepted and have not ended.
    open: usize,
    threads: usize,
    idle: usize,
    stopped: bool,
    drained: Vec<Waker>,
}

/// The queue and its threads.
pub(super) struct Engine {
    name: &'static str,
    limit: usize,
    max_queue: usize,
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Engine {
    pub(super) fn new(name: &'static str, limit: usize, max_queue: usize) -> Arc<Self> {
        Arc::new(Self { name, limit, max_queue, queue: Mutex::new(Queue::default()), wake: Condvar::new() })
    }

    pub(super) fn submit(self: &Arc<Self>, task: Task, order: Order) -> Result<(), &'static str> {
        let mut queue = self.lock();
        if queue.open >= self.max_queue {
            return Err("too many operations are queued (max_queue)");
        }
        if queue.idle <= queue.ready.len() && queue.threads < self.limit {
            match self.start_thread() {
                Ok(()) => queue.threads += 1,
                // The threads that run already do the work.
                Err(_) if queue.threads > 0 => {}
                Err(_) => return Err("no thread could be started"),
            }
        }
        queue.open += 1;
        queue.place(task, order);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Lets the threads end when the queue is empty.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_all();
    }

    pub(super) fn poll_drained(&self, waker: &Waker) -> Poll<()> {
        let mut queue = self.lock();
        if queue.open == 0 {
            return Poll::Ready(());
        }
        if !queue.drained.iter().any(|known| known.will_wake(waker)) {
            queue.drained.push(waker.clone());
        }
        Poll::Pending
    }

    fn start_thread(self: &Arc<Self>) -> std::io::Result<()> {
        let engine = Arc::clone(self);
        thread::Builder::new().name(self.name.to_owned()).spawn(move || engine.work()).map(drop)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            let next_due = queue.promote();
            if let Some(mut job) = queue.ready.pop_front() {
                drop(queue);
                // A panic is reported to the caller by the reply that is dropped with the task.
                let turn = catch_unwind(AssertUnwindSafe(&mut job.task)).unwrap_or(Turn::Ended);
                queue = match turn {
                    Turn::Again(pause) => {
                        let due = now() + pause;
                        let mut queue = self.lock();
                        queue.later.push((due, job));
                        queue
                    }
                    Turn::Ended => self.end(job),
                };
                continue;
            }
            if queue.stopped && queue.later.is_empty() {
                break;
            }
            queue.idle += 1;
            let (woken, timed_out) = self.sleep(queue, next_due.unwrap_or(IDLE));
            queue = woken;
            queue.idle -= 1;
            if timed_out && next_due.is_none() && queue.ready.is_empty() && queue.later.is_empty() {
                break;
            }
        }
        queue.threads -= 1;
    }

    /// Drops the job outside the lock, and makes ready the jobs that waited for it.
    fn end(&self, job: Job) -> MutexGuard<'_, Queue> {
        let Job { task, holds } = job;
        drop(task);
        let mut queue = self.lock();
        let freed = holds.map_or(0, |key| queue.release(&key));
        // This thread takes the first of them.
        (1..freed).for_each(|_| self.wake.notify_one());
        queue.open -= 1;
        if queue.open == 0 {
            queue.drained.drain(..).for_each(Waker::wake);
        }
        queue
    }

    fn sleep<'a>(&self, queue: MutexGuard<'a, Queue>, limit: Duration) -> (MutexGuard<'a, Queue>, bool) {
        let (queue, timeout) = self.wake.wait_timeout(queue, limit).unwrap_or_else(PoisonError::into_inner);
        (queue, timeout.timed_out())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn place(&mut self, task: Task, order: Order) {
        let (key, holds) = match order {
            Order::Free => return self.ready.push_back(Job { task, holds: None }),
            Order::Read(key) => (key, false),
            Order::Change(key) => (key, true),
        };
        let job = Job { task, holds: holds.then(|| key.clone()) };
        match self.held.get_mut(&key) {
            Some(behind) => behind.push_back(job),
            None => {
                if holds {
                    self.held.insert(key, VecDeque::new());
                }
                self.ready.push_back(job);
            }
        }
    }

    /// Frees a key: the reads that are next, or the change that is next, become ready. Returns how many.
    fn release(&mut self, key: &Key) -> usize {
        let before = self.ready.len();
        let Some(behind) = self.held.get_mut(key) else { return 0 };
        while let Some(job) = behind.pop_front() {
            let holds = job.holds.is_some();
            self.ready.push_back(job);
            if holds {
                return self.ready.len() - before;
            }
        }
        self.held.remove(key);
        self.ready.len() - before
    }

    /// Makes ready every job whose pause is over. Returns how long the next one has to wait.
    fn promote(&mut self) -> Option<Duration> {
        if self.later.is_empty() {
            return None;
        }
        let now = now();
        let (due, waiting) = std::mem::take(&mut self.later).into_iter().partition(|(due, _)| *due <= now);
        self.later = waiting;
        let due: Vec<(Instant, Job)> = due;
        self.ready.extend(due.into_iter().map(|(_, job)| job));
        self.later.iter().map(|(due, _)| due.saturating_duration_since(now)).min()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("name", &self.name).finish_non_exhaustive()
    }
}
