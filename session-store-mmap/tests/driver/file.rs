//! The file: its rights, refused files and options, the golden file.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use session_conformance::testing::{FreshPath, block_on};
use session_core::{Driver, DriverExt, Key, Prefix, Record, Revision, StoreErrorKind};
use session_store_mmap::{MmapConfig, MmapStore, OnFull};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{at as at_millis, config, fresh, get, key, open, put, record, session};

#[test]
fn files_are_readable_by_their_owner_only() {
    let place = fresh();
    let path = place.beside("made").join("sessions.map");
    assert_eq!(MmapStore::open(MmapConfig::new(&path)).unwrap_err().kind(), StoreErrorKind::Misconfigured);
    let store = MmapStore::open(MmapConfig::new(&path).create_directory(true)).unwrap();
    put(&store, &key("a"), &record("a"));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("map.gate")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "and no third file");
}

#[test]
fn a_missing_file_is_created_only_if_allowed() {
    let path = fresh();
    let refused = MmapStore::open(config(&path).create(false)).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Missing);
    assert_eq!(fs::read_dir(path.path().parent().unwrap()).unwrap().count(), 0, "not even a gate");
    drop(open(&path));
    MmapStore::open(config(&path).create(false)).unwrap();
}

#[test]
fn foreign_files_are_refused_and_unchanged() {
    let path = fresh();
    for content in [&b""[..], b"SKMM", b"another program's", &[0; 100_000], &[0xff; 5_000]] {
        fs::write(path.path(), content).unwrap();
        let error = MmapStore::open(config(&path)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error}");
        assert_eq!(fs::read(path.path()).unwrap(), content);
    }
    fs::remove_file(path.path()).unwrap();
    fs::create_dir(path.path()).unwrap();
    assert_eq!(MmapStore::open(config(&path)).unwrap_err().kind(), StoreErrorKind::Misconfigured);
}

#[test]
fn impossible_options_are_refused_first() {
    let path = fresh();
    let empty = MmapStore::open("").unwrap_err();
    assert_eq!(empty.kind(), StoreErrorKind::Misconfigured);
    let wrong: [fn(MmapConfig) -> MmapConfig; 7] = [
        |config| config.max_bytes(1_000),
        |config| config.max_bytes(1 << 50),
        |config| config.shards(3),
        |config| config.shards(0),
        |config| config.shards(8_192),
        |config| config.extent_bytes(5_000),
        |config| config.max_record_bytes(40 << 20),
    ];
    for wrong in wrong {
        let error = MmapStore::open(wrong(config(&path))).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    }
    assert_eq!(fs::read_dir(path.path().parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn defaults_work_for_every_size_of_file() {
    for max_bytes in [256 << 10, 1 << 20, 10_000_000, 64 << 20, 100_000_000, 1 << 30, 64 << 30, 128 << 30] {
        let path = fresh();
        let store = MmapStore::open(MmapConfig::new(path.path()).max_bytes(max_bytes)).unwrap();
        let written = record(vec![7; 3_000]);
        put(&store, &key("a"), &written);
        assert_eq!(get(&store, &key("a")), Some(written));
        assert!(fs::metadata(path.path()).unwrap().len() <= (max_bytes / 8).max(16 << 20).min(max_bytes));
    }
}

/// The records of the golden file, which is never written again. Its record `touched` was touched once.
fn golden_records() -> Vec<(Key, Record)> {
    let revision = |n: u8| Revision::from_bytes([n; 8]);
    vec![
        (key("plain"), Record::new(&b"\x00opaque\xff"[..], None, revision(1))),
        (key("deadline"), Record::new(&b"until 2100"[..], at_millis(4_102_444_800_000), revision(2))),
        (key("empty"), Record::new(&b""[..], None, revision(3))),
        (key("touched"), Record::new(&b"moved"[..], at_millis(4_102_444_800_001), revision(5))),
        (session(7), Record::new(vec![9; 1_500], at_millis(4_102_444_800_002), revision(6))),
    ]
}

fn golden_config(path: &FreshPath) -> MmapConfig {
    MmapConfig::new(path.path()).max_bytes(256 << 10).extent_bytes(4096).shards(1)
}

#[test]
fn the_golden_file_of_version_1_opens() {
    let path = fresh();
    fs::write(path.path(), include_bytes!("../../golden/map-v1.bin")).unwrap();
    let store = MmapStore::open(golden_config(&path)).unwrap();
    for (key, record) in golden_records() {
        assert_eq!(get(&store, &key), Some(record), "{}", key.as_str());
    }
    assert_eq!(block_on(store.count(&Prefix::new("test").unwrap())).unwrap(), 4);
    assert_eq!(store.repairs().lost, 0);
    put(&store, &key("new"), &record("new"));
}

/// Decodes a file by FORMAT.md alone.
fn decode(bytes: &[u8]) -> Vec<(Vec<u8>, Record)> {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let words = |at: usize, n: usize| (0..n).map(|n| word(at + 8 * n)).collect::<Vec<_>>();
    let bytes_of = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let undoubled = |word: u64| {
        assert_eq!(word as u32, !((word >> 32) as u32));
        word as u32 as usize
    };

    assert_eq!(&bytes[..8], b"SKMMAP\r\n");
    let head = words(0, 24);
    assert_eq!(head[1..3], [1, 0x0102_0304_0506_0708]);
    assert_eq!(head[9], xxh3_64(&bytes_of(&head[..9])));
    let (max_bytes, extent_bytes, shards, extents, seed) = (head[3], head[4], head[5], head[6], head[7]);
    assert_eq!(extents, (max_bytes - 4096 - shards * 1024 - 4096) / (extent_bytes + 8));
    let base = (4096 + shards * 1024 + extents * 8).next_multiple_of(4096) as usize;
    let extent_bytes = extent_bytes as usize;
    assert!(bytes.len() >= base + undoubled(head[20]) * extent_bytes);

    let mut records = Vec::new();
    for shard in 0..shards {
        let header = words(4096 + shard as usize * 1024, 32);
        assert_eq!(header[10..13], [0, 0, 0]);
        let pointer = header[9];
        let low = pointer & ((1 << 56) - 1);
        assert_eq!(pointer >> 56, xxh3_64(&low.to_le_bytes()) >> 56);
        let (first, run) = ((low & 0xff_ffff) as usize, (low >> 24 & 0xffff) as usize);
        let table = base + first * extent_bytes;
        assert_eq!(&bytes[table..table + 8], b"SKTABLE\n");
        let label = words(table, 4);
        assert_eq!(label[1..3], [shard, pointer]);
        assert_eq!(label[3], (label[0] ^ label[2]).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ label[1]);
        let capacity = run * extent_bytes / 8 - 8 - 128;
        let mut count = 0;
        for slot in 0..capacity + 128 {
            let value = word(table + 64 + 8 * slot);
            if value < 2 {
                continue;
            }
            count += 1;
            let (tag, unit) = (value >> 32, (value & 0xffff_ffff) - 2);
            assert!(((tag * capacity as u64) >> 32) as usize <= slot);
            let at = base + unit as usize * 64;
            let record = words(at, 16);
            let (magic, key_len, units) =
                (record[0] & 0xffff, (record[0] >> 16 & 0xffff) as usize, record[0] >> 32);
            assert_eq!((magic, record[7]), (0x5e55, 0));
            let data_at = at + 128 + key_len.next_multiple_of(8);
            let (key, data) =
                (&bytes[at + 128..at + 128 + key_len], &bytes[data_at..data_at + record[1] as usize]);
            assert_eq!(units as usize, (data_at + data.len() - at).div_ceil(64));
            assert_eq!(record[3], xxh3_64_with_seed(key, seed));
            assert_eq!((record[3] >> 32, record[3] % shards), (tag, shard));
            assert_eq!(record[2], xxh3_64(data) ^ record[3]);
            assert_eq!(record[4], xxh3_64_with_seed(&bytes_of(&record[..4]), seed ^ unit));
            let touches = undoubled(record[5]);
            let block = &record[8 + touches % 2 * 4..][..4];
            let checked = bytes_of(&[record[4], block[0], block[1], touches as u64]);
            assert_eq!(block[2..], [xxh3_64_with_seed(&checked, seed), 0]);
            let expires = if block[0] == u64::MAX { None } else { at_millis(block[0]) };
            let revision = Revision::from_bytes(block[1].to_le_bytes());
            records.push((key.to_vec(), Record::new(data.to_vec(), expires, revision)));
            let extent = word(4096 + shards as usize * 1024 + unit as usize * 64 / extent_bytes * 8);
            assert_eq!((extent & 0xff, extent >> 8 & 0xffff, extent >> 24 & 0xff), (1, shard, 0));
        }
        assert_eq!(undoubled(header[16]), count);
        let extent = word(4096 + shards as usize * 1024 + first * 8);
        assert_eq!(extent, 3 | shard << 8);
    }
    records
}

#[test]
fn files_are_as_format_md_describes_them() {
    let expected = || {
        let mut records: Vec<_> =
            golden_records().into_iter().map(|(key, record)| (key.as_bytes().to_vec(), record)).collect();
        records.sort_by(|one, other| one.0.cmp(&other.0));
        records
    };
    let mut found = decode(include_bytes!("../../golden/map-v1.bin"));
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found, expected());
    if cfg!(target_endian = "big") {
        return;
    }
    let path = fresh();
    let store = MmapStore::open(golden_config(&path)).unwrap();
    for (key, record) in golden_records() {
        put(&store, &key, &crate::record("older"));
        put(&store, &key, &record);
    }
    let mut found = decode(&fs::read(path.path()).unwrap());
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found, expected());
}

/// A handle that evicts would break the promise of one that does not.
#[test]
fn handles_agree_on_eviction() {
    let path = fresh();
    let config = |on_full| config(path.path()).on_full(on_full);
    for (first, other) in [(OnFull::Reject, OnFull::Evict), (OnFull::Evict, OnFull::Reject)] {
        let store = MmapStore::open(config(first)).unwrap();
        let refused = MmapStore::open(config(other)).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Misconfigured);
        assert!(refused.to_string().contains("on_full"), "{refused}");
        drop(MmapStore::open(config(first)).unwrap());
        // The next first opener may choose anew.
        drop(store);
    }
}

#[test]
fn file_that_is_taken_away_is_noticed() {
    for replace in [false, true] {
        let path = fresh();
        let store = open(path.path());
        put(&store, &key("a"), &record("a"));
        let away = path.beside("away");
        fs::rename(path.path(), &away).unwrap();
        if replace {
            fs::copy(&away, path.path()).unwrap();
        }
        let gone = |answer: session_core::Result<()>| {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            assert!(error.to_string().contains("sessions.map"), "{error}");
        };
        gone(block_on(store.flush()));
        gone(block_on(store.purge(1)).map(drop));
        fs::rename(&away, path.path()).unwrap();
        block_on(store.flush()).unwrap();
        fs::remove_file(path.path()).unwrap();
        gone(block_on(store.close()));
    }
}
