//! The rules of a shard: all orders of a few calls, ages, doubts and limits.

use std::time::{Duration, Instant};

use session_core::{Key, Record, Revision};

use crate::cache::{Cache, Changing, Reading};
use crate::config::NearConfig;

const STALENESS: Duration = Duration::from_secs(1);

fn key(number: usize) -> Key {
    Key::parse(&format!("session:{number}")).unwrap()
}

fn record(number: u8) -> Record {
    Record::new(vec![number; 10], None, Revision::from_bytes([number; 8]))
}

fn cache(config: NearConfig) -> Cache {
    Cache::with_shards(&config.staleness(STALENESS), 1)
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary moment, from which the tests count")]
fn start() -> Instant {
    Instant::now()
}

/// Reads `found` at `at`.
fn fill(cache: &Cache, key: &Key, found: &Record, at: Instant) {
    cache.begin_read(key, at).end(Some(found), true);
}

/// The steps of one caller.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Caller {
    /// Begins a read, asks the store, ends the read.
    Reads,
    /// The same by `retrieve`, which brings nothing in.
    ReadsFresh,
    /// Begins a change, makes it in the store, ends it.
    Changes(Option<u8>),
    /// Begins a change, drops it, and the store makes it later.
    Drops(Option<u8>),
}

enum Step<'a> {
    Nothing,
    Read(Reading<'a>, Option<Option<u8>>),
    Change(Changing<'a>),
}

/// A schedule of callers: the number of the caller that takes the next step.
fn each_order(callers: usize, steps: usize, check: &mut impl FnMut(&[usize])) {
    fn go(left: &mut [usize], order: &mut Vec<usize>, check: &mut impl FnMut(&[usize])) {
        if left.iter().all(|left| *left == 0) {
            return check(order);
        }
        for caller in 0..left.len() {
            if left[caller] > 0 {
                left[caller] -= 1;
                order.push(caller);
                go(left, order, check);
                order.pop();
                left[caller] += 1;
            }
        }
    }
    go(&mut vec![steps; callers], &mut Vec::new(), check);
}

/// Runs the callers in one order. The cache shows the record that the store has, or nothing, and it shows nothing while a change may
/// be made.
fn run(callers: &[Caller], order: &[usize]) {
    let (cache, key, now) = (cache(NearConfig::default()), key(1), start());
    let mut store = Some(1);
    let mut steps: Vec<_> = callers.iter().map(|_| (0, Step::Nothing)).collect();
    fill(&cache, &key, &record(1), now);
    for &caller in order {
        let (taken, step) = &mut steps[caller];
        *taken += 1;
        *step = match (callers[caller], *taken, std::mem::replace(step, Step::Nothing)) {
            (Caller::Reads | Caller::ReadsFresh, 1, _) => Step::Read(cache.begin_read(&key, now), None),
            (Caller::Reads | Caller::ReadsFresh, 2, Step::Read(reading, _)) => {
                Step::Read(reading, Some(store))
            }
            (kind, 3, Step::Read(reading, found)) => {
                reading.end(found.unwrap().map(record).as_ref(), kind == Caller::Reads);
                Step::Nothing
            }
            (Caller::Changes(_) | Caller::Drops(_), 1, _) => Step::Change(cache.begin_change(&key, now)),
            (Caller::Changes(to), 2, change) => {
                store = to;
                change
            }
            (Caller::Changes(to), 3, Step::Change(changing)) => {
                changing.end(to.map(record));
                Step::Nothing
            }
            (Caller::Drops(_), 2, Step::Change(_)) => Step::Nothing,
            (Caller::Drops(to), 3, _) => {
                store = to;
                Step::Nothing
            }
            _ => unreachable!("each caller takes three steps"),
        };
        let runs = steps.iter().zip(callers).any(|((taken, _), caller)| match caller {
            Caller::Changes(_) => matches!(taken, 1 | 2),
            // The doubt lasts as long as this test, whose time stands still.
            Caller::Drops(_) => *taken > 0,
            _ => false,
        });
        if let Some(shown) = cache.recent(&key, now) {
            assert_eq!(Some(shown.data[0]), store, "{callers:?} in the order {order:?}");
            assert!(!runs, "{callers:?} in the order {order:?}: a change may be made");
        }
    }
    assert_eq!(cache.counts().2, 0, "no call is left");
}

#[test]
fn cache_shows_what_the_store_has_in_every_order() {
    use Caller::{Changes, Drops, Reads, ReadsFresh};
    for callers in [
        &[Reads, Reads, Changes(Some(2))][..],
        &[Reads, Changes(None), Changes(Some(2))],
        &[Reads, Reads, Changes(None), Changes(Some(2))],
        &[Reads, ReadsFresh, Changes(Some(2)), Changes(Some(3))],
        &[Reads, Reads, Drops(None)],
        &[Reads, Drops(Some(2)), Changes(Some(3))],
    ] {
        let mut orders = 0;
        each_order(callers.len(), 3, &mut |order| {
            orders += 1;
            run(callers, order);
        });
        assert!(orders >= 1_680, "{orders} orders");
    }
}

#[test]
fn undisturbed_answers_are_kept() {
    let (cache, key, now) = (cache(NearConfig::default()), key(1), start());
    fill(&cache, &key, &record(1), now);
    assert_eq!(cache.recent(&key, now), Some(record(1)));
    cache.begin_change(&key, now).end(Some(record(2)));
    assert_eq!(cache.recent(&key, now), Some(record(2)), "a change of a record that is read");
    cache.begin_change(&key, now).end(None);
    assert_eq!(cache.recent(&key, now), None);
    cache.begin_change(&key, now).end(Some(record(3)));
    assert_eq!(cache.counts().0, 0, "a change of a record that is not read takes no memory");
    cache.begin_read(&key, now).end(Some(&record(3)), false);
    assert_eq!(cache.counts().0, 0, "nor does a read that asks for the store's own answer");
}

#[test]
fn age_counts_from_the_beginning_of_the_read() {
    let (cache, key, now) = (cache(NearConfig::default()), key(1), start());
    let reading = cache.begin_read(&key, now);
    // The answer comes late, and each use of it later.
    reading.end(Some(&record(1)), true);
    let last = STALENESS - Duration::from_millis(1);
    for _ in 0..3 {
        assert_eq!(cache.recent(&key, now + last), Some(record(1)));
        assert_eq!(cache.recent(&key, now + STALENESS), None);
    }
    // The same record again, by a read that began earlier and ends later.
    let (early, late) = (cache.begin_read(&key, now + last), cache.begin_read(&key, now + STALENESS));
    late.end(Some(&record(1)), true);
    early.end(Some(&record(1)), true);
    assert_eq!(cache.recent(&key, now + STALENESS + last), Some(record(1)));
    assert_eq!(cache.recent(&key, now + STALENESS * 2), None);
}

#[test]
fn newer_record_of_another_handle_is_not_replaced_by_an_older_one() {
    let (cache, key, now) = (cache(NearConfig::default()), key(1), start());
    // Two reads overlap; another handle changes the record between their answers, in either order.
    for (first, second) in [(1, 2), (2, 1)] {
        let (one, other) = (cache.begin_read(&key, now), cache.begin_read(&key, now));
        one.end(Some(&record(first)), true);
        other.end(Some(&record(second)), true);
        assert_eq!(cache.recent(&key, now), None, "which one is newer is unknown");
    }
    // A removal by another handle, seen by one of the reads.
    let (slow, fast) = (cache.begin_read(&key, now), cache.begin_read(&key, now));
    fast.end(None, true);
    slow.end(Some(&record(1)), true);
    assert_eq!(cache.recent(&key, now), None);
    // A later read brings what it has found.
    fill(&cache, &key, &record(1), now);
    cache.begin_read(&key, now).end(Some(&record(2)), false);
    assert_eq!(cache.recent(&key, now), Some(record(2)));
}

#[test]
fn doubt_lasts_one_bound() {
    let (cache, key, now) = (cache(NearConfig::default()), key(1), start());
    fill(&cache, &key, &record(1), now);
    drop(cache.begin_change(&key, now));
    let ends = start() + STALENESS;
    for at in [now, ends - STALENESS / 2] {
        fill(&cache, &key, &record(1), at);
        cache.begin_change(&key, at).end(Some(record(2)));
        assert_eq!(cache.recent(&key, at), None);
    }
    fill(&cache, &key, &record(1), ends);
    assert_eq!(cache.recent(&key, ends), Some(record(1)));
}

#[test]
fn least_recently_used_records_leave_first() {
    let now = start();
    let small = cache(NearConfig::default().max_entries(3));
    for number in 0..3 {
        fill(&small, &key(number), &record(1), now);
    }
    assert!(small.recent(&key(0), now).is_some());
    fill(&small, &key(3), &record(1), now);
    let kept = (0..4).map(|number| small.recent(&key(number), now).is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [true, false, true, true]);

    // Bytes: 64 KiB have room for 16 records of the largest size.
    let bytes = cache(NearConfig::default().max_bytes(64 << 10));
    let large = |len| Record { data: vec![1; len].into(), ..record(1) };
    fill(&bytes, &key(1_000), &large(5_000), now);
    assert_eq!(bytes.counts(), (0, 0, 0), "larger than a sixteenth of the cache");
    for number in 0..100 {
        fill(&bytes, &key(number), &large(3_500 + number), now);
        let (_, taken, _) = bytes.counts();
        assert!(taken <= 64 << 10, "{taken} bytes");
    }
    assert!(bytes.counts().0 >= 15);
    // A record that grows leaves the cache, and so does its old version.
    fill(&bytes, &key(99), &Record { revision: Revision::from_bytes([2; 8]), ..large(5_000) }, now);
    assert_eq!(bytes.recent(&key(99), now), None);
    for number in 0..100 {
        bytes.begin_change(&key(number), now).end(None);
    }
    assert_eq!(bytes.counts(), (0, 0, 0), "all bytes are given back");
}

#[test]
fn closed_cache_keeps_nothing() {
    let (cache, now) = (cache(NearConfig::default()), start());
    fill(&cache, &key(1), &record(1), now);
    let reading_key = key(2);
    let reading = cache.begin_read(&reading_key, now);
    cache.close();
    reading.end(Some(&record(1)), true);
    assert_eq!(
        (cache.recent(&key(1), now), cache.recent(&key(2), now), cache.counts()),
        (None, None, (0, 0, 0))
    );
}
