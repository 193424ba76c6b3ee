//! The work of many reads of one session is counted.

use session_core::{Revision, SessionId, Timestamp};

use crate::entry::{NewEntry, VALUE};
use crate::error::Error;
use crate::op::Op;
use crate::table::{Content, Table};
use crate::view::{MOST_VISITS, View};
use crate::work::{Loaded, Work};

fn entry(number: usize, value: u64) -> Vec<u8> {
    let key = format!("key-{number:08}");
    let parts = NewEntry { class: VALUE, codec: 1, deadline: None, id: Some(value), key: &key };
    let entry = parts.encode(|out| {
        out.extend_from_slice(&value.to_le_bytes());
        Ok::<_, Error>(())
    });
    entry.unwrap().unwrap()
}

/// Reads every key of a session of this size in a random order: how many entries it visits one after the other.
fn visits_of_all_reads(keys: usize, written: bool) -> usize {
    let mut view = View::new(&Table::default());
    let mut random = fastrand::Rng::with_seed(keys as u64);
    for number in 0..keys {
        view.put(&entry(number, 1));
    }
    let mut data = vec![1, 1, 67, 0, 0, 0, 0, 0];
    data.resize(67, 0);
    data.extend_from_slice(view.body());
    let Ok(Content::Session(table)) = Table::parse(data.into()) else { panic!("a table") };
    let id = SessionId::from_bytes([1; 24]);
    let revision = Revision::from_bytes([1; 8]);
    let loaded = Loaded { id, key: id.key(), revision, expires: None };
    let mut work = Work::stored(loaded, table);
    if written {
        work.record(Op::Insert(entry(0, 2)));
    }
    let mut order: Vec<_> = (0..keys).collect();
    random.shuffle(&mut order);
    let now = || Timestamp::from_millis(1);
    let mut visits = 0;
    for number in order {
        let before = work.visits_of_reads();
        let found = work.find(VALUE, &format!("key-{number:08}"), now);
        let value = if written && number == 0 { 2 } else { 1 };
        assert_eq!(found.as_deref(), Some(&entry(number, value)[..]));
        visits += work.visits_of_reads().saturating_sub(before);
    }
    assert_eq!(work.find(VALUE, "key-", now), None);
    visits
}

/// Work is counted: the visits of entries one after the other. A search in the index or the tree costs a logarithm.
#[test]
fn visits_do_not_grow_with_the_product_of_keys_and_reads() {
    for keys in [100, 1_000, 4_000, 16_000, 60_000] {
        for written in [false, true] {
            let visits = visits_of_all_reads(keys, written);
            assert!(visits <= MOST_VISITS + 2 * keys, "{keys} keys, written {written}: {visits} visits");
        }
    }
}
