//! A session without the keys that have ended.

use std::collections::HashMap;

use crate::{Object, Value};

/// Removes keys. What a removed value shares with the rest of the session stays there.
pub(crate) fn without(mut session: Value, is_gone: impl Fn(&str) -> bool) -> Value {
    let mut map = &mut session;
    while let Value::Shared(_, of) = map {
        map = of;
    }
    let Value::Map(entries) = map else { return session };
    let gone = |(key, _): &mut (Value, Value)| matches!(key, Value::Text(key) if is_gone(key));
    let removed: Vec<_> = entries.extract_if(.., gone).collect();
    let mut shared = HashMap::new();
    removed.into_iter().for_each(|(_, value)| take_shared(value, &mut shared));
    if !shared.is_empty() {
        put_back(&mut session, &mut shared);
    }
    session
}

/// Collects the values that have a name, each with the names of others in it.
fn take_shared(mut value: Value, shared: &mut HashMap<u32, Value>) {
    match value {
        Value::Shared(name, of) => {
            let mut of = *of;
            cut(&mut of, shared);
            shared.insert(name, of);
        }
        _ => cut(&mut value, shared),
    }
}

/// Replaces the values inside this one that have a name by their names.
fn cut(value: &mut Value, shared: &mut HashMap<u32, Value>) {
    each_part(value, &mut |part| {
        if let Value::Shared(name, _) = part {
            let name = *name;
            take_shared(std::mem::replace(part, Value::Same(name)), shared);
        } else {
            cut(part, shared);
        }
    });
}

/// The first place in which a name of a removed value stands gets the value.
fn put_back(value: &mut Value, shared: &mut HashMap<u32, Value>) {
    if let Value::Same(name) = value
        && let Some(of) = shared.remove(name)
    {
        *value = Value::Shared(*name, Box::new(of));
    }
    each_part(value, &mut |part| put_back(part, shared));
}

fn each_part(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => items.iter_mut().for_each(visit),
        Value::Map(entries) => each_entry(entries, visit),
        Value::MapWithDefault(entries, default) => {
            each_entry(entries, visit);
            visit(default);
        }
        Value::Ref(of) | Value::Shared(_, of) => visit(of),
        Value::Object(object) => match &mut object.1 {
            Object::Fields(entries) => each_entry(entries, visit),
            Object::Items(items) | Object::Hook { refs: items, .. } => items.iter_mut().for_each(visit),
            Object::Value(of) => visit(of),
            Object::Raw(_) => {}
        },
        _ => {}
    }
}

fn each_entry(entries: &mut [(Value, Value)], visit: &mut dyn FnMut(&mut Value)) {
    for (key, value) in entries {
        visit(key);
        visit(value);
    }
}
