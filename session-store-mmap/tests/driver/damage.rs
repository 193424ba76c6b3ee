//! Damaged and truncated files. A signal would end the test.

use std::collections::HashMap;
use std::fs;

use session_conformance::testing::{FreshPath, Rng, amount, block_on};
use session_core::{
    Condition, Cursor, Driver, DriverExt, Key, Prefix, Record, Revision, StoreErrorKind, Touch,
};
use session_store_mmap::{MmapConfig, MmapStore};

use crate::{at, fresh, get, key, pattern, put, record, remove, session};

fn config(path: &FreshPath) -> MmapConfig {
    MmapConfig::new(path.path()).max_bytes(512 << 10).extent_bytes(4096).shards(2)
}

/// A file with small, large, touched and removed records, and the records that it holds.
fn sample() -> (Vec<u8>, Vec<(Key, Record)>) {
    let path = fresh();
    let store = MmapStore::open(config(&path)).unwrap();
    let mut records = Vec::new();
    for n in 0..40 {
        let key = if n % 2 == 0 { session(n) } else { key(&n.to_string()) };
        let length = if n == 11 { 9_000 } else { n as usize * 13 };
        let mut written = record(vec![n as u8; length]);
        put(&store, &key, &record(pattern(n, n + 1)));
        put(&store, &key, &written);
        if n % 5 == 0 {
            let (to, deadline) = (Revision::random().unwrap(), at(1 << 45));
            let touch = Touch { from: written.revision, to, deadline };
            assert!(block_on(store.touch(&key, touch)).unwrap());
            written = Record { revision: to, expires: deadline, ..written };
        }
        if n % 7 == 3 {
            remove(&store, &key);
        } else {
            records.push((key, written));
        }
    }
    drop(store);
    (fs::read(path.path()).unwrap(), records)
}

/// Opens a file with one damage. Either that fails with a typed error, or each record is there, reported as corrupt or
/// counted as lost, and the store works. Returns how many were counted.
fn judge(bytes: &[u8], records: &[(Key, Record)], what: &str) -> Option<u64> {
    let (lost, missing) = outcome(bytes, records, what)?;
    assert!(lost >= missing, "{what}: {missing} records are missing, and {lost} were counted");
    Some(lost)
}

/// Returns how many records were counted as lost and how many are missing; `None` for a typed error.
fn outcome(bytes: &[u8], records: &[(Key, Record)], what: &str) -> Option<(u64, u64)> {
    let path = fresh();
    fs::write(path.path(), bytes).unwrap();
    let store = match MmapStore::open(config(&path)) {
        Ok(store) => store,
        Err(error) => {
            assert!(
                matches!(error.kind(), StoreErrorKind::Corrupt | StoreErrorKind::Misconfigured),
                "{what}: {error}"
            );
            assert_eq!(fs::read(path.path()).unwrap().len(), bytes.len(), "{what}: refused and changed");
            return None;
        }
    };
    block_on(async {
        let mut missing = 0;
        for (key, record) in records {
            match store.retrieve(key).await {
                Ok(Some(found)) => assert_eq!(found, *record, "{what}: not what was stored"),
                Ok(None) => missing += 1,
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{what}"),
            }
        }
        let lost = store.repairs().lost;
        let (mut next, mut seen) = (Some(Cursor::start()), 0);
        while let Some(from) = next {
            let page = store.traverse(&Prefix::SESSION, from, 7).await.unwrap();
            for entry in &page.entries {
                let known = records.iter().any(|(key, _)| *key == entry.key);
                assert!(known, "{what}: a key that was never stored");
            }
            seen += page.entries.len();
            next = page.next;
        }
        assert!(seen <= records.len(), "{what}");
        store.purge(100).await.unwrap();
        let test = Prefix::new("test").unwrap();
        assert!(store.count(&test).await.unwrap() <= records.len() as u64, "{what}");
        for (key, record) in records {
            let to = Revision::from_bytes([7; 8]);
            let touch = Touch { from: record.revision, to, deadline: at(1 << 45) };
            if let Err(error) = store.touch(key, touch).await {
                assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{what}");
            }
        }
        // Damaged records can be replaced.
        for (key, _) in records {
            let fresh = record(vec![3; 700]);
            assert!(store.store(key, fresh.clone(), Condition::Any).await.unwrap().is_applied(), "{what}");
            assert_eq!(store.retrieve(key).await.unwrap(), Some(fresh), "{what}");
        }
        for (key, _) in records {
            assert!(store.remove(key, Condition::Any).await.unwrap().is_applied(), "{what}");
            assert_eq!(store.retrieve(key).await.unwrap(), None, "{what}");
        }
        let rest = store.count(&test).await.unwrap() + store.count(&Prefix::SESSION).await.unwrap();
        assert_eq!(rest, 0, "{what}");
        Some((lost, missing))
    })
}

#[test]
fn a_truncated_file_is_refused() {
    let (bytes, records) = sample();
    let anywhere = (0..bytes.len()).step_by(amount(997, 61));
    // Also within the superblock, and at and beside the end of each page.
    let edges = (0..bytes.len()).step_by(4096).flat_map(|page| [page.saturating_sub(1), page, page + 1]);
    for length in anywhere.chain((0..88).chain(edges)).chain([bytes.len() - 1]) {
        let what = format!("truncated to {length}");
        assert_eq!(judge(&bytes[..length], &records, &what), None, "{what}");
    }
}

#[test]
fn bytes_behind_the_end_are_ignored() {
    let (bytes, records) = sample();
    assert_eq!(judge(&bytes, &records, "undamaged"), Some(0));
    for more in [1, 100, 4096, 5_000, 40_960, 1 << 20] {
        for fill in [0, 0xff] {
            let longer = [&bytes[..], &vec![fill; more]].concat();
            assert_eq!(judge(&longer, &records, &format!("{more} bytes more")), Some(0));
        }
        // A copy of the file's last bytes, with records and tables of this file.
        let again = [&bytes[..], &bytes[bytes.len() - more.min(bytes.len() - 8192)..]].concat();
        assert_eq!(judge(&again, &records, &format!("{more} bytes again")), Some(0));
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_a_counted_loss() {
    let (bytes, records) = sample();
    // The fixed words of the superblock; the rest of it; shard headers and extent words; the extents.
    let mut offsets: Vec<usize> = (0..80).collect();
    offsets.extend((80..4096).step_by(amount(23, 1)));
    offsets.extend((4096..8192).step_by(amount(7, 1)));
    offsets.extend((8192..bytes.len()).step_by(amount(61, 1)));
    let (mut refused, mut lossy) = (0, 0);
    for offset in offsets {
        let mut damaged = bytes.clone();
        damaged[offset] ^= 1 << (offset * 7 % 8);
        match judge(&damaged, &records, &format!("bit of byte {offset}")) {
            None => refused += 1,
            Some(lost) => lossy += u64::from(lost > 0),
        }
    }
    assert!(refused == 80 && lossy > 0, "{refused} refused, {lossy} with losses");
}

#[test]
fn damaged_blocks_are_survived() {
    let (bytes, records) = sample();
    let mut random = Rng::with_seed(1);
    for round in 0..amount(150, 10_000) {
        let mut damaged = bytes.clone();
        let blocks = random.u8(1..=3);
        for _ in 0..blocks {
            let length = random.choice([8, 64, 512, 4096]).unwrap();
            let mut block = || random.usize(..bytes.len() / length) * length;
            let (offset, from) = (block(), block());
            let target = &mut damaged[offset..offset + length];
            match random.u8(..3) {
                0 => target.fill(0),
                1 => random.fill(target),
                // Another part of the file, which is well-formed and in the wrong place.
                _ => target.copy_from_slice(&bytes[from..from + length]),
            }
        }
        let what = format!("round {round}");
        // With a slot and the number of records damaged, the number of losses is unknown.
        if blocks == 1 {
            judge(&damaged, &records, &what);
        } else {
            outcome(&damaged, &records, &what);
        }
    }
}

#[test]
fn without_tables_all_records_and_no_removed_ones_return() {
    let (mut bytes, records) = sample();
    for shard in 0..2 {
        let table = 4096 + shard * 1024 + 9 * 8;
        bytes[table..table + 8].fill(0xaa);
    }
    let mut tables = 0;
    for extent in bytes.chunks_exact_mut(4096).filter(|extent| extent.starts_with(b"SKTABLE\n")) {
        extent.fill(0xaa);
        tables += 1;
    }
    assert_eq!(tables, 2);
    assert_eq!(judge(&bytes, &records, "without tables"), Some(0));
}

/// The disk has some pages of one moment and some of a later one.
#[test]
fn untouched_records_survive_power_loss() {
    let path = fresh();
    let larger = |path: &FreshPath| MmapStore::open(config(path).max_bytes(2 << 20)).unwrap();
    let store = larger(&path);
    let mut written: HashMap<Key, Vec<Record>> = HashMap::new();
    let mut write = |key: Key, length: usize| {
        let fresh = record(vec![written.len() as u8; length]);
        put(&store, &key, &fresh);
        written.entry(key).or_default().push(fresh);
    };
    for n in 0..300 {
        write(session(n), n as usize * 5);
    }
    block_on(store.flush()).unwrap();
    let before = fs::read(path.path()).unwrap();
    // Replacements, removals, compactions, and so many new records that the tables grow.
    for n in (0..300).filter(|n| n % 4 != 0) {
        remove(&store, &session(n));
    }
    for n in 400..1_000 {
        write(session(n), n as usize % 900);
    }
    for n in (0..300).filter(|n| n % 20 == 0) {
        write(session(n), 700);
    }
    drop(store);
    let after = fs::read(path.path()).unwrap();
    assert!(after.len() > before.len());
    // Records that are equal in both moments, in the same place.
    let untouched = |key: &Key| {
        let (was, is) = (record_bytes(&before, key)?, record_bytes(&after, key)?);
        (was == is && before[was.clone()] == after[was.clone()]).then_some(was)
    };
    let untouched: Vec<&Key> = written.keys().filter(|key| untouched(key).is_some()).collect();
    assert!(untouched.len() > 20, "{} are untouched", untouched.len());
    let padded = [&before[..], &vec![0; after.len() - before.len()]].concat();
    let mut random = Rng::with_seed(3);
    for round in 0..amount(40, 1_000) {
        let mut mixed = after.clone();
        for (page, older) in mixed.chunks_mut(4096).zip(padded.chunks(4096)) {
            if random.usize(..4) <= round % 3 {
                page.copy_from_slice(older);
            }
        }
        // Another boot.
        mixed[17 * 8] ^= 1;
        let path = fresh();
        fs::write(path.path(), &mixed).unwrap();
        let store = larger(&path);
        let mut there = 0;
        for (key, versions) in &written {
            let found = get(&store, key);
            there += u64::from(found.is_some());
            assert!(found.is_none_or(|found| versions.contains(&found)), "round {round}: never stored");
        }
        for key in &untouched {
            let expected = written[*key].last();
            assert_eq!(get(&store, key).as_ref(), expected, "round {round}: {}", key.as_str());
        }
        assert_eq!(block_on(store.count(&Prefix::SESSION)).unwrap(), there, "round {round}");
        put(&store, &key("new"), &record(vec![1; 2_000]));
    }
}

/// Where the record of a key is.
fn record_bytes(bytes: &[u8], key: &Key) -> Option<std::ops::Range<usize>> {
    let shape = [0x5e55_u16.to_ne_bytes(), (key.as_bytes().len() as u16).to_ne_bytes()].concat();
    bytes.chunks_exact(64).enumerate().find_map(|(unit, chunk)| {
        let at = unit * 64;
        (chunk.starts_with(&shape) && bytes[at + 128..].starts_with(key.as_bytes())).then(|| {
            let units = u32::from_ne_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
            at..at + units as usize * 64
        })
    })
}
