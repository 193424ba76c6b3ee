//! Keys of maps that stand twice.
#![allow(dead_code, reason = "each format uses a part")]

use std::collections::{HashMap, HashSet};

use crate::Value;

/// A key that stands twice keeps its place and its last value. Keys are integers and text.
pub(crate) fn last_of_each<T>(entries: Vec<(Value, T)>) -> Vec<(Value, T)> {
    // Few maps have such a key, so nothing is moved before one is found.
    let repeated = if entries.len() <= 16 {
        let mut places = [const { Place::Other }; 16];
        places.iter_mut().zip(&entries).for_each(|(place_of, (key, _))| *place_of = place(key));
        (1..entries.len()).any(|at| places[..at].contains(&places[at]))
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
