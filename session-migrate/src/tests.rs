//! All orders in which the store calls of a copy and of applications can meet, with lost and late calls.

use std::sync::Arc;

use session_conformance::testing::{Fate, MapDriver, Probe, Request, Tree, block_on, full, interleave};
use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, Key, Page, Prefix, Record, Result,
    Revision, TestClock, Timestamp, Touch,
};

use crate::pair::{Found, Pair};
use crate::reservation::{real, reserve};

/// One of two stores in one map, so that one probe parks the calls of both.
#[derive(Clone)]
struct Half {
    probe: Probe<MapDriver>,
    name: &'static str,
}

impl Half {
    fn key(&self, key: &Key) -> Key {
        Key::parse(&format!("{}-{}", self.name, key.as_str())).unwrap()
    }

    fn put(&self, record: Option<Record>) {
        self.probe.inner().put(self.key(&key()), record);
    }

    fn stored(&self) -> Option<Record> {
        self.probe.inner().stored(&self.key(&key()))
    }
}

impl Driver for Half {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.probe.retrieve(&self.key(key)).await
    }
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.probe.store(&self.key(key), record, condition).await
    }
    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.probe.remove(&self.key(key), condition).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.probe.touch(&self.key(key), touch).await
    }
    async fn traverse(&self, _: &Prefix, _: Cursor, _: usize) -> Result<Page> {
        Ok(Page::last(Vec::new()))
    }
    fn capabilities(&self) -> Capabilities {
        self.probe.capabilities()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.probe.clock()
    }
}

/// What one party does, in order.
type Program = &'static [Act];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Copy,
    Keep,
    /// A copy without a reservation, to show that the walk finds what it brings back.
    CopyNaively,
    Retrieve,
    Store(When),
    StoreOver,
    Remove(When),
    Touch,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Any,
    Absent,
    AtFirst,
}

impl When {
    fn condition(self) -> Condition {
        match self {
            Self::Any => Condition::Any,
            Self::Absent => Condition::Absent,
            Self::AtFirst => Condition::Revision(revision(1)),
        }
    }
}

/// The first program of each pair, and the second. Each has its own revisions.
const PROGRAMS: &[Program] = &[
    &[Act::Copy],
    &[Act::Keep],
    &[Act::Copy, Act::Copy],
    &[Act::Retrieve, Act::Retrieve],
    &[Act::Remove(When::Any), Act::Retrieve],
    &[Act::Remove(When::AtFirst), Act::Store(When::Absent)],
    &[Act::Store(When::AtFirst), Act::Remove(When::Any)],
    &[Act::Store(When::Any), Act::Retrieve],
    &[Act::Store(When::Absent)],
    &[Act::StoreOver, Act::Retrieve],
    &[Act::Touch, Act::Retrieve],
    &[Act::End, Act::Retrieve],
    &[Act::Remove(When::Absent)],
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    Read(Option<Record>),
    Changed(Change),
    Touched(bool),
    /// An error that leaves open whether the change was made.
    Unknown,
}

/// How the stores are at the beginning: the record of the old store, and of the new one.
#[derive(Clone, Copy, Debug)]
enum Start {
    OnlyOld,
    /// A mover died after its reservation.
    Reserved,
    /// A mover died before it cleaned, or the copy keeps the originals.
    Both,
    Moved,
    /// A mover reserved the key of a record that has gone.
    OnlyReserved,
    Empty,
}

const STARTS: [Start; 6] =
    [Start::OnlyOld, Start::Reserved, Start::Both, Start::Moved, Start::OnlyReserved, Start::Empty];

fn key() -> Key {
    Key::parse("session:one").unwrap()
}

fn revision(number: u8) -> Revision {
    Revision::from_bytes([number; 8])
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_000_000)
}

fn record(number: u8) -> Record {
    Record::new(vec![number; 3], Some(Timestamp::from_millis(2_000_000)), revision(number))
}

/// The change that an act asks for. `own` is a number that no other act of the run has.
fn request(act: Act, own: u8) -> Option<ChangeRequest> {
    Some(match act {
        Act::Copy | Act::Keep | Act::CopyNaively | Act::Retrieve => return None,
        Act::Store(when) => ChangeRequest::Store { record: record(own), condition: when.condition() },
        Act::StoreOver => {
            ChangeRequest::Store { record: record(own), condition: Condition::Revision(revision(1)) }
        }
        Act::Remove(when) => ChangeRequest::Remove { condition: when.condition() },
        Act::Touch => ChangeRequest::Touch(Touch { from: revision(1), to: revision(own), deadline: None }),
        // A store of an expired record ends the session (E08).
        Act::End => ChangeRequest::Store {
            record: Record { expires: Some(now()), ..record(own) },
            condition: Condition::Revision(revision(1)),
        },
    })
}

async fn act(pair: &Pair<'_, Half, Half>, act: Act, own: u8) -> Result<Answer> {
    let key = key();
    let sided = |failed: crate::error::SidedError| failed.error;
    Ok(match (act, request(act, own)) {
        (Act::Copy, _) => match pair.fill(&key).await.map_err(sided)? {
            Found::Nothing => Answer::Nothing,
            Found::Copied(old) | Found::Present { old, .. } => {
                let _ = pair.confirm_and_clean(&key, &old).await.map_err(sided)?;
                Answer::Nothing
            }
        },
        (Act::CopyNaively, _) => {
            if let Some(old) = pair.old.retrieve(&key).await? {
                let _ = pair.new.store(&key, old.clone(), Condition::Absent).await?;
                let _ = pair.old.remove(&key, Condition::Revision(old.revision)).await?;
            }
            Answer::Nothing
        }
        (Act::Keep, _) => pair.fill(&key).await.map(|_| Answer::Nothing).map_err(sided)?,
        (Act::StoreOver, _) => Answer::Changed(pair.store_over(&key, record(own), &record(1)).await?),
        (_, None) => Answer::Read(pair.retrieve(&key).await?),
        (_, Some(ChangeRequest::Store { record, condition })) => {
            Answer::Changed(pair.store(&key, record, condition).await?)
        }
        (_, Some(ChangeRequest::Remove { condition })) => {
            Answer::Changed(pair.remove(&key, condition).await?)
        }
        (_, Some(ChangeRequest::Touch(touch))) => Answer::Touched(pair.touch(&key, touch).await?),
    })
}

async fn run(pair: &Pair<'_, Half, Half>, program: Program, slot: u8) -> Vec<Answer> {
    let mut answers = Vec::new();
    for (number, step) in program.iter().enumerate() {
        let answer = act(pair, *step, 10 * (slot + 1) + number as u8).await;
        answers.push(answer.unwrap_or(Answer::Unknown));
    }
    answers
}

/// Whether some order of all acts, which keeps the order within each program, explains all answers and the end.
fn is_explained(
    state: Option<&Record>,
    programs: &[Program],
    at: &mut Vec<usize>,
    answers: &[Vec<Answer>],
    end: Option<&Record>,
) -> bool {
    if at.iter().zip(programs).all(|(at, program)| *at == program.len()) {
        return state == end;
    }
    for slot in 0..programs.len() {
        let number = at[slot];
        let Some(step) = programs[slot].get(number) else { continue };
        let answer = &answers[slot][number];
        let (model, key) = (MapDriver::new(TestClock::new(now())), key());
        model.put(key.clone(), state.cloned());
        let own = 10 * (slot as u8 + 1) + number as u8;
        let expected = match request(*step, own) {
            None if *step == Act::Retrieve => Answer::Read(state.cloned()),
            None => Answer::Nothing,
            Some(change @ ChangeRequest::Touch(_)) => {
                Answer::Touched(model.change(&key, change).unwrap().is_applied())
            }
            Some(change) => Answer::Changed(model.change(&key, change).unwrap()),
        };
        at[slot] += 1;
        let after = model.stored(&key);
        let made = (*answer == expected || *answer == Answer::Unknown)
            && is_explained(after.as_ref(), programs, at, answers, end);
        let lost = *answer == Answer::Unknown && is_explained(state, programs, at, answers, end);
        at[slot] -= 1;
        if made || lost {
            return true;
        }
    }
    false
}

/// Walks all orders of the programs, and returns how many orders and changes there were, or the first wrong order.
async fn walk(
    start: Start,
    programs: &[Program],
    fate: Option<(usize, Fate)>,
) -> std::result::Result<(usize, usize), String> {
    let probe = Probe::new(MapDriver::new(TestClock::new(now())));
    let (old, new) = (Half { probe: probe.clone(), name: "old" }, Half { probe: probe.clone(), name: "new" });
    let pair = Pair { old: &old, new: &new };
    let (mut tree, mut changes) = (Tree::new(), 0);
    while tree.again() {
        let reservation = || Some(reserve(now()).unwrap());
        let (in_old, in_new) = match start {
            Start::OnlyOld => (Some(record(1)), None),
            Start::Reserved => (Some(record(1)), reservation()),
            Start::Both => (Some(record(1)), Some(record(1))),
            Start::Moved => (None, Some(record(1))),
            Start::OnlyReserved => (None, reservation()),
            Start::Empty => (None, None),
        };
        let begin = real(in_new.clone()).or_else(|| in_old.clone());
        old.put(in_old);
        new.put(in_new);
        probe.close_gates();
        probe.set_fate(fate.map_or(usize::MAX, |(number, _)| number), fate.map_or(Fate::Late, |f| f.1));
        let parties = programs.iter().enumerate();
        let parties = parties
            .map(|(slot, program)| Box::pin(run(&pair, program, slot as u8)) as Request<'_, Vec<Answer>>);
        let answers = interleave(&probe, &mut tree, parties.collect()).await.unwrap();
        changes = changes.max(probe.changes());
        probe.open_gates();
        let end = pair.retrieve(&key()).await.unwrap();
        let order = || format!("{start:?} {programs:?} {fate:?} order {:?}: {answers:?}", tree.choices());
        let lost = answers.iter().flatten().any(|answer| *answer == Answer::Unknown);
        if lost && fate.is_none() {
            return Err(format!("a call failed: {}", order()));
        }
        let mut at = vec![0; programs.len()];
        if !is_explained(begin.as_ref(), programs, &mut at, &answers, end.as_ref()) {
            return Err(format!("no order explains the answers and the end {end:?}: {}", order()));
        }
        // A last copy changes nothing, and leaves the record in the new store alone.
        let _ = act(&pair, Act::Copy, 0).await.unwrap();
        if (old.stored(), real(new.stored())) != (None, end) {
            return Err(format!("the last copy changed something: {}", order()));
        }
    }
    Ok((tree.runs(), changes))
}

/// The starts of the short runs. The long ones try all.
fn starts() -> &'static [Start] {
    if full() { &STARTS } else { &[Start::OnlyOld, Start::Both, Start::OnlyReserved] }
}

#[test]
fn every_order_of_two_parties_is_linearizable() {
    block_on(async {
        let mut orders = 0;
        for start in starts() {
            for (number, first) in PROGRAMS.iter().enumerate() {
                for second in &PROGRAMS[number..] {
                    // Two programs of two changes meet in up to 200,000 orders.
                    if full() || first.len() + second.len() < 4 {
                        orders += walk(*start, &[first, second], None).await.unwrap().0;
                    }
                }
            }
        }
        assert!(orders > 20_000, "walked {orders} orders");
    });
}

#[test]
fn lost_and_late_calls_lose_and_revive_nothing() {
    // One act for each party: a late call may take effect after later acts of its party.
    let acts: [Program; 6] = [
        &[Act::Copy],
        &[Act::Remove(When::Any)],
        &[Act::Store(When::AtFirst)],
        &[Act::Store(When::Absent)],
        &[Act::Touch],
        &[Act::End],
    ];
    let others = if full() { &acts[..] } else { &acts[..2] };
    block_on(async {
        let mut orders = 0;
        for start in starts() {
            for first in &acts {
                for second in others {
                    let (_, changes) = walk(*start, &[first, second], None).await.unwrap();
                    for which in 0..changes {
                        for fate in [Fate::AnswerLost, Fate::RequestLost, Fate::Late] {
                            orders += walk(*start, &[first, second], Some((which, fate))).await.unwrap().0;
                        }
                    }
                }
            }
        }
        assert!(orders > 20_000, "walked {orders} orders");
    });
}

#[test]
fn every_order_of_three_parties_is_linearizable() {
    let triples: &[[Program; 3]] = &[
        [&[Act::Copy], &[Act::Retrieve], &[Act::Retrieve]],
        [&[Act::Copy], &[Act::Copy], &[Act::Retrieve]],
        [&[Act::Keep], &[Act::Store(When::AtFirst)], &[Act::Retrieve]],
        [&[Act::Copy], &[Act::Remove(When::Any)], &[Act::Retrieve]],
        [&[Act::Copy], &[Act::Copy], &[Act::Remove(When::Any)]],
        [&[Act::Remove(When::AtFirst)], &[Act::Store(When::AtFirst)], &[Act::Copy]],
    ];
    let triples = if full() { triples } else { &triples[..2] };
    block_on(async {
        let mut orders = 0;
        for start in starts() {
            for triple in triples {
                orders += walk(*start, triple, None).await.unwrap().0;
            }
        }
        assert!(orders > 2_000, "walked {orders} orders");
    });
}

#[test]
fn copy_without_reservation_is_found_to_revive() {
    block_on(async {
        let found = walk(Start::OnlyOld, &[&[Act::CopyNaively], &[Act::Remove(When::Any)]], None).await;
        assert!(found.is_err_and(|text| text.contains("no order explains")));
    });
}
