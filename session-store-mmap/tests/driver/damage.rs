//! Files that were cut short or bent before they are opened. The work is done by a child, which must not die of a signal.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;

use session_core::{
    Condition, Cursor, Driver, DriverExt, Key, Prefix, Record, Revision, StoreErrorKind, Touch,
};
use session_store_mmap::{MmapConfig, MmapStore};

use crate::{Place, at, key, pattern, put, record, rounds, run, session, spawn};

fn config(place: &Place) -> MmapConfig {
    MmapConfig::new(place.path()).max_bytes(512 << 10).extent_bytes(4096).shards(2)
}

/// A file with small and large records, touched and removed ones, and what it holds.
fn sample() -> (Vec<u8>, Vec<(Key, Record)>) {
    let place = Place::new();
    let store = MmapStore::open(config(&place)).unwrap();
    let mut records = Vec::new();
    for n in 0..40 {
        let key = if n % 2 == 0 { session(n) } else { key(&n.to_string()) };
        let length = if n == 11 { 9_000 } else { n as usize * 13 };
        let mut written = record(vec![n as u8; length]);
        put(&store, &key, &record(pattern(n, n + 1)));
        put(&store, &key, &written);
        if n % 5 == 0 {
            let to = Revision::random().unwrap();
            assert!(
                run(store.touch(&key, Touch { from: written.revision, to, deadline: at(1 << 45) })).unwrap()
            );
            written = Record { revision: to, expires: at(1 << 45), ..written };
        }
        if n % 7 == 3 {
            assert!(run(store.remove(&key, Condition::Any)).unwrap().is_applied());
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
    let store = match MmapStore::open(config(&place)) {
        Ok(store) => store,
        Err(error) => {
            assert!(
                matches!(error.kind(), StoreErrorKind::Corrupt | StoreErrorKind::Misconfigured),
                "{what}: {error}"
            );
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
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{what}"),
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
        let test = Prefix::new("test").unwrap();
        assert!(store.count(&test).await.unwrap() <= records.len() as u64, "{what}");
        for (key, record) in records {
            // Whatever is there, a touch moves the record of this revision and no other.
            match store
                .touch(
                    key,
                    Touch { from: record.revision, to: Revision::from_bytes([7; 8]), deadline: at(1 << 45) },
                )
                .await
            {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{what}"),
            }
        }
        // Whatever was damaged can be written over, and then it is whole.
        for (key, _) in records {
            let fresh = record(vec![3; 700]);
            assert!(store.store(key, fresh.clone(), Condition::Any).await.unwrap().is_applied(), "{what}");
            assert_eq!(store.retrieve(key).await.unwrap(), Some(fresh), "{what}");
        }
        for (key, _) in records {
            assert!(store.remove(key, Condition::Any).await.unwrap().is_applied(), "{what}");
            assert_eq!(store.retrieve(key).await.unwrap(), None, "{what}");
        }
        assert_eq!(
            store.clear(&test).await.unwrap() + store.clear(&Prefix::SESSION).await.unwrap(),
            0,
            "{what}"
        );
        store.flush().await.unwrap();
        Some((lost, missing))
    })
}

/// What the child is told to do, by number.
pub(crate) fn work(number: u64) {
    [undamaged, cut_short, made_longer, bit_flipped, blocks_bent, tables_gone, two_moments][number as usize](
    );
}

fn by_a_child(number: u64) {
    let mut child = spawn(&Place::new(), "damage", number);
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), None, "died of a signal: {said}");
    assert!(status.success(), "{said}");
}

#[test]
fn an_undamaged_file_loses_nothing() {
    by_a_child(0);
}

fn undamaged() {
    let (bytes, records) = sample();
    assert_eq!(judge(&bytes, &records, "undamaged"), Some(0));
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    by_a_child(1);
}

fn cut_short() {
    let (bytes, records) = sample();
    let anywhere = (0..bytes.len()).step_by(rounds(997, 61) as usize);
    // The superblock's words, whole pages, and one byte to each side.
    let edges = (0..bytes.len()).step_by(4096).flat_map(|page| [page.saturating_sub(1), page, page + 1]);
    for length in anywhere.chain((0..88).chain(edges)).chain([bytes.len() - 1]) {
        let what = format!("cut at {length}");
        assert_eq!(judge(&bytes[..length], &records, &what), None, "{what}");
    }
}

#[test]
fn a_file_with_something_behind_its_end_loses_nothing() {
    by_a_child(2);
}

fn made_longer() {
    let (bytes, records) = sample();
    for more in [1, 100, 4096, 5_000, 40_960, 1 << 20] {
        for fill in [0, 0xff] {
            let longer = [&bytes[..], &vec![fill; more]].concat();
            assert_eq!(judge(&longer, &records, &format!("{more} bytes more")), Some(0));
        }
        // The same bytes again, which say of themselves that they are records and tables of this file.
        let again = [&bytes[..], &bytes[bytes.len() - more.min(bytes.len() - 8192)..]].concat();
        assert_eq!(judge(&again, &records, &format!("{more} bytes again")), Some(0));
    }
}

#[test]
fn a_bit_flipped_anywhere_is_an_error_or_a_counted_loss_and_never_anothers_bytes() {
    by_a_child(3);
}

fn bit_flipped() {
    let (bytes, records) = sample();
    // The words of the superblock that never change; the rest of it; the headers of the shards and the words of the
    // extents; all that follows.
    let mut offsets: Vec<usize> = (0..80).collect();
    offsets.extend((80..4096).step_by(rounds(11, 1) as usize));
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
    assert!(refused == 80 && healed > 0, "{refused} refused, {healed} healed");
}

#[test]
fn whole_blocks_of_zeros_or_rubbish_are_survived() {
    by_a_child(4);
}

fn blocks_bent() {
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

#[test]
fn a_file_whose_tables_are_gone_has_all_its_records_and_none_that_was_removed() {
    by_a_child(5);
}

fn tables_gone() {
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

#[test]
fn after_power_loss_what_was_left_alone_is_there_and_nothing_is_made_up() {
    by_a_child(6);
}

/// A disk that had some pages of one moment and some of a later one.
fn two_moments() {
    let place = Place::new();
    let config = || MmapConfig::new(place.path()).max_bytes(2 << 20).extent_bytes(4096).shards(2);
    let store = MmapStore::open(config()).unwrap();
    let mut written: HashMap<Key, Vec<Record>> = HashMap::new();
    let mut write = |key: Key, length: usize| {
        let fresh = record(vec![written.len() as u8; length]);
        put(&store, &key, &fresh);
        written.entry(key).or_default().push(fresh);
    };
    for n in 0..300 {
        write(session(n), n as usize * 5);
    }
    run(store.flush()).unwrap();
    let before = fs::read(place.path()).unwrap();
    // Some are replaced and removed, extents are emptied, and there are so many more that tables are made anew.
    for n in (0..300).filter(|n| n % 4 != 0) {
        assert!(run(store.remove(&session(n), Condition::Any)).unwrap().is_applied());
    }
    for n in 400..1_000 {
        write(session(n), n as usize % 900);
    }
    for n in (0..300).filter(|n| n % 20 == 0) {
        write(session(n), 700);
    }
    drop(store);
    let after = fs::read(place.path()).unwrap();
    assert!(after.len() > before.len());
    // What stands in both moments in the same place.
    let alone = |key: &Key| {
        let (was, is) = (record_bytes(&before, key)?, record_bytes(&after, key)?);
        (was == is && before[was.clone()] == after[was.clone()]).then_some(was)
    };
    let left_alone: Vec<&Key> = written.keys().filter(|key| alone(key).is_some()).collect();
    assert!(left_alone.len() > 20, "{} were left alone", left_alone.len());
    let padded = [&before[..], &vec![0; after.len() - before.len()]].concat();
    let mut random = 3_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    for round in 0..rounds(40, 1_000) {
        let mut mixed = after.clone();
        for (page, older) in mixed.chunks_mut(4096).zip(padded.chunks(4096)) {
            if next() % 4 <= round % 3 {
                page.copy_from_slice(older);
            }
        }
        // Another boot.
        mixed[17 * 8] ^= 1;
        let place = Place::new();
        fs::write(place.path(), &mixed).unwrap();
        let config = MmapConfig::new(place.path()).max_bytes(2 << 20).extent_bytes(4096).shards(2);
        let store = MmapStore::open(config).unwrap();
        run(async {
            let mut there = 0;
            for (key, versions) in &written {
                let found = store.retrieve(key).await.unwrap();
                there += u64::from(found.is_some());
                assert!(found.is_none_or(|found| versions.contains(&found)), "round {round}: made up");
            }
            for key in &left_alone {
                let found = store.retrieve(key).await.unwrap();
                let expected = written[*key].last();
                assert_eq!(found.as_ref(), expected, "round {round}: {} was left alone", key.as_str());
            }
            assert_eq!(store.count(&Prefix::SESSION).await.unwrap(), there, "round {round}");
        });
        put(&store, &key("new"), &record(vec![1; 2_000]));
    }
}

/// Where the record of a key stands.
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
