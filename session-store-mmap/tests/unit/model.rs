//! Random operations on small files, against a map.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::Rng;
use session_core::{
    Change, ChangeRequest, Clock, Condition, Decision, Found, Key, Record, TestClock, Timestamp, Touch,
};

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
        let mut model: HashMap<Key, Record> = HashMap::new();
        let mut refused = 0;
        for step in 1..=12_000 {
            let now = clock.now();
            let prefix = random.choice(["session", "user"]).unwrap();
            let key = Key::parse(&format!("{prefix}:{:0>20}", random.u64(..463))).unwrap();
            let live = model.get(&key).filter(|record| record.is_live(now)).cloned();
            let known = live.as_ref().map_or(revision(0), |record| record.revision);
            let found = live.as_ref().map_or(Found::Nothing, |record| Found::Live(record.revision));
            let condition = match random.u8(..4) {
                0 => Condition::Any,
                1 => Condition::Absent,
                _ => Condition::Revision(known),
            };
            let deadline = match random.u8(..5) {
                0 => None,
                1 => Some(now),
                _ => Some(now.saturating_add(Duration::from_millis(random.u64(..400_000)))),
            };
            let request = match random.u8(..10) {
                0..=5 => {
                    let data = vec![step as u8; random.usize(..longest)];
                    ChangeRequest::Store { record: Record::new(data, deadline, revision(step)), condition }
                }
                6 => ChangeRequest::Remove { condition },
                7 => ChangeRequest::Touch(Touch { from: known, to: revision(step), deadline }),
                8 => {
                    clock.advance(Duration::from_millis(random.u64(..300)));
                    continue;
                }
                _ => {
                    let (gone, _) = file.purge_step(random.u32(..shards as u32), None, 5).unwrap();
                    assert!(gone <= 5);
                    continue;
                }
            };
            let answer = match &request {
                ChangeRequest::Store { record, condition } => file.store(&key, record, *condition, None),
                ChangeRequest::Remove { condition } => file.remove(&key, *condition, None),
                ChangeRequest::Touch(touch) => file
                    .touch(&key, *touch, None)
                    .map(|touched| if touched { Change::Applied } else { Change::Conflict(live.clone()) }),
            };
            let decision = request.decide(found, now);
            match answer {
                Err(Fault::Full) if decision == Decision::Write => {
                    refused += 1;
                    continue;
                }
                Err(fault) => panic!("{fault:?}"),
                Ok(answer) if decision == Decision::Conflict => {
                    assert_eq!(answer, Change::Conflict(live.clone()))
                }
                Ok(answer) => assert_eq!(answer, Change::Applied),
            }
            match (decision, request) {
                (Decision::Write, ChangeRequest::Store { record, .. }) => drop(model.insert(key, record)),
                (Decision::Write, ChangeRequest::Touch(touch)) => {
                    let touched = Record { expires: deadline, revision: touch.to, ..live.unwrap() };
                    model.insert(key, touched);
                }
                (Decision::Delete, _) => drop(model.remove(&key)),
                _ => {}
            }
            if step % 1_000 == 0 {
                for (key, record) in &model {
                    let expected = record.is_live(clock.now()).then(|| record.clone());
                    assert_eq!(file.retrieve(key).unwrap(), expected);
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
