//! The layout of version 1, compared with golden files that never change.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use session_core::{Persistence, Revision, SessionId, Timestamp};

use crate::client::{AddressCheck, Agent};
use crate::codec::{Codec, decode};
use crate::entry::{FLASH, NewEntry, RawEntry, VALUE, entries};
use crate::op::{Op, parsed};
use crate::table::{Content, Header, TOMBSTONE_DATA, Table};
use crate::work::{Loaded, Work};

const SESSION: &[u8] = include_bytes!("../golden/session-v1.bin");
/// A session that its client keeps until the deadline.
const REMEMBERED: &[u8] = include_bytes!("../golden/session-v1-remembered.bin");
const USER: &[u8] = include_bytes!("../golden/user-v1.bin");
const TOMBSTONE: &[u8] = include_bytes!("../golden/marker-v1.bin");
const LOGIN_TOMBSTONE: &[u8] = include_bytes!("../golden/login-tombstone-v1.bin");
const CODEC_4: &[u8] = include_bytes!("../golden/session-codec-4.bin");

const CREATED: u64 = 1_800_000_000_000;
const NOW: Timestamp = Timestamp::from_millis(CREATED + 60_000);

/// The file, built by hand from the documented layout instead of the code that writes it.
fn by_hand(user: &[u8]) -> Vec<u8> {
    by_hand_with(user, b"a later release's header")
}

fn by_hand_with(user: &[u8], additions: &[u8]) -> Vec<u8> {
    let mut data = vec![1, 1, 0, 0, 0, 0, 0, 0];
    for word in [CREATED, CREATED + 5_000, CREATED + 1_000, CREATED + 86_401_000, 7_200_000, 86_400_000, 42] {
        data.extend(word.to_le_bytes());
    }
    data.extend([5, 24, 192, 0, 2, 0]);
    data.push(16);
    // The first half of SHA-256("golden/1.0").
    data.extend([
        0x00, 0x3f, 0x5e, 0x2e, 0x16, 0xd3, 0x76, 0x0a, 0x84, 0x0e, 0x36, 0xa0, 0x78, 0xd7, 0xe2, 0xe6,
    ]);
    data.push(user.len() as u8);
    data.extend(user);
    data.extend(additions);
    let len = data.len() as u16;
    data[2..4].copy_from_slice(&len.to_le_bytes());
    let mut entry = |head, extras: &[u8], key: &[u8], value: &[u8]| push(&mut data, head, extras, key, value);
    let deadline = (CREATED + 3_600_000).to_le_bytes();
    entry([0, 1, 0], &[], b"cart", b"\x91\xa4book");
    entry([0, 2, 1], &deadline, b"json", b"{\"a\":1}");
    entry([0, 3, 0], &[], b"packed", b"\x07");
    entry([0, 200, 1], &[&deadline[..], b"later!"].concat(), b"unknown codec", b"\x00\xff\x00");
    entry([1, 1, 2], &77_u64.to_le_bytes(), b"notice", b"\xa5saved");
    entry([9, 1, 0x80], b"extras", b"unknown class", b"kept");
    data
}

/// Appends an entry: class, codec and flags, then extras, key and value.
fn push(data: &mut Vec<u8>, head: [u8; 3], extras: &[u8], key: &[u8], value: &[u8]) {
    data.extend(head);
    data.push(extras.len() as u8);
    data.extend((key.len() as u16).to_le_bytes());
    data.extend([0, 0]);
    data.extend((value.len() as u32).to_le_bytes());
    data.extend_from_slice(extras);
    data.extend_from_slice(key);
    data.extend_from_slice(value);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Step {
    Login { from: IpAddr },
    Other,
}

/// The values of codec 4, each with the bytes that the MessagePack specification gives it.
const VALUES_4: [(&str, &[u8]); 6] = [
    ("address", b"\x82\xa4type\xa5Login\xa4from\xa9192.0.2.1"),
    ("bytes", b"\x93\x00\x7f\xcc\xff"),
    ("nothing", b"\xc0"),
    ("number", b"\xc4\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07"),
    ("ratio", b"\xcb\x3f\xe0\0\0\0\0\0\0"),
    ("text", b"\xa4book"),
];

#[test]
fn golden_codec_4_is_read_and_written() {
    let mut data = by_hand(b"");
    data.truncate(usize::from(u16::from_le_bytes([data[2], data[3]])));
    for (key, value) in VALUES_4 {
        push(&mut data, [0, 4, 0], &[], key.as_bytes(), value);
    }
    assert_eq!(CODEC_4, data);
    fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(key: &str, value: &T) {
        let table = table(CODEC_4).unwrap();
        let entry = entries(table.body()).find(|entry| entry.key() == key.as_bytes()).unwrap();
        assert_eq!(decode::<T>(entry.codec(), key, entry.value()).unwrap(), *value);
        let mut out = Vec::new();
        Codec::MessagePack.encode(key, value, &mut out).unwrap();
        assert_eq!((Codec::MessagePack.id(), &out[..]), (entry.codec(), entry.value()), "{key}");
    }
    same("address", &Step::Login { from: [192, 0, 2, 1].into() });
    same("bytes", &[0_u8, 127, 255]);
    same("nothing", &None::<String>);
    same("number", &7_u128);
    same("ratio", &0.5);
    same("text", &"book".to_owned());
}

fn table(data: &[u8]) -> Option<Table> {
    match Table::parse(Bytes::copy_from_slice(data)) {
        Ok(Content::Session(table)) => Some(table),
        _ => None,
    }
}

fn work(table: Table) -> Work {
    let id = SessionId::from_bytes([1; 24]);
    let revision = Revision::from_bytes([1; 8]);
    *Work::stored(Loaded { id, key: id.key(), revision, expires: None }, table)
}

/// The data that an older release writes after it has set one key.
fn changed(table: Table) -> Bytes {
    let mut work = work(table);
    let parts = NewEntry { class: VALUE, codec: 1, deadline: None, id: None, key: "new" };
    let entry = parts.encode(|out| {
        out.push(5);
        Ok::<_, ()>(())
    });
    work.record(Op::Insert(entry.unwrap().unwrap()));
    let draft = work.draft(NOW, |_| {});
    work.table_of(draft, NOW).data().clone()
}

fn rewritten(table: Table) -> Bytes {
    let updated = table.header.updated;
    let mut work = work(table);
    let draft = work.draft(NOW, |_| {});
    work.table_of(draft, updated).data().clone()
}

fn whole(table: &Table) -> Vec<Vec<u8>> {
    entries(table.body()).map(|entry| entry.whole.to_vec()).collect()
}

#[test]
fn golden_session_matches_the_documentation() {
    assert_eq!(SESSION, by_hand(b"ada"));
    assert_eq!(LOGIN_TOMBSTONE, [&[1, 2, 8, 0, 0, 0, 0, 0][..], &by_hand(b"")].concat());
    assert_eq!((TOMBSTONE, &TOMBSTONE_DATA[..]), (&[1, 2, 4, 0][..], TOMBSTONE));
}

#[test]
fn golden_version_1_is_read() {
    assert!(matches!(Table::parse(Bytes::from_static(TOMBSTONE)), Ok(Content::Tombstone(None))));
    let table = table(SESSION).unwrap();
    let at = |ms| Timestamp::from_millis(CREATED + ms);
    let header = &table.header;
    assert_eq!((header.created, header.updated, header.started), (at(0), at(5_000), at(1_000)));
    assert_eq!((header.absolute, header.epoch, header.user()), (Some(at(86_401_000)), 42, Some("ada")));
    assert_eq!(header.idle, Duration::from_secs(7_200));
    assert_eq!(header.lifetime, Some(Duration::from_secs(86_400)));
    let network = AddressCheck::Network { v4: 24, v6: 64 }.record(Some([192, 0, 2, 77].into()));
    assert_eq!(header.network(), network);
    assert_eq!(header.agent(), Some(Agent::of(b"golden/1.0")));
    assert_eq!(header.extra(), "a later release's header");
    let found: Vec<_> = entries(table.body())
        .map(|e| (e.class(), e.codec(), e.deadline(), e.id(), e.key(), e.value()))
        .collect();
    let deadline = Some(at(3_600_000));
    let expected: [(_, _, _, _, &[u8], &[u8]); 6] = [
        (VALUE, 1, None, 0, b"cart", b"\x91\xa4book"),
        (VALUE, 2, deadline, 0, b"json", b"{\"a\":1}"),
        (VALUE, 3, None, 0, b"packed", b"\x07"),
        (VALUE, 200, deadline, 0, b"unknown codec", b"\x00\xff\x00"),
        (FLASH, 1, None, 77, b"notice", b"\xa5saved"),
        (9, 1, None, 0, b"unknown class", b"kept"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn golden_persistence_is_read_and_written() {
    assert_eq!(REMEMBERED, by_hand_with(b"ada", b"\x02a later release's header"));
    let remembered = table(REMEMBERED).unwrap();
    assert_eq!(remembered.header.persistence(), Persistence::Session);
    assert_eq!(rewritten(remembered.clone()), REMEMBERED);
    // An unknown choice, and none, are those of the state. A new choice leaves later additions alone.
    assert_eq!(table(SESSION).unwrap().header.persistence(), Persistence::Configured);
    for (chosen, byte) in [(Persistence::Browser, 1), (Persistence::Session, 2), (Persistence::Configured, 0)]
    {
        for additions in [&b""[..], b"a later release's header"] {
            let mut work = work(table(&by_hand_with(b"ada", &[&[2], additions].concat())).unwrap());
            work.record(Op::Persistence(chosen));
            let draft = work.draft(NOW, |_| {});
            let data = work.table_of(draft, Timestamp::from_millis(CREATED + 5_000)).data().clone();
            assert_eq!(data, by_hand_with(b"ada", &[&[byte], additions].concat()));
            assert_eq!(table(&data).unwrap().header.persistence(), chosen);
        }
    }
    let mut plain = Header::new(Duration::from_secs(1), None);
    plain.set_persistence(Persistence::Browser);
    assert_eq!((plain.persistence(), plain.user()), (Persistence::Browser, None));
}

#[test]
fn golden_user_is_read_and_written() {
    let user = Table::parse_user(USER).unwrap();
    assert_eq!((user.data(), user.as_user()), (&Bytes::from_static(SESSION), Bytes::from_static(USER)));
    for other in [SESSION, TOMBSTONE, LOGIN_TOMBSTONE, b"", &USER[..80]] {
        assert!(Table::parse_user(other).is_err());
    }
    assert!(Table::parse(Bytes::from_static(USER)).is_err());
}

#[test]
fn golden_login_tombstone_is_read_and_written() {
    let parse = |data: &[u8]| Table::parse(Bytes::copy_from_slice(data));
    let Ok(Content::Tombstone(Some(left))) = parse(LOGIN_TOMBSTONE) else { panic!("not read") };
    assert_eq!(*left.data(), by_hand(b""));
    assert_eq!(left.tombstone(None, |_| false), LOGIN_TOMBSTONE);
    let len = LOGIN_TOMBSTONE.len() as u64;
    assert_eq!(left.tombstone(Some(len), |_| false), LOGIN_TOMBSTONE);
    assert_eq!(left.tombstone(Some(len - 1), |_| false), TOMBSTONE, "the driver cannot store it");
    assert_eq!(table(SESSION).unwrap().tombstone(None, |_| false), TOMBSTONE, "a user is bound");
    // A user's data is not read from a tombstone, and a tombstone holds no tombstone.
    for inside in [SESSION, LOGIN_TOMBSTONE, TOMBSTONE, b""] {
        assert!(parse(&[&LOGIN_TOMBSTONE[..8], inside].concat()).is_err());
    }
}

#[test]
fn golden_version_1_is_written_byte_for_byte() {
    assert_eq!(rewritten(table(SESSION).unwrap()), SESSION);
}

#[test]
fn unknown_parts_survive_a_change() {
    let before = table(SESSION).unwrap();
    let after = table(&changed(before.clone())).unwrap();
    assert_eq!(after.header.extra(), before.header.extra());
    assert_eq!(after.header.epoch, before.header.epoch);
    let mut expected = whole(&before);
    let new = whole(&after).into_iter().find(|entry| parsed(entry).key() == b"new").unwrap();
    expected.insert(2, new);
    assert_eq!(whole(&after), expected);
}

#[test]
fn truncated_golden_is_refused_or_has_fewer_entries() {
    let all = whole(&table(SESSION).unwrap());
    let mut read = 0;
    for len in 0..SESSION.len() {
        if let Some(table) = table(&SESSION[..len]) {
            let entries = whole(&table);
            assert!(all.starts_with(&entries) && entries.len() < all.len(), "cut at {len}");
            assert_eq!(rewritten(table), SESSION[..len], "cut at {len}");
            read += 1;
        }
    }
    assert_eq!(read, all.len(), "a cut goes unnoticed only between two entries");
    for len in 0..TOMBSTONE.len() {
        assert!(Table::parse(Bytes::from_static(&TOMBSTONE[..len])).is_err());
    }
}

/// The bytes are refused, or they consist of entries and can be changed.
fn harmless(data: &[u8]) {
    let Some(table) = table(data) else { return };
    let total: usize = entries(table.body()).map(|entry| entry.whole.len()).sum();
    assert_eq!(total, table.body().len());
    for entry in entries(table.body()) {
        assert!(entry.key().len() + entry.value().len() <= entry.whole.len());
    }
    drop(rewritten(table.clone()));
    drop(changed(table));
}

#[test]
fn golden_with_a_changed_byte_is_refused_or_harmless() {
    for at in 0..SESSION.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, SESSION[at] ^ 1, SESSION[at].wrapping_add(1)] {
            let mut changed = SESSION.to_vec();
            changed[at] = byte;
            harmless(&changed);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_cause_no_panic(bytes in proptest::collection::vec(0u8.., 0..300), stamp in 0usize..3) {
        let mut bytes = bytes;
        if stamp > 0 && bytes.len() > 80 {
            bytes[..8].copy_from_slice(&[1, 1, 67, 0, 0, 0, 0, 0]);
            if stamp > 1 {
                bytes[64..67].copy_from_slice(&[0, 0, 0]);
            }
        }
        harmless(&bytes);
    }

    #[test]
    fn changed_golden_causes_no_panic(
        changes in proptest::collection::vec((0usize..SESSION.len(), 0u8..), 1..6),
        cut in 0usize..SESSION.len(),
    ) {
        let mut bytes = SESSION.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        harmless(&bytes);
        bytes.truncate(cut);
        harmless(&bytes);
    }

    #[test]
    fn encoded_entry_reads_back(
        key in "\\PC{0,40}",
        value in proptest::collection::vec(0u8.., 0..100),
        deadline in proptest::option::of(0u64..),
        id in proptest::option::of(0u64..),
        class in 0u8..,
        codec in 0u8..,
    ) {
        let deadline = deadline.map(Timestamp::from_millis);
        let parts = NewEntry { class, codec, deadline, id, key: &key };
        let entry = parts.encode(|out| {
            out.extend_from_slice(&value);
            Ok::<_, ()>(())
        });
        let entry = entry.unwrap().unwrap();
        let read = RawEntry::parse(&entry).unwrap();
        prop_assert_eq!((read.class(), read.codec(), read.deadline(), read.id()), (class, codec, deadline, id.unwrap_or(0)));
        prop_assert_eq!((read.key(), read.value(), read.whole.len()), (key.as_bytes(), &value[..], entry.len()));
    }
}
