//! Level basic: capabilities, retrieve, store, remove. `basic_handle.rs` has the rest.

use std::pin::pin;

use session_core::{Capabilities, ChangeRequest, Decision, ExpiryMode, Found, Shared, Survives};

use crate::common::*;
use crate::harness::Time;
use crate::level::Requirement;
use crate::testing::poll_once;

pub(crate) async fn b01_claims_match_behaviour(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let capabilities = driver.capabilities();
    for &need in Requirement::ALL {
        let declared = stage.lacks(need);
        let Some(met) = is_met(stage, &driver, &capabilities, need).await? else { continue };
        let (expected, actual) = match (met, declared) {
            (true, true) => {
                ("does not meet {need}, because `lacks` names it: remove it from `lacks`", "meets")
            }
            (false, false) => ("meets {need}, or `lacks` names it with a reason", "does not meet"),
            _ => continue,
        };
        let expected = format!("the driver {}", expected.replace("{need}", need.as_str()));
        return Err(unmet(expected, format!("it {actual} it: {capabilities:?}")));
    }
    Ok(())
}

/// Whether the driver meets `need`, by its capabilities and by its behaviour. `None` if only the
/// harness knows.
async fn is_met(
    stage: &Stage,
    driver: &DynDriver,
    claims: &Capabilities,
    need: Requirement,
) -> Result<Option<bool>, Failure> {
    let key = stage.key("capability");
    let agrees = |claimed, works| {
        equal(&format!("whether {need} works, as `capabilities()` claims"), &works, &claimed)
    };
    Ok(Some(match need {
        Requirement::Conditional => {
            let works = offers(driver.remove(&key, Condition::Revision(rev(1))).await)?;
            agrees(claims.conditional, works)?;
            agrees(works, offers(driver.store(&key, record(1), Condition::Absent).await)?)?;
            works
        }
        Requirement::Traverse => offers(driver.traverse(&Prefix::SESSION, Cursor::start(), 1).await)?,
        Requirement::ExactlyOnce => claims.exactly_once,
        Requirement::AtOnce => claims.at_once,
        Requirement::Purge => {
            let works = offers(driver.purge(1).await)?;
            works && !matches!(claims.expiry, ExpiryMode::Engine { .. })
        }
        Requirement::VirtualTime => {
            let exact = match claims.expiry {
                ExpiryMode::Engine { granularity } => granularity.is_zero(),
                _ => true,
            };
            exact && stage.context.harness.time() == Time::Virtual
        }
        Requirement::ValueBound => claims.max_record_bytes.is_some_and(|bound| bound <= 64 << 20),
        Requirement::Close => claims.survives >= Survives::Close,
        Requirement::Kill => claims.survives >= Survives::Kill,
        Requirement::PowerLoss => claims.survives >= Survives::PowerLoss,
        Requirement::Processes => claims.shared >= Shared::Host,
        // No capability covers these; only the harness can cause them.
        Requirement::Damage
        | Requirement::Checksum
        | Requirement::Index
        | Requirement::Outage
        | Requirement::Full
        | Requirement::Permission
        | Requirement::Files => return Ok(None),
    }))
}

fn offers<T>(answer: Result<T, StoreError>) -> Result<bool, Failure> {
    Ok(unless_unsupported(answer)?.is_some())
}

pub(crate) async fn b02_retrieve_returns_last_store(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let (first, second) = (expiring(1, stage.later()), record(2));
    put(&driver, &stage.key("one"), &first).await?;
    put(&driver, &stage.key("two"), &second).await?;
    holds(&driver, &stage.key("one"), &first, "a record with a deadline").await?;
    holds(&driver, &stage.key("two"), &second, "a record without a deadline").await?;
    holds(&driver, &stage.key("one"), &first, "the same record, asked for again").await
}

pub(crate) async fn b03_store_replaces_whole_record(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let long = Record::new(sized(1, 5_000), Some(stage.later()), rev(1));
    for (what, next) in [
        ("the first", long.clone()),
        ("a shorter one, without a deadline", record(2)),
        ("a longer one, with another deadline", Record { expires: Some(stage.soon()), ..long }),
    ] {
        put(&driver, &key, &next).await?;
        holds(&driver, &key, &next, what).await?;
    }
    Ok(())
}

pub(crate) async fn b04_unknown_key_is_none_and_stays_absent(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("never");
    absent(&driver, &key, "a key that was never stored").await?;
    absent(&driver, &key, "the same key, asked for again").await?;
    let answer = driver.remove(&key, Condition::Any).await?;
    conflict(&answer, None, "removing a record that was only asked for")
}

pub(crate) async fn b05_empty_data_is_a_value(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("empty");
    let empty = Record::new(&b""[..], None, rev(1));
    put(&driver, &key, &empty).await?;
    holds(&driver, &key, &empty, "an empty record").await?;
    put(&driver, &key, &record(2)).await?;
    put(&driver, &key, &empty).await?;
    holds(&driver, &key, &empty, "an empty record over a full one").await
}

pub(crate) async fn b06_data_may_be_any_bytes(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let cases: [&[u8]; 7] = [&[0], b"a\0b", &[0xff, 0xfe], &[0xc3, 0x28], b"\r\n\r\n", b"';--\"", &all];
    for (index, bytes) in cases.into_iter().enumerate() {
        let key = stage.key(&format!("bytes-{index}"));
        let stored = Record::new(bytes.to_vec(), None, rev(index as u64 + 1));
        put(&driver, &key, &stored).await?;
        holds(&driver, &key, &stored, &format!("the bytes {:02x?}", &bytes[..bytes.len().min(8)])).await?;
    }
    Ok(())
}

pub(crate) async fn b07_one_mebibyte_is_stored_or_refused(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let bound = driver.capabilities().max_record_bytes.unwrap_or(u64::MAX);
    for length in [1_usize, 17, 255, 4_096, 65_535, 65_536, 1 << 20] {
        let key = stage.key(&format!("sized-{length}"));
        let old = record(1);
        put(&driver, &key, &old).await?;
        let data = sized(length as u64, length.max(16)).slice(..length);
        let new = Record::new(data, Some(stage.later()), rev(2));
        match driver.store(&key, new.clone(), Condition::Any).await {
            Ok(answer) => {
                yes(&answer, &format!("storing {length} bytes"))?;
                holds(&driver, &key, &new, &format!("{length} bytes")).await?;
            }
            Err(error) if error.kind() == StoreErrorKind::TooLarge && length as u64 > bound => {
                holds(&driver, &key, &old, "the old record, after a store that was too large").await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(crate) async fn b08_data_above_the_bound_is_too_large(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let bound = driver.capabilities().max_record_bytes.unwrap_or(0) as usize;
    let key = stage.key("bounded");
    let fits = Record::new(sized(1, bound.max(16)).slice(..bound), None, rev(1));
    put(&driver, &key, &fits).await?;
    holds(&driver, &key, &fits, "a value of exactly the bound").await?;
    let large = Record::new(sized(2, bound + 17), None, rev(2));
    let answer = driver.store(&key, large, Condition::Any).await;
    fails(answer, StoreErrorKind::TooLarge, "a value above the bound")?;
    holds(&driver, &key, &fits, "the old record, after a store that was too large").await
}

pub(crate) async fn b09_id_may_be_any_text(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let short = [
        "/", "\\", "..", ".", "../one", "a/b", "a//b", "a\\b", "/a", "a/", "'", "\"", "';--", "%", "%2e%2e",
        "*", "?", "[a]", "{a}", "$(a)", "`a`", "a", "a:b", ":", "::", "é", "e\u{301}", "ſ", "con", "nul",
        "-rf", "~", "#a", "\u{7f}", "\n", "a\nb", "\r\n", "\0", "a\0b", "a\0", "a b",
    ];
    let long = ["../../etc/passwd", "\u{1F980}", "\u{202e}a", "\u{feff}a", "' OR '1'='1"];
    let ids: Vec<Key> = short.iter().chain(&long).map(|id| stage.key(id)).collect();
    put_numbered(&driver, &ids).await?;
    hold_numbered(&driver, &ids).await?;
    for id in ids {
        yes(&driver.remove(&id, Condition::Any).await?, &format!("removing {:?}", id.as_str()))?;
    }
    Ok(())
}

/// Stores a different record under each key.
async fn put_numbered(driver: &DynDriver, keys: &[Key]) -> Check {
    for (key, number) in keys.iter().zip(1..) {
        put(driver, key, &record(number)).await?;
    }
    Ok(())
}

/// Fails unless each key has the record of [`put_numbered`].
async fn hold_numbered(driver: &DynDriver, keys: &[Key]) -> Check {
    for (key, number) in keys.iter().zip(1..) {
        holds(driver, key, &record(number), &format!("{:?}", key.as_str())).await?;
    }
    Ok(())
}

pub(crate) async fn b10_keys_are_compared_by_bytes(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let ids = ["Id", "id", "ID", " id", "id ", "\tid", "id\n", "İd", "ıd"].map(|id| stage.key(id));
    for (key, number) in ids.iter().zip(1..) {
        absent(&driver, key, &format!("{:?} before it is stored", key.as_str())).await?;
        put(&driver, key, &record(number)).await?;
    }
    hold_numbered(&driver, &ids).await
}

pub(crate) async fn b11_prefixes_are_separate(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let texts =
        ["session:a", "user:a", "user2:a", "user-2:a", "u:a", "session:user:a", "x_y:a", "x-y:a", "9:a"];
    let keys = texts.map(|text| Key::parse(text).expect("these are valid"));
    for (key, number) in keys.iter().zip(1..) {
        absent(&driver, key, "a key of another prefix").await?;
        put(&driver, key, &record(number)).await?;
    }
    hold_numbered(&driver, &keys).await?;
    yes(&driver.remove(&keys[0], Condition::Any).await?, "removing one of them")?;
    absent(&driver, &keys[0], "the removed one").await?;
    put(&driver, &keys[0], &record(1)).await?;
    hold_numbered(&driver, &keys).await
}

pub(crate) async fn b12_longest_keys_differ_in_every_byte(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let prefix = Prefix::new("p".repeat(Prefix::MAX_LEN)).expect("32 letters are a prefix");
    let head = "i".repeat(Key::MAX_ID_LEN - 1);
    let keys = ["a", "b", "\0"]
        .map(|last| Key::new(&prefix, &format!("{head}{last}")).expect("255 bytes are an id"));
    put_numbered(&driver, &keys).await?;
    hold_numbered(&driver, &keys).await
}

pub(crate) async fn b13_removed_key_is_none_and_storable(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &record(1)).await?;
    put(&driver, &stage.key("two"), &record(2)).await?;
    yes(&driver.remove(&key, Condition::Any).await?, "removing a live record")?;
    absent(&driver, &key, "a removed record").await?;
    holds(&driver, &stage.key("two"), &record(2), "its neighbour").await?;
    put(&driver, &key, &record(3)).await?;
    holds(&driver, &key, &record(3), "a record stored after a removal").await
}

pub(crate) async fn b14_remove_says_whether_it_removed(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    conflict(&driver.remove(&key, Condition::Any).await?, None, "removing a record that was never stored")?;
    put(&driver, &key, &record(1)).await?;
    yes(&driver.remove(&key, Condition::Any).await?, "removing a live record")?;
    conflict(&driver.remove(&key, Condition::Any).await?, None, "removing it again")?;
    conflict(&driver.remove(&key, Condition::Any).await?, None, "and again")
}

pub(crate) async fn b15_remove_absent_removes_nothing(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    yes(&driver.remove(&key, Condition::Absent).await?, "remove when absent, of an absent record")?;
    put(&driver, &key, &record(1)).await?;
    let answer = driver.remove(&key, Condition::Absent).await?;
    conflict(&answer, Some(&record(1)), "remove when absent, of a live record")?;
    holds(&driver, &key, &record(1), "the live record").await
}

pub(crate) async fn b16_remove_at_revision_checks_it(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let at = |number| Condition::Revision(rev(number));
    conflict(&driver.remove(&key, at(1)).await?, None, "removing a revision of an absent record")?;
    put(&driver, &key, &record(1)).await?;
    put(&driver, &key, &record(2)).await?;
    conflict(&driver.remove(&key, at(1)).await?, Some(&record(2)), "removing an older revision")?;
    holds(&driver, &key, &record(2), "the newer record").await?;
    yes(&driver.remove(&key, at(2)).await?, "removing the live revision")?;
    absent(&driver, &key, "the removed record").await
}

pub(crate) async fn b17_absent_conflicts_when_live(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let answer = driver.store(&key, record(1), Condition::Absent).await?;
    yes(&answer, "a store when absent, of an absent record")?;
    holds(&driver, &key, &record(1), "the new record").await?;
    let answer = driver.store(&key, record(2), Condition::Absent).await?;
    ensure(!answer.is_applied(), "a store when absent conflicts with a live record", &answer)?;
    holds(&driver, &key, &record(1), "the record that was there first").await
}

pub(crate) async fn b18_store_at_revision_checks_it(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let at = |number| Condition::Revision(rev(number));
    put(&driver, &key, &record(1)).await?;
    let next = expiring(2, stage.later());
    yes(&driver.store(&key, next.clone(), at(1)).await?, "a store at the live revision")?;
    holds(&driver, &key, &next, "the replaced record").await?;
    let answer = driver.store(&key, record(3), at(1)).await?;
    ensure(!answer.is_applied(), "a store at an older revision conflicts", &answer)?;
    holds(&driver, &key, &next, "the record after a refused store").await
}

pub(crate) async fn b19_store_at_revision_never_creates(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let at = Condition::Revision(rev(1));
    let answer = driver.store(&key, record(2), at).await?;
    conflict(&answer, None, "a store at a revision of a record that was never stored")?;
    absent(&driver, &key, "a record that was never stored").await?;
    put(&driver, &key, &record(1)).await?;
    yes(&driver.remove(&key, Condition::Any).await?, "removing it")?;
    conflict(&driver.store(&key, record(2), at).await?, None, "a store at a revision of a removed record")?;
    absent(&driver, &key, "the removed record").await
}

pub(crate) async fn b20_conflict_returns_live_record(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let live = Record::new(sized(7, 70_000), Some(stage.later()), rev(7));
    put(&driver, &key, &live).await?;
    let absent = driver.store(&key, record(8), Condition::Absent).await?;
    conflict(&absent, Some(&live), "a store when absent")?;
    let at = driver.store(&key, record(8), Condition::Revision(rev(6))).await?;
    conflict(&at, Some(&live), "a store at another revision")
}

pub(crate) async fn b21_repeated_change_is_applied_once(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    for (what, number, when) in [
        ("a store when absent", 1, Condition::Absent),
        ("a store at a revision", 2, Condition::Revision(rev(1))),
        ("a store without a condition", 3, Condition::Any),
    ] {
        yes(&driver.store(&key, record(number), when).await?, what)?;
        yes(&driver.store(&key, record(number), when).await?, &format!("{what}, repeated"))?;
        yes(&driver.store(&key, record(number), when).await?, &format!("{what}, repeated twice"))?;
        holds(&driver, &key, &record(number), what).await?;
    }
    put(&driver, &key, &record(4)).await?;
    let late = driver.store(&key, record(2), Condition::Revision(rev(1))).await?;
    conflict(&late, Some(&record(4)), "a repetition that comes after a newer store")
}

pub(crate) async fn b22_revisions_are_compared_as_bytes(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    // Pairs that are equal in some number format: floating point, signed, text, 32 bits.
    let pairs = [
        (u64::MAX, u64::MAX - 1),
        ((1 << 53) + 1, 1 << 53),
        (1 << 63, (1 << 63) + 1),
        (0, 1 << 56),
        (0, 1 << 32),
        (0x3100_0000_0000_0000, 0x3120_0000_0000_0000),
        (0x0a0a_0a0a_0a0a_0a0a, 0x0d0a_0d0a_0d0a_0d0a),
        (0x4100_4200_0000_0000, 0x4100_4300_0000_0000),
        (0x4142_4344_4546_4748, 0x6162_6364_6566_6768),
    ];
    for (index, (one, other)) in pairs.into_iter().enumerate() {
        for (live, wrong) in [(one, other), (other, one)] {
            let key = stage.key(&format!("revision-{index}-{live}"));
            let old = Record::new(payload(1), None, rev(live));
            put(&driver, &key, &old).await?;
            let new = Record::new(payload(2), None, rev(42));
            let answer = driver.store(&key, new.clone(), Condition::Revision(rev(wrong))).await?;
            conflict(&answer, Some(&old), &format!("live {live:#018x}, expected {wrong:#018x}"))?;
            let answer = driver.store(&key, new, Condition::Revision(rev(live))).await?;
            yes(&answer, &format!("a store at the live revision {live:#018x}"))?;
        }
    }
    Ok(())
}

/// What is stored before a change: nothing, an expired record, or a live one at revision 1 or 2.
const BEFORE: [Option<(u64, bool)>; 4] = [None, Some((1, false)), Some((1, true)), Some((2, true))];

/// Each condition with each offered revision and deadline; each removal; each touch.
fn requests(later: Timestamp) -> Vec<ChangeRequest> {
    let past = Timestamp::from_millis(1);
    let conditions =
        [Condition::Any, Condition::Absent, Condition::Revision(rev(1)), Condition::Revision(rev(2))];
    let deadlines = [None, Some(later), Some(past)];
    let mut all: Vec<_> = conditions.iter().map(|&condition| ChangeRequest::Remove { condition }).collect();
    for deadline in deadlines {
        for number in 1..4 {
            let record = Record { data: payload(number + 10), expires: deadline, revision: rev(number) };
            all.extend(
                conditions
                    .iter()
                    .map(|&condition| ChangeRequest::Store { record: record.clone(), condition }),
            );
            all.extend((1..4).map(|from| ChangeRequest::Touch(touching(from, number, deadline))));
        }
    }
    all
}

pub(crate) async fn b35_changes_follow_the_decision_table(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let requests = requests(stage.later());
    let cases: Vec<_> =
        BEFORE.iter().flat_map(|before| requests.iter().map(move |request| (before, request))).collect();
    let key = |case: usize| stage.key(&format!("case-{case}"));
    let deadline = stage.soon();
    // All before any of them expires, because some drivers expire in real time.
    for (case, (before, _)) in cases.iter().enumerate() {
        match before {
            Some((number, true)) => put(&driver, &key(case), &record(*number)).await?,
            Some((number, false)) => put(&driver, &key(case), &expiring(*number, deadline)).await?,
            None => {}
        }
    }
    stage.pass(&driver, deadline).await;
    for (case, (before, request)) in cases.into_iter().enumerate() {
        let live = before.filter(|(_, live)| *live).map(|(number, _)| record(number));
        let found = match before {
            None => Found::Nothing,
            Some((_, false)) => Found::Expired,
            Some((number, true)) => Found::Live(rev(*number)),
        };
        let answer = match request.clone() {
            ChangeRequest::Store { record, condition } => driver.store(&key(case), record, condition).await?,
            ChangeRequest::Remove { condition } => driver.remove(&key(case), condition).await?,
            ChangeRequest::Touch(touch) => match driver.touch(&key(case), touch).await? {
                true => Change::Applied,
                false => Change::Conflict(live.clone()),
            },
        };
        follows_table(stage, &driver, &key(case), request, (found, live), &answer, "").await?;
    }
    Ok(())
}

/// Whether an answer and the record afterwards follow the decision table.
async fn follows_table(
    stage: &Stage,
    driver: &DynDriver,
    key: &Key,
    request: &ChangeRequest,
    (found, live): (Found, Option<Record>),
    answer: &Change,
    how: &str,
) -> Check {
    let decision = request.decide(found, stage.now());
    let place = format!("{request:?} over {found:?}{how}, which is {decision:?}");
    let expected =
        if decision == Decision::Conflict { Change::Conflict(live.clone()) } else { Change::Applied };
    equal(&format!("{place}: the answer"), answer, &expected)?;
    let after = match (decision, request) {
        (Decision::Write, ChangeRequest::Store { record, .. }) => Some(record.clone()),
        (Decision::Write, ChangeRequest::Touch(touch)) => {
            live.map(|live| Record { revision: touch.to, expires: touch.deadline, ..live })
        }
        (Decision::Delete, _) => None,
        _ => live,
    };
    let after = after.filter(|record| record.is_live(stage.now()));
    equal(&format!("{place}: the record"), &driver.retrieve(key).await?, &after)
}

pub(crate) async fn b36_retrieve_completes_at_first_poll(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let [stored, expired, absent] = ["stored", "expired", "absent"].map(|name| stage.key(name));
    put(&driver, &stored, &record(1)).await?;
    put(&driver, &expired, &expiring(2, stage.soon())).await?;
    stage.pass(&driver, stage.soon()).await;
    for handle in [driver.clone(), stage.open().await?, driver] {
        for (key, expected) in [(&stored, Some(record(1))), (&expired, None), (&absent, None)] {
            let Some(answer) = poll_once(pin!(handle.retrieve(key))) else {
                return Err(unmet("a retrieve completes at its first poll", "it was pending"));
            };
            equal("the record of a retrieve", &answer?, &expected)?;
        }
    }
    Ok(())
}

/// What is stored, what the caller claims to have loaded, and what it offers.
struct Over {
    stored: Option<Record>,
    loaded: Record,
    offered: Record,
}

fn all_over(soon: Timestamp, later: Timestamp) -> Vec<Over> {
    let past = Timestamp::from_millis(1);
    let stored = [None, Some(record(1)), Some(expiring(1, later)), Some(record(2)), Some(expiring(1, soon))];
    let other = Record { data: payload(9), ..record(1) };
    let loaded =
        [record(1), other, expiring(1, later), expiring(1, soon), expiring(1, past), record(2), record(3)];
    let offered = [record(4), expiring(4, later), expiring(4, past), record(2)];
    let mut all = Vec::new();
    for stored in &stored {
        for loaded in &loaded {
            all.extend(offered.iter().cloned().map(|offered| Over {
                stored: stored.clone(),
                loaded: loaded.clone(),
                offered,
            }));
        }
    }
    all
}

pub(crate) async fn b37_store_over_follows_the_decision_table(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let soon = stage.soon();
    let cases = all_over(soon, stage.later());
    let key = |case: usize| stage.key(&format!("case-{case}"));
    for (case, over) in cases.iter().enumerate() {
        if let Some(stored) = &over.stored {
            put(&driver, &key(case), stored).await?;
        }
    }
    stage.pass(&driver, soon).await;
    for (case, Over { stored, loaded, offered }) in cases.iter().enumerate() {
        let found = Found::of(stored.as_ref(), stage.now());
        let live = stored.clone().filter(|stored| stored.is_live(stage.now()));
        let answer = driver.store_over(&key(case), offered.clone(), loaded).await?;
        let condition = Condition::Revision(loaded.revision);
        let request = ChangeRequest::Store { record: offered.clone(), condition };
        let how = format!(" with {loaded:?} loaded");
        follows_table(stage, &driver, &key(case), &request, (found, live), &answer, &how).await?;
    }
    Ok(())
}
