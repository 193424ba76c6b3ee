//! Several handles on one file.

use session_core::StoreErrorKind;
use session_store_mmap::{MmapConfig, MmapStore};

use crate::{config, fresh, get, key, open, put, record};

#[test]
fn another_geometry_is_refused_and_the_data_stays() {
    let path = fresh();
    let first = open(&path);
    put(&first, &key("kept"), &record("kept"));
    let kept = get(&first, &key("kept"));
    let refused = || {
        let others: [fn(MmapConfig) -> MmapConfig; 3] = [
            |config| config.max_bytes(32 << 20),
            |config| config.shards(4),
            |config| config.extent_bytes(4096),
        ];
        for other in others {
            let error = MmapStore::open(other(config(&path))).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
            assert!(error.to_string().contains("the file was made with"), "{error}");
        }
    };
    refused();
    assert_eq!(get(&first, &key("kept")), kept);
    drop(first);
    refused();
    assert_eq!(get(&open(&path), &key("kept")), kept);
    // Without `shards` and `extent_bytes` the file's own apply.
    let plain = MmapStore::open(MmapConfig::new(path.path()).max_bytes(64 << 20)).unwrap();
    assert_eq!(get(&plain, &key("kept")), kept);
}

#[test]
fn a_linked_file_is_the_same_store() {
    let path = fresh();
    let first = open(&path);
    let (linked, aliased) = (path.beside("linked"), path.beside("aliased"));
    std::fs::hard_link(path.path(), &linked).unwrap();
    std::os::unix::fs::symlink(path.path(), &aliased).unwrap();
    for (n, path) in [linked, aliased].into_iter().enumerate() {
        let other = MmapStore::open(MmapConfig::new(path).max_bytes(64 << 20)).unwrap();
        let written = record(vec![n as u8; 100]);
        put(&other, &key("shared"), &written);
        assert_eq!(get(&first, &key("shared")), Some(written));
    }
}
