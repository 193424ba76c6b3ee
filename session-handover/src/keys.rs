//! Keys of maps that stand twice.
#![allow(dead_code, reason = "each format uses a part")]

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::Value;

/// A key that stands twice keeps its place and its last value. Keys are integers and text.
pub(crate) fn last_of_each<T>(entries: Vec<(Value, T)>) -> Vec<(Value, T)> {
    if entries.len() < 2 {
        return entries;
    }
    let mut places: HashMap<_, usize> = HashMap::with_capacity(entries.len());
    let mut kept: Vec<(Value, T)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let place = match &key {
            Value::Int(number) => (0, number.to_le_bytes().to_vec()),
            Value::Text(text) => (1, text.as_bytes().to_vec()),
            Value::Bytes(bytes) => (1, bytes.clone()),
            Value::Utf16(units) => (2, units.iter().flat_map(|unit| unit.to_le_bytes()).collect()),
            _ => (3, Vec::new()),
        };
        match places.entry(place) {
            Entry::Occupied(at) => kept[*at.get()].1 = value,
            Entry::Vacant(free) => {
                free.insert(kept.len());
                kept.push((key, value));
            }
        }
    }
    kept
}
