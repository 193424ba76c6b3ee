//! Whether a recorded history has an explanation: an order of its operations, each between its begin and its end, in
//! which one plain record would have given the same answers.
//!
//! This is the search of Wing and Gong with the memory of Lowe: a set of operations that led to a state without
//! success once is not tried again. Keys do not influence each other, so that each has a history of its own.

use std::collections::HashSet;
use std::fmt::Write as _;

use session_core::{Decision, Found, Touch, decide_remove, decide_store, decide_touch};

use crate::common::rev;
use crate::failure::{Check, unmet};
use crate::history::{Answer, Call, Op, Rec, When};

/// Fails, with the smallest bad history, unless the calls of every key can be explained. `initial` is what was under
/// each key before the first call.
pub(crate) fn check(initial: &[Option<Rec>], calls: &[Call]) -> Check {
    for (key, &before) in initial.iter().enumerate() {
        let mut own: Vec<Call> = calls.iter().copied().filter(|call| call.key == key).collect();
        own.retain(|call| call.answer != Answer::Refused);
        if !explainable(before, &mut own) {
            let (before, small) = shrink(before, own);
            let (count, shown) = (small.len(), show(before, &small));
            let actual = format!("no order explains these {count} calls of key {key}:\n{shown}");
            return Err(unmet("some order of the operations explains the answers", actual));
        }
    }
    Ok(())
}

fn explainable(initial: Option<Rec>, calls: &mut [Call]) -> bool {
    !ends(initial, calls, true).is_empty()
}

/// The possible states after the calls: one per explanation, or only the first.
fn ends(initial: Option<Rec>, calls: &mut [Call], first: bool) -> HashSet<Option<Rec>> {
    calls.sort_by_key(|call| call.start);
    let mut done = vec![false; calls.len()];
    let mut state = initial;
    let mut path: Vec<(usize, Option<Rec>)> = Vec::new();
    let mut tried: HashSet<(Vec<bool>, Option<Rec>)> = HashSet::new();
    let mut found = HashSet::new();
    let mut from = 0;
    loop {
        // An operation may be next if it started before all remaining ones ended.
        let remaining = calls.iter().zip(&done).filter(|(_, done)| !**done);
        let first_end = remaining.filter_map(|(call, _)| call.end).min().unwrap_or(u64::MAX);
        if first_end == u64::MAX {
            found.insert(state);
            if first {
                return found;
            }
        }
        let next =
            (from..calls.len()).take_while(|&index| calls[index].start <= first_end).find_map(|index| {
                if done[index] {
                    return None;
                }
                let after = step(state, &calls[index])?;
                done[index] = true;
                if tried.insert((done.clone(), after)) {
                    return Some((index, after));
                }
                done[index] = false;
                None
            });
        if let Some((index, after)) = next {
            path.push((index, state));
            state = after;
            from = 0;
        } else if let Some((index, before)) = path.pop() {
            done[index] = false;
            state = before;
            from = index + 1;
        } else {
            return found;
        }
    }
}

/// The state after `call`, if its answer fits `state`. A call without an answer fits any.
fn step(state: Option<Rec>, call: &Call) -> Option<Option<Rec>> {
    let (after, answer) = apply(state, call.op);
    (call.answer == answer || call.answer == Answer::Unknown).then_some(after)
}

/// The specification of one record: session-core's rule.
fn apply(state: Option<Rec>, op: Op) -> (Option<Rec>, Answer) {
    let found = state.map_or(Found::Nothing, |rec| Found::Live(rev(rec.revision)));
    let (decision, after, refused) = match op {
        Op::Retrieve => return (state, Answer::Found(state)),
        Op::Store(rec, when) => {
            let decision = decide_store(found, when.condition(), rev(rec.revision), true);
            (decision, Some(rec), Answer::Conflict(state))
        }
        Op::Remove(when) => (decide_remove(found, when.condition()), None, Answer::Conflict(state)),
        Op::Touch { from, to, deadline } => {
            let touch = Touch { from: rev(from), to: rev(to), deadline: None };
            let after = state.map(|rec| Rec { revision: to, expires: deadline, ..rec });
            (decide_touch(found, touch), after, Answer::Touched(false))
        }
    };
    let done = if matches!(op, Op::Touch { .. }) { Answer::Touched(true) } else { Answer::Yes };
    match decision {
        Decision::Write | Decision::Delete => (after, done),
        Decision::AlreadyApplied | Decision::AlreadyAbsent => (state, done),
        Decision::Conflict | Decision::Corrupt => (state, refused),
    }
}

/// A smaller history that still has no explanation, and the state before it. It leaves out all calls after some moment
/// (calls in progress then count as unanswered), all calls before an idle moment with only one possible state, and calls
/// that changed nothing.
fn shrink(initial: Option<Rec>, mut calls: Vec<Call>) -> (Option<Rec>, Vec<Call>) {
    let mut moments: Vec<u64> = calls.iter().filter_map(|call| call.end).collect();
    moments.sort_unstable();
    // The shortest bad prefix: once a prefix is bad, every longer one is.
    let at = moments.partition_point(|&end| explainable(initial, &mut prefix(&calls, end)));
    if let Some(&end) = moments.get(at) {
        calls = prefix(&calls, end);
    }
    let mut before = initial;
    for &moment in moments[..at.min(moments.len())].iter().rev() {
        let (mut earlier, later): (Vec<Call>, Vec<Call>) =
            calls.iter().partition(|call| call.start <= moment);
        if earlier.iter().any(|call| call.end.is_none_or(|end| end > moment)) {
            continue;
        }
        let states = ends(initial, &mut earlier, false);
        if let (1, Some(&state)) = (states.len(), states.iter().next()) {
            (before, calls) = (state, later);
            break;
        }
    }
    let mut index = 0;
    while index < calls.len() {
        let mut fewer = calls.clone();
        let call = fewer.remove(index);
        let changed = !matches!(call.answer, Answer::Found(_) | Answer::Conflict(_) | Answer::Touched(false));
        let harmless = !changed || call.end.is_none();
        if harmless && !explainable(before, &mut fewer.clone()) {
            calls = fewer;
        } else {
            index += 1;
        }
    }
    (before, calls)
}

fn prefix(calls: &[Call], until: u64) -> Vec<Call> {
    let begun = calls.iter().filter(|call| call.start <= until);
    let cut = |call: &Call| match call.end {
        Some(end) if end > until => Call { end: None, answer: Answer::Unknown, ..*call },
        _ => *call,
    };
    begun.map(cut).collect()
}

fn show(initial: Option<Rec>, calls: &[Call]) -> String {
    let begin = calls.iter().map(|call| call.start).min().unwrap_or(0);
    let mut text = format!("    initially: {}\n", show_rec(initial));
    for call in calls {
        let start = (call.start - begin) / 1_000;
        let end = call.end.map_or("…".into(), |end| ((end - begin) / 1_000).to_string());
        let op = match call.op {
            Op::Retrieve => "retrieve".to_owned(),
            Op::Store(rec, when) => format!("store {} when {}", show_rec(Some(rec)), show_when(when)),
            Op::Remove(when) => format!("remove when {}", show_when(when)),
            Op::Touch { from, to, .. } => format!("touch from {} to {}", short(from), short(to)),
        };
        let answer = match call.answer {
            Answer::Found(found) => show_rec(found),
            Answer::Conflict(live) => format!("Conflict({})", show_rec(live)),
            Answer::Touched(done) => done.to_string(),
            other => format!("{other:?}"),
        };
        let _ = writeln!(text, "    {start:>8} to {end:>8} us  {op} -> {answer}");
    }
    text
}

fn show_rec(rec: Option<Rec>) -> String {
    rec.map_or("nothing".into(), |rec| {
        let data =
            if rec.data == rec.revision { String::new() } else { format!(" data {}", short(rec.data)) };
        format!("<{}{data}>", short(rec.revision))
    })
}

fn show_when(when: When) -> String {
    match when {
        When::Any => "any".into(),
        When::Absent => "absent".into(),
        When::Revision(number) => short(number),
    }
}

/// Enough of a random number for a person to tell it from the others.
fn short(number: u64) -> String {
    format!("{:06x}", number >> 40)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn rec(number: u64) -> Rec {
        Rec { revision: number << 40, data: number << 40, expires: None }
    }

    fn call(op: Op, start: u64, end: u64, answer: Answer) -> Call {
        let end = (end > 0).then_some(end);
        Call { id: start, key: 0, op, start, end, answer }
    }

    fn store(number: u64, start: u64, end: u64) -> Call {
        let answer = if end > 0 { Answer::Yes } else { Answer::Unknown };
        call(Op::Store(rec(number), When::Any), start, end, answer)
    }

    fn read(found: Option<u64>, start: u64, end: u64) -> Call {
        call(Op::Retrieve, start, end, Answer::Found(found.map(rec)))
    }

    fn good(calls: &[Call]) -> bool {
        check(&[None], calls).is_ok()
    }

    #[test]
    fn overlapping_reads_never_go_back() {
        assert!(good(&[store(1, 0, 10), store(2, 20, 60), read(Some(1), 30, 40), read(Some(2), 45, 50)]));
        assert!(!good(&[store(1, 0, 10), store(2, 20, 60), read(Some(2), 30, 40), read(Some(1), 45, 50)]));
    }

    #[test]
    fn read_after_store_sees_it() {
        assert!(!good(&[store(1, 0, 10), store(2, 20, 30), read(Some(1), 40, 50)]));
        assert!(!good(&[store(1, 0, 10), read(None, 11, 12)]));
    }

    #[test]
    fn unanswered_call_may_happen_late_or_never() {
        assert!(good(&[store(1, 0, 10), store(2, 20, 0), read(Some(1), 40, 50), read(Some(2), 60, 70)]));
        assert!(good(&[store(1, 0, 10), store(2, 20, 0), read(Some(1), 40, 50)]));
        assert!(!good(&[store(1, 0, 10), store(2, 20, 0), read(Some(2), 40, 50), read(Some(1), 60, 70)]));
    }

    #[test]
    fn compare_and_swap_has_one_winner() {
        let swap = |to, start, end, answer| {
            call(Op::Store(rec(to), When::Revision(rec(1).revision)), start, end, answer)
        };
        let lost = Answer::Conflict(Some(rec(2)));
        assert!(good(&[store(1, 0, 5), swap(2, 10, 30, Answer::Yes), swap(3, 10, 30, lost)]));
        assert!(!good(&[store(1, 0, 5), swap(2, 10, 30, Answer::Yes), swap(3, 10, 30, Answer::Yes)]));
    }

    #[test]
    fn failure_shows_the_smallest_bad_history() {
        let mut calls: Vec<Call> = (0..40).map(|n| store(n + 1, n * 10, n * 10 + 5)).collect();
        calls.extend((0..40).map(|n| read(Some(n + 1), n * 10 + 6, n * 10 + 8)));
        calls.push(read(Some(7), 404, 405));
        calls.push(read(Some(8), 406, 407));
        let Err(Failure::Unmet { actual, .. }) = check(&[None], &calls) else { panic!("it is bad") };
        // Reads of 7 and 8 overlap nothing: the first of them is wrong, for 40 was stored last.
        assert!(actual.contains("these 1 calls of key 0"), "{actual}");
        assert!(
            actual.contains("initially: <000028>") && actual.contains("retrieve -> <000007>"),
            "{actual}"
        );
    }
}
