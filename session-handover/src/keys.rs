//! Keys of maps that stand twice.
#![allow(dead_code, reason = "each format uses a part")]

use std::collections::{HashMap, HashSet};

use crate::Value;

/// A key that stands twice keeps its place and its last value. Keys are integers and text.
pub(crate) fn last_of_each<T>(entries: Vec<(Value, T)>) -> Vec<(Value, T)> {
    // Few maps have such a key, so nothing is moved before one is found.
    let repeated = if entries.len() <= FEW {
        repeats(&entries)
    } else {
        let mut met = HashSet::with_capacity(entries.len());
        !entries.iter().all(|(key, _)| met.insert(place(key)))
    };
    if !repeated {
        return entries;
    }
    let mut last = HashMap::with_capacity(entries.len());
    for (at, (key, _)) in entries.iter().enumerate() {
        last.insert(place(key), at);
    }
    // The first place of each key, and the place of its last value.
    let mut met = HashSet::with_capacity(entries.len());
    let places: Vec<_> =
        entries.iter().map(|(key, _)| (met.insert(place(key)), last.get(&place(key)).copied())).collect();
    let (keys, values): (Vec<_>, Vec<_>) = entries.into_iter().map(|(key, value)| (key, Some(value))).unzip();
    let mut values = values;
    keys.into_iter()
        .zip(places)
        .filter(|(_, (first, _))| *first)
        .filter_map(|(key, (_, last))| Some((key, values.get_mut(last?)?.take()?)))
        .collect()
}

/// Maps of more entries are checked with a table.
const FEW: usize = 16;

/// Whether one of a few keys stands twice. Their prints are compared first: those of most keys differ.
fn repeats<T>(entries: &[(Value, T)]) -> bool {
    let mut prints = [0_u64; FEW];
    for (at, (key, _)) in entries.iter().enumerate().take(FEW) {
        let print = print(key);
        if prints[..at].contains(&print) && entries[..at].iter().any(|(other, _)| place(other) == place(key))
        {
            return true;
        }
        prints[at] = print;
    }
    false
}

/// A number that equal keys share.
fn print(key: &Value) -> u64 {
    let bytes = match place(key) {
        Place::Int(number) => return number.unsigned_abs(),
        Place::Text(bytes) => bytes,
        Place::Utf16(_) | Place::Other => return 0,
    };
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => bytes.iter().fold(1, |print, &byte| print << 8 | u64::from(byte)),
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Place<'k> {
    Int(i64),
    Text(&'k [u8]),
    Utf16(&'k [u16]),
    Other,
}

fn place(key: &Value) -> Place<'_> {
    match key {
        Value::Int(number) => Place::Int(*number),
        Value::Text(text) => Place::Text(text.as_bytes()),
        Value::Bytes(bytes) => Place::Text(bytes),
        Value::Utf16(units) => Place::Utf16(units),
        _ => Place::Other,
    }
}
