//! The seal of a closed file.

use session_core::{Condition, Driver, Key, Record, Revision};

use crate::file::SessionFile;
use crate::layout::{ExtentWord, Use, shard, superblock};
use crate::open::open;
use crate::protocol::Words;
use crate::{MmapConfig, MmapStore};

const RECORDS: u32 = 40;

fn key(number: u32) -> Key {
    Key::parse(&format!("test:{number}")).unwrap()
}

fn record(number: u32) -> Record {
    Record::new(vec![7; 200], None, Revision::from_bytes([number as u8; 8]))
}

fn config(place: &tempfile::TempDir) -> MmapConfig {
    MmapConfig::new(place.path().join("map")).max_bytes(256 << 10).shards(2)
}

async fn filled(place: &tempfile::TempDir) -> MmapStore {
    let store = MmapStore::open(config(place)).unwrap();
    for number in 0..RECORDS {
        assert!(store.store(&key(number), record(number), Condition::Absent).await.unwrap().is_applied());
    }
    store
}

/// A sealed file, opened as its user would, but with its seal.
fn mapped(place: &tempfile::TempDir) -> SessionFile {
    let bytes = std::fs::read(config(place).path).unwrap();
    let seal = u64::from_ne_bytes(*bytes[superblock::SEAL * 8..].first_chunk().unwrap());
    let file = open(&config(place)).unwrap();
    assert_eq!(file.superblock().get(superblock::SEAL), 0, "an opener breaks the seal");
    file.superblock().set(superblock::SEAL, seal);
    file
}

/// A sealed file with records.
async fn sealed() -> (tempfile::TempDir, SessionFile) {
    let place = tempfile::tempdir().unwrap();
    let store = filled(&place).await;
    store.close().await.unwrap();
    drop(store);
    let file = mapped(&place);
    assert!(file.is_sealed());
    (place, file)
}

#[tokio::test]
async fn only_the_last_opener_seals_and_every_opener_breaks_the_seal() {
    let place = tempfile::tempdir().unwrap();
    let (first, other) = (filled(&place).await, MmapStore::open(config(&place)).unwrap());
    first.close().await.unwrap();
    drop(first);
    assert!(!mapped(&place).is_sealed());
    other.close().await.unwrap();
    // The closed handle still has the file: a new one joins it.
    let joined = MmapStore::open(config(&place)).unwrap();
    assert!(joined.store(&key(0), record(1), Condition::Any).await.unwrap().is_applied());
    drop((other, joined));
    assert!(!mapped(&place).is_sealed());
    let last = MmapStore::open(config(&place)).unwrap();
    last.close().await.unwrap();
    drop(last);
    let file = mapped(&place);
    assert!(file.is_sealed());
    file.audit();
    file.break_seal();
    assert!(!file.is_sealed());
}

#[tokio::test]
async fn a_sealed_file_opens_without_a_look_at_its_records() {
    let place = tempfile::tempdir().unwrap();
    let store = filled(&place).await;
    store.close().await.unwrap();
    let seen = |store: &MmapStore| store.repairs();
    let before = seen(&store);
    drop(store);
    let store = MmapStore::open(config(&place)).unwrap();
    for number in 0..RECORDS {
        assert_eq!(store.retrieve(&key(number)).await.unwrap(), Some(record(number)));
        let next = record(number + 100);
        let from = Condition::Revision(record(number).revision);
        assert!(store.store(&key(number), next, from).await.unwrap().is_applied());
    }
    assert_eq!(seen(&store), before);
}

/// Every word that the seal is for, bent by one bit: the next opener checks the file.
#[tokio::test]
async fn a_bent_index_breaks_the_seal() {
    let (_place, file) = sealed().await;
    let mut tried = 0;
    let mut bent = |span: crate::map::Span<'_>, word: usize| {
        let whole = span.get(word);
        for bit in [0, 17, 63] {
            span.set(word, whole ^ 1 << bit);
            assert!(!file.is_sealed(), "word {word}, bit {bit}");
        }
        span.set(word, whole);
        tried += 1;
    };
    bent(file.superblock(), superblock::GROWN);
    for number in 0..file.geometry.shards {
        let head = file.shard(number).head;
        (shard::STAMP..head.len()).for_each(|word| bent(head, word));
        let table = file.shard(number).find_table().unwrap();
        let table = file.extents(table.first, table.run).unwrap();
        (0..table.len()).for_each(|word| bent(table, word));
    }
    (0..file.grown() as usize).for_each(|word| bent(file.extent_words(), word));
    assert!(tried > 500, "{tried}");
    assert!(file.is_sealed());
    let uses = (0..file.grown()).filter_map(|extent| file.extent_word(extent));
    assert!(uses.filter(|word: &ExtentWord| word.usage == Use::Small).count() > 0);
}

#[tokio::test]
async fn a_change_after_the_seal_breaks_it() {
    let (_place, file) = sealed().await;
    // As a child process would that inherited the handle.
    assert!(file.remove(&key(3), Condition::Any, None).unwrap().is_applied());
    assert!(!file.is_sealed());
    file.seal();
    assert!(file.is_sealed());
    // A change that is under way when its process is killed.
    file.shard(0).head.set(shard::DIRTY, 1);
    assert!(!file.is_sealed());
    file.seal();
    assert!(file.is_sealed(), "the seal repairs first");
    file.audit();
}

#[tokio::test]
async fn a_reboot_breaks_the_seal() {
    let (place, file) = sealed().await;
    // A record that did not reach the disk whole.
    let unit = file.shard(0).table().unwrap().unwrap();
    let unit = (0..unit.len()).find_map(|slot| crate::table::unit_of(unit.get(slot))).unwrap();
    let (head, span) = file.head(unit).unwrap();
    span.set(head.data_at(), !span.get(head.data_at()));
    file.superblock().add(superblock::BOOT, 1);
    assert!(file.is_sealed());
    drop(file);
    let store = MmapStore::open(config(&place)).unwrap();
    assert_eq!(store.repairs().lost, 1);
}
