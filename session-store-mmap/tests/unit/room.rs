//! Growth, reserves, purges, evictions and pages, with shards that are locked or damaged.

use std::sync::Arc;

use session_core::{Clock, Condition, Cursor, Prefix, TestClock, Timestamp};

use super::{key, open, put, record, store};
use crate::error::Fault;
use crate::file::{Reserve, SessionFile};
use crate::layout::{ExtentWord, Use, doubled, shard};
use crate::protocol::Words;
use crate::traverse::Budget;
use crate::{MmapConfig, OnFull};

const LATER: Timestamp = Timestamp::from_millis(2_000_000);

fn config(directory: &tempfile::TempDir) -> MmapConfig {
    MmapConfig::new(directory.path().join("map")).max_bytes(512 << 10).extent_bytes(4096)
}

/// Sessions in both of two shards, of which the second half expires at `LATER`.
fn scene(on_full: OnFull) -> (tempfile::TempDir, TestClock, SessionFile) {
    let directory = tempfile::tempdir().unwrap();
    let clock = TestClock::new(Timestamp::from_millis(1_000_000));
    let file = open(&config(&directory).shards(2).on_full(on_full).clock(Arc::new(clock.clone())));
    for n in 0..40 {
        let mut record = record(n, 900);
        record.expires = (n >= 20).then_some(LATER);
        store(&file, 2 * n, &record);
    }
    (directory, clock, file)
}

#[test]
fn calls_in_place_never_let_the_file_grow() {
    let directory = tempfile::tempdir().unwrap();
    let patient = open(&config(&directory).shards(1));
    let in_place = SessionFile { in_place: true, ..patient.clone() };
    let mut grown = in_place.grown();
    let (mut refused, mut n) = (0, 0);
    // Small records, which need extents and tables, and some large ones.
    while refused < 3 {
        let record = record(n, if n % 10 == 9 { 5_000 } else { 0 });
        match in_place.store(&key(n), &record, Condition::Absent, None) {
            Ok(stored) => assert!(stored.is_applied()),
            Err(Fault::NeedsThread) => {
                refused += 1;
                assert_eq!(in_place.retrieve(&key(n)).unwrap(), None);
                in_place.audit();
                assert_eq!(in_place.grown(), grown, "grown in place");
                store(&patient, n, &record);
                grown = in_place.grown();
            }
            Err(fault) => panic!("{fault:?} at {n}"),
        }
        assert_eq!(in_place.grown(), grown, "grown in place");
        n += 1;
    }
    in_place.audit();
}

#[test]
fn reserved_extents_may_be_free_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    let file = open(&config(&directory).shards(1));
    let extents = file.geometry.extents;
    file.map.grow(0, file.geometry.extent_at(extents)).unwrap();
    file.set_grown(extents - 1);
    for extent in (0..extents - 1).filter(|&extent| extent != 3 && extent != 7) {
        file.set_extent_word(extent, ExtentWord::new(Use::Large, 0, 0));
    }
    let claim = |run, reserve| file.claim(Use::Large, 0, run, reserve).unwrap();
    assert_eq!(claim(2, Reserve::Keep), None, "one at the end, and none before it");
    assert_eq!(claim(1, Reserve::Keep), Some(3));
    assert_eq!(file.grown(), extents);
    assert_eq!(claim(1, Reserve::Keep), None, "only the reserve is left");
    assert_eq!(claim(1, Reserve::Use), Some(7));
    assert_eq!(claim(1, Reserve::Use), Some(extents - 1));
}

#[test]
fn room_is_made_in_other_shards_while_one_is_locked() {
    let (_directory, _, file) = scene(OnFull::Reject);
    let evicting = SessionFile { on_full: OnFull::Evict, ..file.clone() };
    let held = file.shard(0).lock().unwrap();
    assert!(file.make_room(0, 0, LATER).unwrap());
    let rest = || file.make_room(0, 0, LATER);
    while rest().is_ok_and(|made| made) {}
    assert!(matches!(rest(), Err(Fault::Busy)), "the locked shard may have room");
    assert!(evicting.make_room(0, 0, LATER).unwrap());
    drop(held);
    assert!(rest().unwrap());
}

#[test]
fn a_count_that_is_too_small_hides_nothing() {
    let (_directory, clock, file) = scene(OnFull::Evict);
    for number in 0..2 {
        file.shard(number).head.set(shard::COUNT, doubled(0));
    }
    assert_eq!(file.page(&Prefix::SESSION, &Cursor::start(), 100).unwrap().entries.len(), 40);
    assert!(file.make_room(0, 0, clock.now()).unwrap());
}

#[test]
fn a_damaged_due_word_delays_no_purge() {
    let (_directory, clock, file) = scene(OnFull::Reject);
    let purge = || (0..2).map(|number| file.purge_step(number, None, 100).unwrap().0).sum::<u64>();
    assert_eq!(purge(), 0, "and `DUE` is exact from here on");
    let again = file.retrieve(&key(40)).unwrap().unwrap();
    store(&file, 40, &again);
    clock.set(LATER);
    let shards = [file.shard(0), file.shard(1)];
    let written = shards.iter().find(|shard| shard.head.get(shard::FRESH) == LATER.as_millis()).unwrap();
    written.head.set(shard::DUE, 1 << 50);
    assert!(shards.iter().all(|shard| shard.is_due(clock.now())));
    assert_eq!(purge(), 20);
    assert!(!shards.iter().any(|shard| shard.is_due(clock.now())));
}

#[test]
fn an_empty_page_looks_at_the_records_of_one_step() {
    const COUNT: u64 = 6_000;
    let directory = tempfile::tempdir().unwrap();
    let file = open(&config(&directory).max_bytes(8 << 20).shards(2));
    // Users.
    (0..COUNT).for_each(|n| put(&file, 2 * n + 1, n, 4));
    let (mut cursor, mut pages) = (Some(Cursor::start()), 0);
    while let Some(from) = cursor {
        let page = file.page(&Prefix::SESSION, &from, usize::MAX).unwrap();
        assert!(page.entries.is_empty());
        cursor = page.next;
        pages += 1;
    }
    // A step ends at an empty slot, so it may look at a few records more.
    let expected = COUNT / Budget::STEP.records as u64;
    assert!((expected - 2..=expected + 1).contains(&pages), "{pages} pages over {COUNT} records");
}
