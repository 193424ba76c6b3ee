//! One migration as an operator runs it: applications in processes of their own, a copy in another one, and kills.

use std::fs;
use std::path::{Path, PathBuf};

use session_conformance::testing::{ChildProcess, Rng, block_on, say};
use session_core::{Change, Condition, Driver, DriverExt as _, DynDriver, Key, Prefix, Record, Touch};
use session_migrate::{CopyOptions, Migrating, Originals, Position, VerifyOptions, copy, prefixes, verify};

use crate::ledger::{Journal, Ledger, State, Stored, expected, read, write};
use crate::stores::open;

/// The sessions of a test, and who owns them.
pub(crate) struct World {
    /// The name of the test, which its child processes run too.
    pub(crate) test: &'static str,
    /// One for each application.
    pub(crate) ledgers: Vec<Ledger>,
    /// How often the shared counter was increased: acknowledged, and perhaps.
    pub(crate) counted: (u64, u64),
    pub(crate) rng: Rng,
}

/// How a migration is disturbed.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// How many copies are killed, each after so many pages at most. Every other time an application is killed too.
    pub(crate) kills: usize,
    pub(crate) pages: usize,
    /// The size of a page.
    pub(crate) page: usize,
}

/// A change that may have happened: its process was killed.
struct Uncertain {
    owner: usize,
    key: Key,
    before: State,
    after: State,
}

struct App {
    process: ChildProcess,
    journal: PathBuf,
}

impl World {
    /// Migrates everything from one store to another, and checks the result.
    pub(crate) fn migrate(&mut self, old: &str, new: &str, plan: Plan) {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (stop, position) = (at("stop"), at("position"));
        let mut uncertain = Vec::new();
        let mut started = 0;
        let mut apps: Vec<_> = (0..self.ledgers.len())
            .map(|owner| {
                started += 1;
                self.start(owner, old, new, &at(&format!("journal-{started}")), &stop)
            })
            .collect();
        let (test, page) = (self.test, plan.page.to_string());
        let copy = |most: usize| {
            let args = ["copy", old, new, position.to_str().unwrap(), &page, &most.to_string()];
            ChildProcess::spawn(test, &args)
        };
        for number in 0..plan.kills {
            let pages = self.rng.usize(1..=plan.pages);
            // Killed in the middle of a later page, or when it waits, so that it cannot end before.
            let mut copier = copy(pages + 8);
            for _ in 0..pages {
                let _ = copier.wait_for("page");
            }
            drop(copier.kill());
            if number % 2 == 1 {
                let owner = self.rng.usize(0..apps.len());
                started += 1;
                let next = at(&format!("journal-{started}"));
                let App { process, journal } = apps.remove(owner);
                drop(process.kill());
                uncertain.extend(self.settle(owner, &journal));
                apps.insert(owner, self.start(owner, old, new, &next, &stop));
            }
        }
        let copied = copy(usize::MAX).finish();
        assert!(copied.iter().any(|line| line == "complete"), "the copy printed {copied:?}");
        fs::write(&stop, "").unwrap();
        for (owner, app) in apps.into_iter().enumerate() {
            let lines = app.process.finish();
            assert!(lines.iter().any(|line| line == "stopped"), "the application printed {lines:?}");
            assert!(self.settle(owner, &app.journal).is_none(), "it ended in the middle of a change");
        }
        block_on(async { self.check(&open(old).await, &open(new).await, uncertain).await });
    }

    /// Starts an application that owns a ledger.
    fn start(&mut self, owner: usize, old: &str, new: &str, journal: &Path, stop: &Path) -> App {
        write(journal, &self.ledgers[owner]);
        let (path, stop) = (journal.to_str().unwrap(), stop.to_str().unwrap());
        let seed = self.rng.u64(..).to_string();
        let mut process = ChildProcess::spawn(self.test, &["application", old, new, path, stop, &seed]);
        let _ = process.wait_for("ready");
        App { process, journal: journal.to_owned() }
    }

    /// Reads what an application has done. A change without an answer leaves its key without an owner.
    fn settle(&mut self, owner: usize, journal: &Path) -> Option<Uncertain> {
        let (ledger, pending) = read(journal);
        self.ledgers[owner] = ledger;
        let (_, perhaps) = read(&shared(journal));
        let counted = fs::read_to_string(shared(journal)).unwrap().matches("done").count();
        self.counted.0 += counted as u64;
        self.counted.1 += counted as u64 + u64::from(perhaps.is_some());
        let (key, after) = pending?;
        let before = self.ledgers[owner].remove(&key).flatten();
        Some(Uncertain { owner, key, before, after })
    }

    async fn check(&mut self, old: &DynDriver, new: &DynDriver, uncertain: Vec<Uncertain>) {
        let verified = verify(old, new, VerifyOptions::default(), |_| {}).await.unwrap();
        assert!(verified.is_clean() && verified.equal == 0, "{verified:?}");
        for prefix in prefixes() {
            assert_eq!(old.count(&prefix).await.unwrap(), 0, "records were left behind under {prefix}");
        }
        for Uncertain { owner, key, before, after } in uncertain {
            let found = new.retrieve(&key).await.unwrap();
            let state = [before, after].into_iter().find(|state| expected(*state) == found);
            let state = state.unwrap_or_else(|| panic!("neither {before:?} nor {after:?}, but {found:?}"));
            self.ledgers[owner].insert(key, state);
        }
        let mut live = 0;
        for (key, state) in self.ledgers.iter().flatten() {
            assert_eq!(new.retrieve(key).await.unwrap(), expected(*state), "a record was lost or came back");
            live += u64::from(state.is_some());
        }
        assert_eq!(new.count(&Prefix::SESSION).await.unwrap(), live, "a record came back");
        let counter = number(new.retrieve(&counter()).await.unwrap().as_ref());
        let (least, most) = self.counted;
        assert!((least..=most).contains(&counter), "{counter} of {least} to {most} increments");
        self.counted = (counter, counter);
    }
}

/// The file in which an application notes its increments of the shared counter.
fn shared(journal: &Path) -> PathBuf {
    journal.with_extension("shared")
}

fn counter() -> Key {
    Key::parse("user:counter").unwrap()
}

fn number(counter: Option<&Record>) -> u64 {
    counter.map_or(0, |record| std::str::from_utf8(&record.data).unwrap().parse().unwrap())
}

/// Plays the role that the first argument of a child process names.
pub(crate) fn play(args: &[String]) {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["copy", old, new, position, page, most] => {
            block_on(copy_role(old, new, position, page.parse().unwrap(), most.parse().unwrap()));
        }
        ["application", old, new, journal, stop, seed] => block_on(async {
            Application::new(old, new, journal, seed).await.run(Path::new(stop)).await;
        }),
        _ => panic!("a role with {} arguments", args.len()),
    }
}

/// Copies from the position that an earlier process has left. After `most` pages it waits to be killed.
async fn copy_role(old: &str, new: &str, position: &str, page: usize, most: usize) {
    let (old, new) = (open(old).await, open(new).await);
    let mut options = CopyOptions::default().page(page);
    if let Ok(bytes) = fs::read(position) {
        options = options.from(Position::from_bytes(&bytes).unwrap());
    }
    let mut pages = 0;
    let copied = copy(&old, &new, Originals::Remove, options, |progress| {
        if let Some(reached) = &progress.position {
            let fresh = format!("{position}.new");
            fs::write(&fresh, reached.to_bytes()).unwrap();
            fs::rename(fresh, position).unwrap();
        }
        say("page");
        pages += 1;
        if pages == most {
            loop {
                std::thread::park();
            }
        }
    });
    let report = copied.await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    say("complete");
}

/// A process that uses its own sessions, knows what each of them must be, and shares a counter with the others.
struct Application {
    driver: Migrating<DynDriver, DynDriver>,
    ledger: Ledger,
    keys: Vec<Key>,
    journal: Journal,
    shared: Journal,
    rng: Rng,
}

impl Application {
    async fn new(old: &str, new: &str, journal: &str, seed: &str) -> Self {
        let (ledger, pending) = read(Path::new(journal));
        assert!(pending.is_none());
        Self {
            driver: Migrating::open(open(old).await, open(new).await).await.unwrap(),
            // A part of them, so that an application cannot move all records before the copies are killed.
            keys: ledger.keys().step_by(4).cloned().collect(),
            ledger,
            journal: Journal::open(Path::new(journal)),
            shared: Journal::open(&shared(Path::new(journal))),
            rng: Rng::with_seed(seed.parse().unwrap()),
        }
    }

    async fn run(&mut self, stop: &Path) {
        say("ready");
        while !stop.exists() {
            match self.rng.u32(0..100) {
                0..10 => self.create().await,
                10..50 => self.change().await,
                50..70 => self.touch().await,
                70..90 => self.end().await,
                _ => self.count().await,
            }
        }
        say("stopped");
    }

    fn fresh(&mut self) -> Stored {
        let millis = 9_000_000_000_000 + self.rng.u64(0..1_000_000);
        Stored { seed: self.rng.u64(..), revision: self.rng.u64(..), millis }
    }

    /// Journals a change, makes it, and expects it to be applied.
    async fn make(
        &mut self,
        key: &Key,
        state: State,
        change: impl AsyncFnOnce(&Migrating<DynDriver, DynDriver>) -> bool,
    ) {
        self.journal.begin(key, state);
        assert!(change(&self.driver).await, "a change of an own record was refused");
        self.journal.end();
        self.ledger.insert(key.clone(), state);
    }

    fn choose(&mut self) -> (Key, State) {
        let key = self.keys[self.rng.usize(0..self.keys.len())].clone();
        let state = self.ledger[&key];
        (key, state)
    }

    async fn create(&mut self) {
        let key = Key::parse(&format!("session:{:016x}", self.rng.u64(..))).unwrap();
        let fresh = self.fresh();
        self.make(&key, Some(fresh), async |driver| {
            driver.store(&key, fresh.record(), Condition::Absent).await.unwrap().is_applied()
        })
        .await;
        self.keys.push(key);
    }

    async fn change(&mut self) {
        let (key, state) = self.choose();
        let loaded = self.driver.retrieve(&key).await.unwrap();
        assert_eq!(loaded, expected(state), "a record was lost or came back");
        let fresh = self.fresh();
        let Some(loaded) = loaded else {
            // A late request of a session that has ended.
            let late = Condition::Revision(self.fresh().revision());
            let late = self.driver.store(&key, fresh.record(), late).await.unwrap();
            return assert_eq!(late, Change::Conflict(None));
        };
        self.make(&key, Some(fresh), async |driver| {
            driver.store_over(&key, fresh.record(), &loaded).await.unwrap().is_applied()
        })
        .await;
    }

    async fn touch(&mut self) {
        let (key, state) = self.choose();
        let to = self.fresh();
        let from = state.unwrap_or_else(|| self.fresh());
        let touch = Touch { from: from.revision(), to: to.revision(), deadline: to.deadline() };
        if state.is_none() {
            let touched = self.driver.touch(&key, touch).await.unwrap();
            return assert!(!touched, "a touch found a session that has ended");
        }
        let touched = Stored { seed: from.seed, ..to };
        self.make(&key, Some(touched), async |driver| driver.touch(&key, touch).await.unwrap()).await;
    }

    async fn end(&mut self) {
        let (key, state) = self.choose();
        let condition = match state {
            Some(stored) if self.rng.bool() => Condition::Revision(stored.revision()),
            _ => Condition::Any,
        };
        if state.is_none() {
            let again = self.driver.remove(&key, condition).await.unwrap();
            return assert_eq!(again, Change::Conflict(None), "a session ended twice");
        }
        self.make(&key, None, async |driver| driver.remove(&key, condition).await.unwrap().is_applied())
            .await;
    }

    /// Adds one to a counter that all applications change.
    async fn count(&mut self) {
        let key = counter();
        self.shared.begin(&key, None);
        loop {
            let found = self.driver.retrieve(&key).await.unwrap();
            let condition =
                found.as_ref().map_or(Condition::Absent, |found| Condition::Revision(found.revision));
            let next = (number(found.as_ref()) + 1).to_string();
            let fresh = Record::new(next.into_bytes(), None, self.fresh().revision());
            if self.driver.store(&key, fresh, condition).await.unwrap().is_applied() {
                break;
            }
        }
        self.shared.end();
    }
}
