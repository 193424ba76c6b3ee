//! Files that were cut short or bent before they are opened.

use std::fs;

use session_core::{Condition, Cursor, Driver, ErrorKind, Key, Prefix, Record};
use session_store_mmap::{Config, Mmap};

use crate::{Place, at, key, pattern, record, rounds, run, session};

fn config(place: &Place) -> Config {
    Config::new(place.path()).max_bytes(512 << 10).extent_bytes(4096).shards(2)
}

/// A file with small and large records, touched and removed ones, and what it holds.
fn sample() -> (Vec<u8>, Vec<(Key, Record)>) {
    let place = Place::new();
    let store = Mmap::open(config(&place)).unwrap();
    let mut records = Vec::new();
    for n in 0..40 {
        let key = if n % 2 == 0 { session(n) } else { key(&n.to_string()) };
        let length = if n == 11 { 9_000 } else { n as usize * 13 };
        let mut written = record(vec![n as u8; length]);
        crate::put(&store, &key, &record(pattern(n, n + 1)));
        crate::put(&store, &key, &written);
        if n % 5 == 0 {
            let to = session_core::Revision::random().unwrap();
            assert!(run(store.touch(&key, written.revision, to, at(1 << 45))).unwrap());
            written = Record { revision: to, expires: at(1 << 45), ..written };
        }
        if n % 7 == 3 {
            assert!(run(store.remove(&key, Condition::Any)).unwrap().is_yes());
        } else {
            records.push((key, written));
        }
    }
    drop(store);
    (fs::read(place.path()).unwrap(), records)
}

/// Opens a file with one damage: a typed error, or every record is there, or known to be damaged, or counted as lost;
/// and the store works.
fn judge(bytes: &[u8], records: &[(Key, Record)], what: &str) -> Option<u64> {
    let (lost, missing) = outcome(bytes, records, what)?;
    assert!(lost >= missing, "{what}: {missing} records are gone, and {lost} were counted");
    Some(lost)
}

/// The same without the counting. `None` for a typed error, or how many were counted as lost and how many are.
fn outcome(bytes: &[u8], records: &[(Key, Record)], what: &str) -> Option<(u64, u64)> {
    let place = Place::new();
    fs::write(place.path(), bytes).unwrap();
    let store = match Mmap::open(config(&place)) {
        Ok(store) => store,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Misconfigured), "{what}: {error}");
            assert_eq!(fs::read(place.path()).unwrap().len(), bytes.len(), "{what}: refused and changed");
            return None;
        }
    };
    run(async {
        let mut missing = 0;
        for (key, record) in records {
            match store.retrieve(key).await {
                Ok(Some(found)) => assert_eq!(found, *record, "{what}: not what was stored"),
                Ok(None) => missing += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}"),
            }
        }
        let lost = store.repairs().lost;
        let mut cursor = Cursor::start();
        let mut seen = 0;
        loop {
            let page = store.traverse(&Prefix::SESSION, cursor, 7).await.unwrap();
            for entry in page.entries {
                assert!(
                    records.iter().any(|(key, _)| *key == entry.key),
                    "{what}: a key that was never stored"
                );
                seen += 1;
            }
            match page.next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        assert!(seen <= records.len(), "{what}");
        store.purge(100).await.unwrap();
        // Whatever was damaged can be written over, and then it is whole.
        for (key, _) in records {
            let fresh = record(vec![3; 700]);
            assert!(store.store(key, fresh.clone(), Condition::Any).await.unwrap().is_yes(), "{what}");
            assert_eq!(store.retrieve(key).await.unwrap(), Some(fresh), "{what}");
        }
        for (key, _) in records {
            assert!(store.remove(key, Condition::Any).await.unwrap().is_yes(), "{what}");
            assert_eq!(store.retrieve(key).await.unwrap(), None, "{what}");
        }
        Some((lost, missing))
    })
}

#[test]
fn an_undamaged_file_loses_nothing() {
    let (bytes, records) = sample();
    assert_eq!(judge(&bytes, &records, "undamaged"), Some(0));
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let (bytes, records) = sample();
    let step = rounds(997, 61) as usize;
    for length in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
        assert_eq!(judge(&bytes[..length], &records, &format!("cut at {length}")), None, "cut at {length}");
    }
}

#[test]
fn a_bit_flipped_anywhere_is_an_error_or_a_counted_loss_and_never_anothers_bytes() {
    let (bytes, records) = sample();
    let mut offsets: Vec<usize> = (0..80).chain((128..192).step_by(3)).collect();
    // The headers of the shards, the words of the extents, and all that follows.
    offsets.extend((4096..8192).step_by(rounds(5, 1) as usize));
    offsets.extend((8192..bytes.len()).step_by(rounds(23, 1) as usize));
    let (mut refused, mut healed) = (0, 0);
    for offset in offsets {
        let mut bent = bytes.clone();
        bent[offset] ^= 1 << (offset * 7 % 8);
        match judge(&bent, &records, &format!("bit of byte {offset}")) {
            None => refused += 1,
            Some(lost) => healed += u64::from(lost > 0),
        }
    }
    assert!(refused >= 80 && healed > 0, "{refused} refused, {healed} healed");
}

#[test]
fn whole_blocks_of_zeros_or_rubbish_are_survived() {
    let (bytes, records) = sample();
    let mut random = 1_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    for round in 0..rounds(150, 10_000) {
        let mut bent = bytes.clone();
        let blocks = 1 + next() % 3;
        for _ in 0..blocks {
            let length = [8, 64, 512, 4096][next() as usize % 4].min(bent.len());
            let offset = next() as usize % (bent.len() / length) * length;
            match next() % 3 {
                0 => bent[offset..offset + length].fill(0),
                1 => bent[offset..offset + length].fill_with(|| next() as u8),
                // Another part of the file: everything in it is well-formed, and in the wrong place.
                _ => {
                    let from = next() as usize % (bytes.len() / length) * length;
                    bent[offset..offset + length].copy_from_slice(&bytes[from..from + length]);
                }
            }
        }
        // Where a slot and the number of records are both damaged, nobody can know how many there were.
        if blocks == 1 {
            judge(&bent, &records, &format!("round {round}"));
        } else {
            outcome(&bent, &records, &format!("round {round}"));
        }
    }
}
