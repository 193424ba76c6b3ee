//! Copies and applications that are killed during migrations, with SIGKILL.

use session_conformance::testing::{amount, block_on, child_args, rng};
use session_core::{Condition, Driver};

use crate::hop::{Plan, World, play};
use crate::ledger::{Ledger, Stored};
use crate::stores::{key, open, place};

/// A store with `count` sessions of two applications.
fn begin(test: &'static str, first: &str, count: u64) -> World {
    let mut rng = rng();
    let mut ledgers = vec![Ledger::new(); 2];
    block_on(async {
        let driver = open(first).await;
        for number in 0..count {
            let stored =
                Stored { seed: rng.u64(..), revision: rng.u64(..), millis: 9_000_000_000_000 + number };
            let key = key("session", number);
            let change = driver.store(&key, stored.record(), Condition::Absent).await.unwrap();
            assert!(change.is_applied());
            ledgers[number as usize % 2].insert(key, Some(stored));
        }
    });
    World { test, ledgers, counted: (0, 0), rng }
}

#[test]
fn killed_processes_lose_and_revive_nothing() {
    const TEST: &str = "killed::killed_processes_lose_and_revive_nothing";
    if let Some(args) = child_args(TEST) {
        return play(&args);
    }
    let directory = tempfile::tempdir().unwrap();
    let (old, new) =
        (place("sqlite", directory.path(), "old.db"), place("mmap", directory.path(), "new.map"));
    let kills = amount(6, 100);
    let mut world = begin(TEST, &old, 400 * kills as u64);
    world.migrate(&old, &new, Plan { kills, pages: 20, page: 4 });
}

#[test]
fn chain_of_migrations_loses_and_revives_nothing() {
    const TEST: &str = "killed::chain_of_migrations_loses_and_revives_nothing";
    if let Some(args) = child_args(TEST) {
        return play(&args);
    }
    let directory = tempfile::tempdir().unwrap();
    let redis = xtask_redis::Server::start(xtask_redis::Options::new()).unwrap();
    let postgres = xtask_postgres::Server::start(xtask_postgres::Options::new()).unwrap();
    let stores = [
        place("sqlite", directory.path(), "first.db"),
        redis.url(),
        postgres.url(),
        place("mmap", directory.path(), "sessions.map"),
        place("file", directory.path(), "sessions"),
        place("sqlite", directory.path(), "last.db"),
    ];
    let plan = Plan { kills: 3, pages: amount(10, 40), page: amount(16, 256) };
    let mut world = begin(TEST, &stores[0], amount(2_000, 100_000) as u64);
    for hop in stores.windows(2) {
        world.migrate(&hop[0], &hop[1], plan);
    }
}
