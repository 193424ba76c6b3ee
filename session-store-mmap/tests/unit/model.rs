//! Random operations on small files, against a map.

use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::{MapDriver, Rng, block_on};
use session_core::{Clock, Condition, Driver, Key, Record, TestClock, Timestamp, Touch};

use super::{open, revision};
use crate::config::MmapConfig;
use crate::error::Fault;
use crate::layout::superblock;
use crate::protocol::Words;

#[test]
fn answers_as_a_map_and_keeps_its_counters() {
    for (seed, max_bytes, shards, longest) in
        [(1, 16 << 20, 4, 3_000), (2, 256 << 10, 1, 700), (3, 512 << 10, 2, 9_000), (4, 400 << 10, 4, 1_900)]
    {
        let mut random = Rng::with_seed(seed);
        let directory = tempfile::tempdir().unwrap();
        let clock = TestClock::new(Timestamp::from_millis(1_000_000));
        let config = MmapConfig::new(directory.path().join("map")).max_bytes(max_bytes).extent_bytes(4096);
        let config = config.shards(shards).clock(Arc::new(clock.clone()));
        let mut file = open(&config);
        let model = MapDriver::new(clock.clone());
        let mut refused = 0;
        for step in 1..=12_000 {
            let now = clock.now();
            let prefix = random.choice(["session", "user"]).unwrap();
            let key = Key::parse(&format!("{prefix}:{:0>20}", random.u64(..463))).unwrap();
            let live = block_on(model.retrieve(&key)).unwrap();
            let from = live.map_or(revision(0), |record| record.revision);
            let condition =
                random.choice([Condition::Any, Condition::Absent, Condition::Revision(from)]).unwrap();
            let later = now.saturating_add(Duration::from_millis(random.u64(..400_000)));
            let deadline = [None, Some(now), Some(later)][random.usize(..5).min(2)];
            match random.u8(..10) {
                0..=5 => {
                    let data = vec![step as u8; random.usize(..longest)];
                    let record = Record::new(data, deadline, revision(step));
                    match file.store(&key, &record, condition, None) {
                        Err(Fault::Full) => refused += 1,
                        answer => {
                            let expected = block_on(model.store(&key, record, condition)).unwrap();
                            assert_eq!(answer.unwrap(), expected);
                        }
                    }
                }
                6 => {
                    let expected = block_on(model.remove(&key, condition)).unwrap();
                    assert_eq!(file.remove(&key, condition, None).unwrap(), expected);
                }
                7 => {
                    let touch = Touch { from, to: revision(step), deadline };
                    let expected = block_on(model.touch(&key, touch)).unwrap();
                    assert_eq!(file.touch(&key, touch, None).unwrap(), expected);
                }
                8 => clock.advance(Duration::from_millis(random.u64(..300))),
                _ => assert!(file.purge_step(random.u32(..shards as u32), None, 5).unwrap().0 <= 5),
            }
            if step % 1_000 == 0 {
                for (key, record) in model.all() {
                    assert_eq!(file.retrieve(&key).unwrap(), Some(record));
                }
                file.audit();
            }
            if step % 3_000 == 0 {
                drop(file);
                file = open(&config);
                file.audit();
                assert_eq!(file.superblock().get(superblock::REPAIRED), 0);
            }
        }
        assert_eq!(refused > 0, max_bytes < 1 << 20, "{refused} refused in a file of {max_bytes} bytes");
    }
}
