//! Values, damaged records, unknown entries and old layouts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use session_manager::{Codec, Event, OnCorrupt, SessionsBuilder, Undecoded};

use super::common::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Size {
    Small,
    Made { width: u16, height: Option<u16> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    name: String,
    sizes: Vec<Size>,
    prices: BTreeMap<String, i64>,
    weight: f64,
    gift: Option<bool>,
    bytes: Vec<u8>,
}

fn order(length: usize) -> Order {
    Order {
        name: "tea – Tee – お茶\0\n\"'".into(),
        sizes: vec![Size::Small, Size::Made { width: u16::MAX, height: None }],
        prices: [("EUR".to_owned(), i64::MIN), (String::new(), -1)].into(),
        weight: -0.5,
        gift: None,
        bytes: (0..length).map(|at| (at % 251) as u8).collect(),
    }
}

pub(crate) async fn s69_values_of_any_kind_are_equal(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    // Keys that look like field names of the layout are ordinary keys.
    let keys = ["a", "A", "a ", "", "é", "user", "created", "expires", "flash:notice", "__id", "k\0k"];
    let long = "k".repeat(4_000);
    let id = begun(&sessions, |session| {
        for (number, key) in keys.iter().copied().chain([long.as_str()]).enumerate() {
            session.insert(key, &(number as u64))?;
        }
        session.insert("order", &order(40_000))?;
        session.insert_as("json", &order(10), Codec::Json)?;
        session.insert("empty", "")?;
        session.insert("unit", &())?;
        session.insert("none", &None::<u8>)
    })
    .await?;
    for (number, key) in keys.iter().copied().chain([long.as_str()]).enumerate() {
        finds(&sessions, id, key, Some(number as u64)).await?;
    }
    finds(&sessions, id, "order", Some(order(40_000))).await?;
    finds(&sessions, id, "json", Some(order(10))).await?;
    finds(&sessions, id, "empty", Some(String::new())).await?;
    finds(&sessions, id, "unit", Some(())).await?;
    finds(&sessions, id, "none", Some(None::<u8>)).await?;
    let session = opened(&sessions, id).await?;
    equal("the user", &session.user()?, &None)?;
    equal("how many keys there are", &session.keys()?.len(), &(keys.len() + 6))?;
    refused(session.insert(&"k".repeat(65_536), &1), ErrorKind::Name, "a key that is too long").map(drop)
}

/// serde reads its fields from an intermediate form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Step {
    Login { from: IpAddr, size: Size },
    Logout,
}

pub(crate) async fn s126_accepted_values_are_read_back(stage: &Stage) -> Check {
    let (_, sessions) = fresh(stage).await?;
    let from: IpAddr = [192, 0, 2, 1].into();
    let step = Step::Login { from, size: Size::Small };
    let id = begun(&sessions, |session| {
        session.insert("a step", &step)?;
        session.insert_as("json", &step, Codec::Json)?;
        session.insert("address", &from)?;
        session.insert("a number", &f64::INFINITY)?;
        session.insert("old", &1)?;
        // These would be read back as another value, or not at all.
        let refused = [
            session.insert("old", &Some(None::<u8>)),
            session.insert("old", &Some(())),
            session.insert_as("old", &f64::NAN, Codec::Json),
            session.insert("old", &BTreeMap::from([("key", Some(None::<Step>))])),
            session.insert_checked("old", &Some(Some(())), None),
            session.update("old", |_: Option<Option<Option<u8>>>| Some(None)).map(drop),
        ];
        session
            .insert("refused", &refused.map(|answer| answer.map_err(|e| e.kind()) == Err(ErrorKind::Encode)))
    })
    .await?;
    finds(&sessions, id, "a step", Some(step.clone())).await?;
    finds(&sessions, id, "json", Some(step.clone())).await?;
    finds(&sessions, id, "address", Some(from)).await?;
    finds(&sessions, id, "a number", Some(f64::INFINITY)).await?;
    finds(&sessions, id, "refused", Some([true; 6])).await?;
    finds(&sessions, id, "old", Some(1)).await?;
    let session = opened(&sessions, id).await?;
    equal(
        "the step that an update saw",
        &session.update("a step", |_: Option<Step>| Step::Logout)?,
        &Step::Logout,
    )?;
    equal("the step that is taken", &session.take::<Step>("json")?, &Some(step))?;
    came_to(&sessions.finish(&session).await?, &Outcome::Updated, "an update and a take")?;
    finds(&sessions, id, "a step", Some(Step::Logout)).await
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cart {
    items: BTreeMap<String, u32>,
}

impl Cart {
    /// An earlier release stored a list of names.
    fn migrated(stored: Undecoded<'_>) -> Option<Self> {
        let names: Vec<String> = stored.decode().ok()?;
        Some(Self { items: names.into_iter().map(|name| (name, 1)).collect() })
    }

    fn with(cart: Option<Self>, name: &str) -> Self {
        let mut cart = cart.unwrap_or(Self { items: BTreeMap::new() });
        *cart.items.entry(name.to_owned()).or_default() += 1;
        cart
    }
}

pub(crate) async fn s127_value_of_an_earlier_type_is_migrated(stage: &Stage) -> Check {
    let ears = Arc::new(Ears::default());
    let (_, sessions) = with(stage, |options| options.observer(Arc::clone(&ears) as _)).await?;
    let recovered = || {
        let is_recovered = |event: &Event| matches!(event, Event::Recovered { key } if &**key == "cart");
        ears.heard().iter().filter(|(_, event)| is_recovered(event)).count()
    };
    let old = ["tea".to_owned()];
    let id = begun(&sessions, |session| session.insert("cart", &old)).await?;
    let migrated = Cart::with(None, "tea");

    let session = opened(&sessions, id).await?;
    equal("the value with no error", &session.get_or_recover("none", Cart::migrated)?, &None)?;
    refused(
        session.get_or_recover::<Cart>("cart", |_| None),
        ErrorKind::Decode,
        "a read with no other value",
    )?;
    let update = session.update_or_recover("cart", |_| None, |cart| Cart::with(cart, "tea"));
    refused(update, ErrorKind::Decode, "an update with no other value")?;
    equal("the events before", &recovered(), &0)?;
    equal("the migrated value", &session.get_or_recover("cart", Cart::migrated)?, &Some(migrated.clone()))?;
    equal("the events of a read", &recovered(), &1)?;
    finds(&sessions, id, "cart", Some(old)).await?;

    // The later commit is replayed on the migrated value.
    let late = opened(&sessions, id).await?;
    for (session, name) in [(&session, "tea"), (&late, "cake")] {
        session.update_or_recover("cart", Cart::migrated, move |cart| Cart::with(cart, name))?;
    }
    equal("the events of two updates", &recovered(), &3)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Updated, "the first update")?;
    came_to(&sessions.finish(&late).await?, &Outcome::Updated, "the second update")?;
    let both = Cart::with(Cart::with(Some(migrated), "tea").into(), "cake");
    finds(&sessions, id, "cart", Some(both)).await
}

/// Replaces the data of a session, as another release or a broken program would.
async fn put(probe: &Probe, id: SessionId, data: Vec<u8>) -> Result<Record, Failure> {
    let record = Record { data: data.into(), revision: Revision::random()?, ..stored(probe, id).await? };
    crate::common::put(probe.inner(), &id.key(), &record).await?;
    Ok(record)
}

/// An entry in the layout of the table.
fn entry(class: u8, codec: u8, flags: u8, extras: &[u8], key: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![class, codec, flags, extras.len() as u8];
    bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    [&bytes, extras, key.as_bytes(), value].concat()
}

fn holds(record: &Record, part: &[u8]) -> bool {
    record.data.windows(part.len()).any(|window| window == part)
}

pub(crate) async fn s70_unknown_entries_survive(stage: &Stage) -> Check {
    let (probe, sessions, id) = with_one(stage).await?;
    let parts = [
        entry(0, 200, 0, &[], "unknown codec", b"\x01\x02\x03"),
        entry(0, 1, 0, b"unknown extras", "with extras", b"\x07"),
        entry(9, 77, 0, &[], "unknown class", b"any value"),
    ];
    put(&probe, id, [&stored(&probe, id).await?.data[..], &parts.concat()].concat()).await?;

    let session = opened(&sessions, id).await?;
    refused(session.get::<u64>("unknown codec"), ErrorKind::Codec, "reading a value of an unknown codec")?;
    equal("whether it is contained", &session.contains("unknown codec")?, &true)?;
    equal("a value with unknown extras", &session.get::<u64>("with extras")?, &Some(7))?;
    equal("a known value", &session.get::<u64>("a")?, &Some(1))?;
    session.insert("b", &2)?;
    session.rotate()?;
    came_to(&sessions.finish(&session).await?, &Outcome::Rotated, "an older release's write")?;
    let id = new_id(&session)?;
    does(&sessions, id, |session| session.insert("c", &3)).await?;
    let record = stored(&probe, id).await?;
    for part in &parts {
        ensure(holds(&record, part), "every unknown entry byte for byte, not without this", part)?;
    }
    finds(&sessions, id, "b", Some(2)).await
}

pub(crate) async fn s71_undecodable_value_loses_no_other(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| {
        session.insert("good", &1)?;
        session.insert("text", "not a number")
    })
    .await?;
    // 0xc1 is never used in MessagePack.
    let damaged = entry(0, 1, 0, &[], "zz", b"\xc1");
    put(&probe, id, [&stored(&probe, id).await?.data[..], &damaged].concat()).await?;

    let session = opened(&sessions, id).await?;
    for key in ["text", "zz"] {
        let error = refused(session.get::<u64>(key), ErrorKind::Decode, "reading it as a number")?;
        ensure(!format!("{error:?} {error}").contains("not a"), "no value in the error", &error)?;
        refused(session.take::<u64>(key), ErrorKind::Decode, "taking it as a number")?;
        let added = session.update(key, |value: Option<u64>| value.unwrap_or(0) + 1);
        refused(added, ErrorKind::Decode, "updating it as a number")?;
    }
    equal("the good value", &session.get::<u64>("good")?, &Some(1))?;
    session.insert("new", &2)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Updated, "a write beside it")?;
    finds(&sessions, id, "text", Some("not a number".to_owned())).await?;
    finds(&sessions, id, "good", Some(1)).await?;
    finds(&sessions, id, "new", Some(2)).await?;
    ensure(holds(&stored(&probe, id).await?, &damaged), "the damaged value is still there", "gone")?;
    does(&sessions, id, |session| session.insert("zz", &5)).await?;
    finds(&sessions, id, "zz", Some(5)).await
}

/// Two managers, one of each policy, and their events.
async fn both_policies(stage: &Stage) -> Result<(Probe, [Manager; 2], Arc<Ears>), Failure> {
    let ears = Arc::new(Ears::default());
    let (probe, fresh) = with(stage, |options| options.observer(Arc::clone(&ears) as _)).await?;
    let fails = |options: SessionsBuilder<Probe>| {
        options.observer(Arc::clone(&ears) as _).on_corrupt(OnCorrupt::Fail)
    };
    let (_, fail) = with(stage, fails).await?;
    Ok((probe, [fresh, fail], ears))
}

/// Fails unless each policy handles the damaged record of `id` as documented.
async fn handles_damage(managers: &[Manager; 2], ears: &Ears, id: SessionId, what: &str) -> Check {
    let [fresh, fail] = managers;
    let corrupt = || ears.heard().iter().filter(|(_, event)| *event == Event::Corrupt).count();
    let before = corrupt();
    refused(fail.load(id).await, ErrorKind::Corrupt, &format!("opening {what} with the policy to fail"))?;
    let session = fresh.load(id).await?;
    ensure(!session.exists()?, format!("no session from {what}"), "there is one")?;
    equal("a value", &session.get::<u64>("a")?, &None)?;
    equal(&format!("the events of {what}"), &(corrupt() - before), &2)?;
    session.insert("b", &2)?;
    came_to(&fresh.finish(&session).await?, &Outcome::Created, "a write after that")?;
    ensure(new_id(&session)? != id, "the fresh session has a new id", "the same")
}

pub(crate) async fn s72_foreign_record_follows_policy(stage: &Stage) -> Check {
    let (probe, managers, events) = both_policies(stage).await?;
    let id = begun(&managers[0], |session| session.insert("a", &1)).await?;
    let good = stored(&probe, id).await?.data;
    let mut damaged: Vec<(&str, Vec<u8>)> = vec![
        ("no bytes at all", Vec::new()),
        ("text", b"a:1:{s:1:\"a\";i:1;}".to_vec()),
        ("another version", [&[2], &good[1..]].concat()),
        ("another kind", [&[1, 3], &good[2..]].concat()),
        ("a header that ends before it begins", [&good[..2], &[0, 0], &good[4..]].concat()),
        ("a header longer than the data", [&good[..2], &[255, 255], &good[4..]].concat()),
        ("bytes after the entries", [&good[..], &[0]].concat()),
        ("a tombstone with more", vec![1, 2, 4, 0, 0]),
    ];
    for cut in [1, 63, 64, good.len() - 1] {
        damaged.push(("less than there was", good[..cut].to_vec()));
    }
    let mut many = good.to_vec();
    let key_len = many.len() - 1 - 1 - 8;
    many[key_len..key_len + 2].copy_from_slice(&[255, 255]);
    damaged.push(("a key longer than the data", many));
    for (what, data) in damaged {
        let record = put(&probe, id, data).await?;
        handles_damage(&managers, &events, id, what).await?;
        equal(&format!("the record with {what} afterwards"), &raw(&probe, id).await?, &Some(record))?;
    }
    // A foreign record that a commit finds is reported too, and stays.
    put(&probe, id, good.to_vec()).await?;
    let session = opened(&managers[0], id).await?;
    session.insert("b", &1)?;
    let record = put(&probe, id, b"no session".to_vec()).await?;
    refused(managers[0].finish(&session).await, ErrorKind::Corrupt, "a commit onto a damaged record")?;
    equal("the record afterwards", &raw(&probe, id).await?, &Some(record))
}

pub(crate) async fn s73_damaged_record_follows_policy(stage: &Stage) -> Check {
    let (probe, managers, events) = both_policies(stage).await?;
    let id = begun(&managers[0], |session| session.insert("a", &1)).await?;
    let neighbour = begun(&managers[0], |session| session.insert("a", &2)).await?;
    stage.storage.damage(&id.key()).await?;
    for _ in 0..2 {
        handles_damage(&managers, &events, id, "a damaged record").await?;
    }
    finds(&managers[0], neighbour, "a", Some(2)).await?;
    finds(&managers[1], neighbour, "a", Some(2)).await?;
    let answer = probe.inner().retrieve(&id.key()).await;
    crate::common::fails(answer, StoreErrorKind::Corrupt, "retrieving it afterwards")
}

/// A session of the first release. Stores hold these bytes, so they must stay readable.
fn of_the_first_release(now: u64) -> Vec<u8> {
    let mut data = vec![1, 1, 73, 0, 0, 0, 0, 0];
    for word in [now, now, now, now + 86_400_000, 7_200_000, 86_400_000, 0] {
        data.extend_from_slice(&word.to_le_bytes());
    }
    data.extend_from_slice(b"\x00\x00\x05alice\x00");
    data.extend(entry(0, 1, 0, &[], "count", &[41]));
    data.extend(entry(0, 1, 1, &(now + 60_000).to_le_bytes(), "timed", &[2]));
    data.extend(entry(1, 1, 2, &99_u64.to_le_bytes(), "notice", b"\xa5saved"));
    data
}

pub(crate) async fn s74_first_layout_is_readable(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let id = SessionId::from_bytes([42; SessionId::BYTES]);
    let now = stage.now();
    let record = Record {
        data: Bytes::from(of_the_first_release(now.as_millis())),
        expires: Some(stage.later()),
        revision: Revision::random()?,
    };
    yes(&probe.inner().store(&id.key(), record, Condition::Absent).await?, "a store when absent")?;
    let session = opened(&sessions, id).await?;
    equal("its user", &session.user()?.as_deref(), &Some("alice"))?;
    equal("when it was created", &session.created()?, &Some(now))?;
    equal("its keys", &session.keys()?, &["count", "timed"].map(str::to_owned).to_vec())?;
    equal("a value", &session.get::<u64>("count")?, &Some(41))?;
    equal("a flash value", &session.flash().get::<String>("notice")?.as_deref(), &Some("saved"))?;
    session.flash().keep_all()?;
    add_to(&session, "count")?;
    came_to(&sessions.finish(&session).await?, &Outcome::Updated, "a change of it")?;
    finds(&sessions, id, "count", Some(42_u64)).await?;
    equal("its user afterwards", &opened(&sessions, id).await?.user()?.as_deref(), &Some("alice"))
}

pub(crate) async fn s81_too_large_session_stays_as_it_was(stage: &Stage) -> Check {
    // The limit of the session layer would refuse it first.
    let (probe, sessions) = with(stage, |options| options.max_session_bytes(usize::MAX)).await?;
    let bound = probe.capabilities().max_record_bytes.unwrap_or(0);
    let id = begun(&sessions, |session| session.insert("count", &1_u64)).await?;
    let before = stored(&probe, id).await?;
    let session = opened(&sessions, id).await?;
    session.insert("large", &"x".repeat(usize::try_from(bound).unwrap_or(usize::MAX)))?;
    add_to(&session, "count")?;
    let error = refused(session.commit().await, ErrorKind::Store, "a commit that is too large")?;
    let kind = error.store_error().map(StoreError::kind);
    equal("the store's own error", &kind, &Some(StoreErrorKind::TooLarge))?;
    equal("the record afterwards", &stored(&probe, id).await?, &before)?;
    // The handler may make room and commit again.
    session.remove("large")?;
    came_to(&sessions.finish(&session).await?, &Outcome::Updated, "the commit with less")?;
    finds(&sessions, id, "count", Some(2_u64)).await
}

pub(crate) async fn s121_session_has_limited_keys_and_bytes(stage: &Stage) -> Check {
    let limit =
        |options: session_manager::SessionsBuilder<Probe>| options.max_session_keys(3).max_session_bytes(400);
    let (probe, sessions) = with(stage, limit).await?;
    let id = begun(&sessions, |session| session.insert("a", &1)).await?;
    let (one, two) = (opened(&sessions, id).await?, opened(&sessions, id).await?);
    for (session, key) in [(&one, "b"), (&two, "c")] {
        session.insert(key, &1)?;
        session.flash().set("notice", &1)?;
        let grown = session.update("d", |_: Option<u64>| 1).map(drop);
        for write in [session.insert("d", &1), session.flash().set("other", &1), grown] {
            refused(write, ErrorKind::TooLarge, "a fourth key").map(drop)?;
        }
        // A key that is there may change, but not to any length.
        session.insert("a", &2)?;
        refused(session.insert("a", &"long".repeat(100)), ErrorKind::TooLarge, "a long value").map(drop)?;
        let mut keys = vec!["a".to_owned(), key.to_owned()];
        keys.sort();
        equal("the keys", &session.keys()?, &keys)?;
    }
    done(&sessions, &one).await?;
    // Together they exceed the limit. Nothing of the second is written until it is smaller.
    let before = stored(&probe, id).await?;
    refused(sessions.commit(&two).await, ErrorKind::TooLarge, "a commit that exceeds the limit").map(drop)?;
    equal("the record", &stored(&probe, id).await?, &before)?;
    two.remove("b").map(drop)?;
    done(&sessions, &two).await?;
    equal(
        "the keys afterwards",
        &opened(&sessions, id).await?.keys()?,
        &vec!["a".to_owned(), "c".to_owned()],
    )?;
    // A session from before the limit can be used and made smaller.
    let (_, free) = fresh(stage).await?;
    does(&free, id, |session| ["e", "f", "g"].iter().try_for_each(|key| session.insert(key, &1))).await?;
    nap(probe.capabilities().staleness).await;
    does(&sessions, id, |session| session.remove("e").map(drop)).await?;
    finds(&sessions, id, "f", Some(1)).await
}
