//! The queue and the threads. Compiled a second time for the loom model, with loom's types in `sync`.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::sync::{Arc, Condvar, Instant, Mutex, MutexGuard, PoisonError, now, thread};
use crate::key::Key;

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// A queued call.
pub(super) trait Task: Send {
    /// Runs the call once.
    fn run(&mut self) -> Turn;

    /// Answers the caller. Runs after the call stops counting, so that a full queue has room for the caller's next call.
    fn answer(self: Box<Self>);
}

/// How a run ended.
pub(super) enum Turn {
    /// The call is done.
    Ended,
    /// A lock is taken: run the call again after this pause.
    Again(Duration),
}

/// Why the queue rejects a call.
pub(super) enum Refused {
    /// `max_queue` calls are queued or running.
    Full,
    /// No thread runs, and the system cannot start one.
    NoThread(std::io::Error),
}

/// The earlier calls that a call waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// None.
    Free,
    /// All earlier changes of this key. Reads of one key run concurrently.
    Read(Key),
    /// All earlier changes of this key. Later calls on the key wait for this call.
    Change(Key),
}

/// A call, and the key whose later calls wait for it.
struct Job {
    task: Box<dyn Task>,
    holds: Option<Key>,
}

/// Every thread of the set is in one of three states: it runs a call, it sleeps, or it is idle.
#[derive(Default)]
struct Queue {
    ready: VecDeque<Job>,
    /// The calls that wait for a lock, by the moment of their next run.
    later: BTreeMap<Instant, Vec<Job>>,
    /// The keys of unfinished changes, with the calls that wait for them.
    held: BTreeMap<Key, VecDeque<Job>>,
    /// Accepted calls that have not ended.
    open: usize,
    threads: usize,
    /// Threads that will check the queue before they sleep: just started, woken, or between two calls.
    idle: usize,
    /// Threads that sleep and have not been woken.
    asleep: usize,
    /// Wakeups that no thread has taken yet. The woken threads count as idle.
    woken: usize,
    /// The moment at which a sleeping thread wakes to look at `later`.
    alarm: Option<Instant>,
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

    pub(super) fn submit(self: &Arc<Self>, task: Box<dyn Task>, order: Order) -> Result<(), Refused> {
        let mut queue = self.lock();
        if queue.open >= self.max_queue {
            return Err(Refused::Full);
        }
        if queue.threads == 0 {
            self.start_thread(&mut queue).map_err(Refused::NoThread)?;
        }
        queue.open += 1;
        queue.place(task, order);
        self.staff(queue);
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

    fn work(self: &Arc<Self>) {
        let mut queue = self.lock();
        loop {
            let due = queue.promote();
            if let Some(mut job) = queue.ready.pop_front() {
                queue.idle -= 1;
                self.staff(queue);
                // A call that panics has no result, and `answer` reports that.
                let turn = catch_unwind(AssertUnwindSafe(|| job.task.run())).unwrap_or(Turn::Ended);
                queue = match turn {
                    Turn::Again(pause) => self.postpone(job, pause),
                    Turn::Ended => self.end(job),
                };
            } else if queue.stopped && due.is_none() {
                break;
            } else {
                let timed_out;
                (queue, timed_out) = self.sleep(queue, due);
                if timed_out && queue.ready.is_empty() && queue.later.is_empty() {
                    break;
                }
            }
        }
        queue.idle -= 1;
        queue.threads -= 1;
        if queue.stopped {
            // Wake threads that slept while a call waited for a lock.
            self.wake.notify_all();
        }
    }

    fn postpone(&self, job: Job, pause: Duration) -> MutexGuard<'_, Queue> {
        let due = now() + pause;
        let mut queue = self.lock();
        queue.idle += 1;
        queue.later.entry(due).or_default().push(job);
        queue
    }

    fn end(self: &Arc<Self>, job: Job) -> MutexGuard<'_, Queue> {
        let Job { task, holds } = job;
        let mut queue = self.lock();
        queue.idle += 1;
        queue.open -= 1;
        if let Some(key) = holds {
            queue.release(&key);
        }
        let drained = if queue.open == 0 { std::mem::take(&mut queue.drained) } else { Vec::new() };
        self.staff(queue);
        // Destructors and wakers are foreign code: they run without the lock, and their panics end no thread.
        let _panicked = catch_unwind(AssertUnwindSafe(|| task.answer()));
        for waker in drained {
            let _panicked = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
        self.lock()
    }

    /// Sleeps until woken, until `due` if no other thread wakes by then, or for `IDLE`. Returns `true` after `IDLE`.
    fn sleep<'a>(
        &self,
        mut queue: MutexGuard<'a, Queue>,
        due: Option<Instant>,
    ) -> (MutexGuard<'a, Queue>, bool) {
        // Only one thread sets an alarm. Otherwise a taken lock would wake all threads every two milliseconds.
        let alarm = due.filter(|due| queue.alarm.is_none_or(|set| *due < set));
        queue.alarm = alarm.or(queue.alarm);
        queue.idle -= 1;
        queue.asleep += 1;
        let limit = alarm.map_or(IDLE, |due| due.saturating_duration_since(now()));
        let (mut queue, timeout) =
            self.wake.wait_timeout(queue, limit).unwrap_or_else(PoisonError::into_inner);
        if queue.alarm == alarm {
            queue.alarm = None;
        }
        if queue.woken > 0 {
            queue.woken -= 1;
        } else {
            queue.asleep -= 1;
            queue.idle += 1;
        }
        (queue, timeout.timed_out() && alarm.is_none())
    }

    /// Wakes or starts as many threads as the queue needs.
    fn staff(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        let mut wake = 0;
        while queue.idle < queue.demand() {
            if queue.asleep > 0 {
                queue.asleep -= 1;
                queue.woken += 1;
                queue.idle += 1;
                wake += 1;
            } else if queue.threads == self.limit || self.start_thread(&mut queue).is_err() {
                // The running threads take the calls one after another.
                break;
            }
        }
        drop(queue);
        (0..wake).for_each(|_| self.wake.notify_one());
    }

    fn start_thread(self: &Arc<Self>, queue: &mut Queue) -> std::io::Result<()> {
        let engine = Arc::clone(self);
        thread::Builder::new().name(self.name.to_owned()).spawn(move || engine.work())?;
        queue.threads += 1;
        queue.idle += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn place(&mut self, task: Box<dyn Task>, order: Order) {
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

    /// Ends a change's hold on its key: the reads behind it become ready, up to and including the next change.
    fn release(&mut self, key: &Key) {
        let Some(behind) = self.held.get_mut(key) else { return };
        while let Some(job) = behind.pop_front() {
            let holds = job.holds.is_some();
            self.ready.push_back(job);
            if holds {
                return;
            }
        }
        self.held.remove(key);
    }

    /// Makes ready every call whose pause is over, in order of their due times. Returns the next due time.
    fn promote(&mut self) -> Option<Instant> {
        // Usually empty. Reading the time for every call would be waste.
        if self.later.is_empty() {
            return None;
        }
        let now = now();
        while let Some(first) = self.later.first_entry() {
            if *first.key() > now {
                return Some(*first.key());
            }
            self.ready.extend(first.remove());
        }
        None
    }

    /// The number of idle threads that the queue needs: one per ready call, and one to set the alarm while calls wait
    /// for a lock, because the busy threads may stay busy.
    fn demand(&self) -> usize {
        self.ready.len() + usize::from(!self.later.is_empty() && self.alarm.is_none())
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Engine");
        shown.field("name", &self.name);
        // In a forked child the lock may never be free.
        if let Ok(queue) = self.queue.try_lock() {
            shown
                .field("threads", &queue.threads)
                .field("calls", &queue.open)
                .field("keys", &queue.held.len());
        }
        shown.finish_non_exhaustive()
    }
}
