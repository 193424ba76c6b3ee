//! Sessions that move through every kind of store by `sessionctl copy --move`, while applications use them. Copies and
//! applications are killed with SIGKILL on the way.
//!
//! With `SESSION_KIT_FULL=1` it moves 100,000 sessions. Use a release build for that:
//!
//! ```text
//! SESSION_KIT_FULL=1 cargo test --release -p session-cli --test sessionctl chain -- --nocapture
//! ```

mod application;
pub(crate) mod copier;
mod journal;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use session_conformance::testing::{ChildProcess, Rng, amount, block_on, child_args, rng};
use session_kit::session_core::SessionId;
use session_kit::{Driver as _, IdUpdate, Sessions};

use crate::chain::copier::Copier;
use crate::chain::journal::{Ledger, Pending, State};
use crate::{handle, run};

const TEST: &str = "chain::killed_copies_lose_and_revive_nothing";
const APPLICATIONS: usize = 2;
/// How many copies are killed in each hop.
const KILLS: usize = 3;

#[test]
fn killed_copies_lose_and_revive_nothing() {
    if let Some(args) = child_args(TEST) {
        return application::play(&args);
    }
    let directory = tempfile::tempdir().unwrap();
    let redis = xtask_redis::Server::start(xtask_redis::Options::new()).unwrap();
    let postgres = xtask_postgres::Server::start(xtask_postgres::Options::new()).unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    // This test is not about time limits, and the machine may be busy.
    let stores = [
        format!("sqlite:{}?busy_timeout=60s", at("first.db")),
        format!("{}?response_timeout=60s", redis.url()),
        format!("{}?sslmode=disable&response_timeout=60s", postgres.url()),
        format!("mmap:{}?max_bytes=1GiB&busy_timeout=60s", at("sessions.map")),
        format!("file:{}?create_directory=true&busy_timeout=60s", at("sessions")),
        format!("sqlite:{}?busy_timeout=60s", at("last.db")),
    ];
    let mut world = World::begin(&stores[0], amount(3_000, 100_000));
    for hop in stores.windows(2) {
        world.migrate(&hop[0], &hop[1]);
    }
}

/// The sessions of all applications, and the expected state of each.
struct World {
    /// One for each application.
    ledgers: Vec<Ledger>,
    /// How many sessions may live that no ledger has: an application was killed while it created one.
    unknown: u64,
    rng: Rng,
}

/// A change that may have happened: its process was killed.
struct Uncertain {
    change: Pending,
    /// The state before it.
    before: Option<State>,
}

struct Application {
    process: ChildProcess,
    journal: PathBuf,
}

impl World {
    fn begin(store: &str, count: usize) -> Self {
        let mut ledgers = vec![Ledger::new(); APPLICATIONS];
        let progress = Progress::begin(format!("{count} sessions in {}", scheme(store)));
        block_on(async {
            let sessions = Sessions::new(session_kit::open(store).await.unwrap()).unwrap();
            for number in 0..count {
                let session = sessions.load(None).await.unwrap();
                session.insert("n", &(number as u64)).unwrap();
                session.insert("cart", &"x".repeat(number % 300)).unwrap();
                if number % 10 == 0 {
                    session.login(&format!("user-{}", number % 1_000)).unwrap();
                }
                let _ = sessions.finish(&session).await.unwrap();
                let IdUpdate::Set { id, .. } = session.id_update() else { panic!("no id") };
                ledgers[number % APPLICATIONS].insert(id.to_bytes(), State::Live(number as u64));
            }
            sessions.driver().close().await.unwrap();
        });
        progress.note(&format!("{count} stored"));
        Self { ledgers, unknown: 0, rng: rng() }
    }

    /// Moves everything from one store to another, as an operator does it, and checks the result.
    fn migrate(&mut self, old: &str, new: &str) {
        let directory = tempfile::tempdir().unwrap();
        let (stop, hop) = (directory.path().join("stop"), format!("{} -> {}", scheme(old), scheme(new)));
        let mut uncertain = Vec::new();
        let mut started = 0;
        let mut start = |world: &Self, owner: usize| {
            started += 1;
            world.start(owner, old, new, directory.path().join(format!("journal-{started}")), &stop)
        };
        let mut applications: Vec<_> = (0..APPLICATIONS).map(|owner| start(self, owner)).collect();
        let copying = Progress::begin(format!("{hop}: copy"));
        for number in 0..KILLS {
            let records = self.rng.u64(1..=amount(300, 15_000) as u64);
            let mut copier = Copier::start(old, new);
            let reached = copier.wait_for(records);
            copier.kill();
            copying.note(&format!("killed copy {} after {reached} records", number + 1));
            if number == 1 {
                let owner = self.rng.usize(0..APPLICATIONS);
                let Application { process, journal } = applications.remove(owner);
                drop(process.kill());
                uncertain.extend(self.settle(owner, &journal));
                applications.insert(owner, start(self, owner));
            }
        }
        let copied = one(&["copy", old, "--to", new, "--create", "--move"]);
        assert_eq!(copied["complete"], true);
        copying.note(&format!("{} copied by the last one", copied["copied"]));
        let verifying = Progress::begin(format!("{hop}: verify"));
        let verified = one(&["verify", old, "--to", new]);
        verifying.note(&format!("{} in the new store", verified["in_new"]));
        assert_eq!(verified["equal"], 0, "the old store is empty: {verified}");
        fs::write(&stop, "").unwrap();
        for (owner, Application { process, journal }) in applications.into_iter().enumerate() {
            let lines = process.finish();
            let changes = lines.iter().find_map(|line| line.strip_prefix("changes ")).expect("its last line");
            verifying.note(&format!("application {} has made {changes} changes", owner + 1));
            assert!(self.settle(owner, &journal).is_none(), "it ended in the middle of a change");
        }
        let old_records = &one(&["stat", old])["records"];
        assert!(old_records.as_object().unwrap().values().all(|count| count == 0), "{old_records}");
        let checking = Progress::begin(format!("{hop}: check"));
        block_on(self.check(new, uncertain));
        checking
            .note(&format!("{} sessions as expected", self.ledgers.iter().map(Ledger::len).sum::<usize>()));
    }

    /// Starts an application that owns a ledger.
    fn start(&self, owner: usize, old: &str, new: &str, journal: PathBuf, stop: &Path) -> Application {
        journal::write(&journal, &self.ledgers[owner]);
        let seed = (owner + self.ledgers[owner].len()).to_string();
        let args = [old, new, journal.to_str().unwrap(), stop.to_str().unwrap(), &seed];
        let mut process = ChildProcess::spawn(TEST, &args);
        let _ = process.wait_for("ready");
        Application { process, journal }
    }

    /// Reads what an application has done. The session of a change without an answer leaves its ledger, so that the next
    /// process of the application expects nothing of it.
    fn settle(&mut self, owner: usize, journal: &Path) -> Option<Uncertain> {
        let (ledger, pending) = journal::read(journal);
        self.ledgers[owner] = ledger;
        let change = pending?;
        let before = match change {
            Pending::New => None,
            Pending::Login(id) | Pending::Change(id, _) => self.ledgers[owner].remove(&id),
        };
        Some(Uncertain { change, before })
    }

    async fn check(&mut self, store: &str, uncertain: Vec<Uncertain>) {
        let sessions = Sessions::new(session_kit::open(store).await.unwrap()).unwrap();
        for Uncertain { change, before } in uncertain {
            let (id, after) = match change {
                Pending::New => {
                    self.unknown += 1;
                    continue;
                }
                Pending::Login(id) => (id, State::Ended),
                Pending::Change(id, after) => (id, after),
            };
            let found = application::state(&sessions, id).await;
            assert!(found == after || Some(found) == before, "{found:?}, neither {before:?} nor {after:?}");
            // A login stores the new session before it replaces the old one, and no ledger has the new id.
            self.unknown += u64::from(found != State::Ended) + u64::from(matches!(change, Pending::Login(_)));
        }
        let expected: Vec<_> = self.ledgers.iter().flatten().map(|(id, state)| (*id, *state)).collect();
        let known: HashSet<_> = expected
            .iter()
            .filter(|(_, state)| *state != State::Ended)
            .map(|(id, _)| handle(SessionId::from_bytes(*id)))
            .collect();
        let found = stream::iter(expected).map(|(id, state)| {
            let sessions = &sessions;
            async move { (state, application::state(sessions, id).await) }
        });
        let mut found = std::pin::pin!(found.buffer_unordered(16));
        while let Some((expected, found)) = found.next().await {
            assert_eq!(found, expected, "a session was lost, changed or came back");
        }
        // A store may list a session twice.
        let listed = listed(store).await;
        assert!(listed.is_superset(&known), "live sessions are not listed");
        let others = listed.difference(&known).count() as u64;
        assert!(others <= self.unknown, "{others} sessions came back, and {} are unknown", self.unknown);
        sessions.driver().close().await.unwrap();
    }
}

/// The handles of all sessions, once the reservations of killed processes have expired: they look like damaged records.
async fn listed(store: &str) -> HashSet<String> {
    for _ in 0..650 {
        let listed = run(&["ls", store, "--json"], "");
        if listed.code == 0 {
            let rows = crate::lines(&listed.out);
            return rows.iter().map(|row| row["handle"].as_str().unwrap().to_owned()).collect();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("records are damaged: {:?}", run(&["count", store, "--json"], ""));
}

/// Runs a verb that must succeed, and returns its object.
fn one(arguments: &[&str]) -> Value {
    let ran = run(&[arguments, &["--json"]].concat(), "");
    assert_eq!((ran.code, &*ran.err), (0, ""), "{}: {}", arguments[0], ran.out);
    crate::lines(&ran.out).remove(0)
}

fn scheme(store: &str) -> &str {
    store.split_once(':').unwrap().0
}

/// Prints the steps and their times. The test runner shows them with `--nocapture`, or if the test fails.
struct Progress {
    step: String,
    begun: Instant,
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "a stopwatch")]
    fn begin(step: String) -> Self {
        Self { step, begun: Instant::now() }
    }

    #[expect(clippy::print_stderr, reason = "the progress of a long test")]
    fn note(&self, text: &str) {
        eprintln!("{:>7.1} s  {}: {text}", self.begun.elapsed().as_secs_f64(), self.step);
    }
}
