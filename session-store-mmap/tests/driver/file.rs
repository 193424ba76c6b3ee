//! The file: who may read it, what is refused, the golden one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use session_core::{Driver, ErrorKind, Prefix, Record, Revision};
use session_store_mmap::{Config, Mmap};

use crate::{Place, at, key, put, record, run};

#[test]
fn the_file_and_its_gate_are_readable_by_their_owner_only() {
    let place = Place::new();
    let path = place.directory.path().join("made").join("sessions.map");
    assert_eq!(Mmap::open(Config::new(&path)).unwrap_err().kind(), ErrorKind::Misconfigured);
    let store = Mmap::open(Config::new(&path).create_directory(true)).unwrap();
    put(&store, &key("a"), &record("a"));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("map.gate")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn a_missing_file_is_made_only_where_that_is_allowed() {
    let place = Place::new();
    assert_eq!(Mmap::open(place.config().create(false)).unwrap_err().kind(), ErrorKind::Misconfigured);
    assert!(!place.path().exists());
    drop(place.open());
    Mmap::open(place.config().create(false)).unwrap();
}

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let place = Place::new();
    for content in [&b""[..], b"SKMM", b"notes of somebody", &[0; 100_000], &[0xff; 5_000]] {
        fs::write(place.path(), content).unwrap();
        let error = Mmap::open(place.config()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert_eq!(fs::read(place.path()).unwrap(), content);
    }
    fs::remove_file(place.path()).unwrap();
    fs::create_dir(place.path()).unwrap();
    assert_eq!(Mmap::open(place.config()).unwrap_err().kind(), ErrorKind::Misconfigured);
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_made() {
    let place = Place::new();
    let wrong: [fn(Config) -> Config; 7] = [
        |config| config.max_bytes(1_000),
        |config| config.max_bytes(1 << 50),
        |config| config.shards(3),
        |config| config.shards(0),
        |config| config.shards(8_192),
        |config| config.extent_bytes(5_000),
        |config| config.max_value(40 << 20),
    ];
    for wrong in wrong {
        let error = Mmap::open(wrong(place.config())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
    }
    assert_eq!(fs::read_dir(place.directory.path()).unwrap().count(), 0);
}

#[test]
fn every_size_of_file_has_defaults_that_work() {
    for max_bytes in [256 << 10, 1 << 20, 10_000_000, 64 << 20, 100_000_000, 1 << 30, 64 << 30, 128 << 30] {
        let place = Place::new();
        let store = Mmap::open(Config::new(place.path()).max_bytes(max_bytes)).unwrap();
        let written = record(vec![7; 3_000]);
        put(&store, &key("a"), &written);
        assert_eq!(run(store.retrieve(&key("a"))).unwrap(), Some(written));
        assert!(fs::metadata(place.path()).unwrap().len() <= (max_bytes / 8).max(16 << 20).min(max_bytes));
    }
}

/// What the golden file holds: it was made by `golden_file_is_made` below and is never made again.
fn golden_records() -> Vec<(session_core::Key, Record)> {
    let revision = |n: u8| Revision::from_bytes([n; 8]);
    vec![
        (key("plain"), Record::new(&b"\x00opaque\xff"[..], None, revision(1))),
        (key("deadline"), Record::new(&b"until 2100"[..], at(4_102_444_800_000), revision(2))),
        (key("empty"), Record::new(&b""[..], None, revision(3))),
        (key("touched"), Record::new(&b"moved"[..], at(4_102_444_800_001), revision(5))),
        (crate::session(7), Record::new(vec![9; 1_500], at(4_102_444_800_002), revision(6))),
    ]
}

fn golden_config(place: &Place) -> Config {
    Config::new(place.path()).max_bytes(256 << 10).extent_bytes(4096).shards(1)
}

#[test]
fn the_golden_file_of_version_1_opens_for_ever() {
    let place = Place::new();
    fs::write(place.path(), include_bytes!("../../golden/map-v1.bin")).unwrap();
    let store = Mmap::open(golden_config(&place)).unwrap();
    for (key, record) in golden_records() {
        assert_eq!(run(store.retrieve(&key)).unwrap(), Some(record), "{}", key.as_str());
    }
    assert_eq!(run(store.count(&Prefix::new("test").unwrap())).unwrap(), 4);
    assert_eq!(store.repairs().lost, 0);
    put(&store, &key("new"), &record("new"));
}

#[test]
#[ignore = "makes the golden file of a new version of the layout, in the directory of the package"]
fn golden_file_is_made() {
    let place = Place::new();
    let store = Mmap::open(golden_config(&place)).unwrap();
    for (key, record) in golden_records() {
        let touched = key.id() == "touched";
        let first = Record { revision: Revision::from_bytes([4; 8]), expires: None, ..record.clone() };
        put(&store, &key, if touched { &first } else { &record });
        if touched {
            assert!(run(store.touch(&key, first.revision, record.revision, record.expires)).unwrap());
        }
    }
    put(&store, &key("removed"), &record("removed"));
    assert!(run(store.remove(&key("removed"), session_core::Condition::Any)).unwrap().is_yes());
    drop(store);
    let mut bytes = fs::read(place.path()).unwrap();
    // Of no machine and of no time.
    bytes[17 * 8..20 * 8].fill(0);
    fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/map-v1.bin"), bytes).unwrap();
}
