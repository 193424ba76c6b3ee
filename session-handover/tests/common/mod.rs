//! Samples and their notation: see `samples/README.md`.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde_json::Value as Json;
use session_handover::{Object, Value};

/// A sample and what is known about it.
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    pub(crate) path: PathBuf,
    pub(crate) about: Json,
}

impl Sample {
    pub(crate) fn named(system: &str, name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(system);
        let about = std::fs::read(folder.join(format!("{name}.json"))).expect("a sample's description");
        let about: Json = serde_json::from_slice(&about).expect("JSON");
        let path = folder.join(about["file"].as_str().expect("the name of the sample"));
        Self::with(path, about)
    }

    fn with(path: PathBuf, about: Json) -> Self {
        Self { bytes: std::fs::read(&path).expect("a sample"), path, about }
    }

    pub(crate) fn expect(&self) -> &Json {
        &self.about["expect"]
    }

    pub(crate) fn secrets(&self) -> Vec<String> {
        let secret = &self.about["secret"];
        let text = |value: &Json| value.as_str().expect("a secret").to_owned();
        match secret {
            Json::Object(map) => map
                .values()
                .flat_map(|value| match value {
                    Json::Array(items) => items.iter().map(text).collect(),
                    value => vec![text(value)],
                })
                .collect(),
            value => vec![text(value)],
        }
    }

    pub(crate) fn check(&self, value: &Value) {
        same(self.expect(), value);
    }
}

/// Fails where a value is not what the notation says.
pub(crate) fn same(expect: &Json, value: &Value) {
    let mut compare = Compare::default();
    compare.collect_expected(expect);
    compare.collect(value);
    if let Err(error) = compare.compare(expect, value, "") {
        panic!("{error}\nexpected {expect:#}\ndecoded {value:#?}");
    }
}

#[derive(Default)]
struct Compare<'v> {
    expected: HashMap<i64, &'v Json>,
    shared: HashMap<u32, &'v Value>,
    met: HashSet<(*const Json, *const Value)>,
}

impl<'v> Compare<'v> {
    fn collect_expected(&mut self, json: &'v Json) {
        match json {
            Json::Object(map) => {
                if let (Some(id), Some(of)) = (map.get("$id").and_then(Json::as_i64), map.get("of")) {
                    self.expected.insert(id, of);
                }
                map.values().for_each(|value| self.collect_expected(value));
            }
            Json::Array(items) => items.iter().for_each(|value| self.collect_expected(value)),
            _ => {}
        }
    }

    fn collect(&mut self, value: &'v Value) {
        if let Value::Shared(id, of) = value {
            self.shared.insert(*id, of);
        }
        children(value, &mut |child| self.collect(child));
    }

    fn compare(&mut self, json: &'v Json, value: &'v Value, at: &str) -> Result<(), String> {
        let (mut json, mut value) = (json, value);
        if let Json::Object(map) = json {
            if let Some(of) = map.get("of").filter(|_| map.contains_key("$id")) {
                json = of;
            } else if let Some(id) = map.get("$same").and_then(Json::as_i64) {
                json = self.expected[&id];
            }
        }
        match value {
            Value::Shared(_, of) => value = of,
            Value::Same(id) => value = self.shared.get(id).ok_or("a name that stands nowhere")?,
            _ => {}
        }
        if !self.met.insert((json, value)) {
            return Ok(());
        }
        let wrong = || Err(format!("{at}: expected {json}, decoded {value:?}"));
        let check = |ok: bool| if ok { Ok(()) } else { wrong() };
        if let Json::Object(map) = json
            && let Some((tag, content)) = map.iter().next()
            && tag.starts_with('$')
        {
            let text = content.as_str().unwrap_or_default();
            return match (tag.as_str(), value) {
                ("$float", Value::Float(number)) => check(match text {
                    "nan" => number.is_nan(),
                    _ => text.parse::<f64>().expect("a well-formed sample").to_bits() == number.to_bits(),
                }),
                ("$int", Value::BigInt(digits)) => check(text == digits),
                ("$bytes", Value::Bytes(bytes)) => {
                    check(text == bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
                }
                ("$text", Value::Encoded { text: decoded, encoding }) => {
                    check(*text == **decoded && map["encoding"] == **encoding)
                }
                ("$symbol", Value::Symbol(name))
                | ("$class", Value::Class(name))
                | ("$opaque", Value::Opaque(name))
                | ("$time", Value::Time(name))
                | ("$time", Value::TimeOfDay(name))
                | ("$uuid", Value::Uuid(name))
                | ("$date", Value::Date(name))
                | ("$datetime", Value::DateTime(name))
                | ("$decimal", Value::Decimal(name))
                | ("$markup", Value::Markup(name)) => check(text == name),
                ("$regex", Value::Regex { pattern, flags }) => {
                    check(*text == **pattern && map["flags"] == **flags)
                }
                ("$enum", Value::Enum { class, case }) => check(*text == **class && map["case"] == **case),
                ("$ref", Value::Ref(of)) => self.compare(content, of, &format!("{at}/ref")),
                ("$map", value) => {
                    let entries = match value {
                        Value::Map(entries) if !map.contains_key("default") => entries,
                        Value::MapWithDefault(entries, default) => {
                            self.compare(&map["default"], default, &format!("{at}/default"))?;
                            entries
                        }
                        _ => return wrong(),
                    };
                    self.pairs(content, entries, at)
                }
                ("$utf16", Value::Utf16(units)) => {
                    check(text == units.iter().map(|unit| format!("{unit:04x}")).collect::<String>())
                }
                ("$set", Value::Set(items)) | ("$tuple", Value::Tuple(items)) => {
                    self.list(content, items, at)
                }
                ("$object", Value::Object(object)) => {
                    check(object.0 == text)?;
                    match (
                        &object.1,
                        &map.get("fields"),
                        map.get("items"),
                        map.get("value"),
                        map.get("hook"),
                        map.get("raw"),
                    ) {
                        (Object::Fields(entries), Some(fields), ..) => match fields.get("$map") {
                            Some(pairs) => self.pairs(pairs, entries, at),
                            None => self.map(fields, entries, at),
                        },
                        (Object::Raw(bytes), .., Some(raw)) => {
                            check(raw.as_str().expect("a well-formed sample").as_bytes() == bytes)
                        }
                        (Object::Items(items), _, Some(expect), ..) => self.list(expect, items, at),
                        (Object::Value(value), _, _, Some(expect), ..) => {
                            self.compare(expect, value, &format!("{at}/of"))
                        }
                        (Object::Hook { frozen, refs }, _, _, _, Some(hook), _) => {
                            check(
                                hook["frozen"].as_str().expect("a well-formed sample").as_bytes() == frozen,
                            )?;
                            self.list(&hook["refs"], refs, at)
                        }
                        _ => wrong(),
                    }
                }
                _ => wrong(),
            };
        }
        match (json, value) {
            (Json::Null, Value::Null) => Ok(()),
            (Json::Bool(expect), Value::Bool(truth)) => check(expect == truth),
            (Json::Number(expect), Value::Int(number)) => check(expect.as_i64() == Some(*number)),
            (Json::String(expect), Value::Text(text)) => check(expect == text),
            (Json::Array(_), Value::List(items)) => self.list(json, items, at),
            (Json::Object(_), Value::Map(entries)) => self.map(json, entries, at),
            _ => wrong(),
        }
    }

    fn list(&mut self, json: &'v Json, items: &'v [Value], at: &str) -> Result<(), String> {
        let expect = json.as_array().expect("a well-formed sample");
        if expect.len() != items.len() {
            return Err(format!("{at}: expected {} items, decoded {}", expect.len(), items.len()));
        }
        for (index, (json, value)) in expect.iter().zip(items).enumerate() {
            self.compare(json, value, &format!("{at}/{index}"))?;
        }
        Ok(())
    }

    fn pairs(&mut self, json: &'v Json, entries: &'v [(Value, Value)], at: &str) -> Result<(), String> {
        let pairs = json.as_array().expect("a well-formed sample");
        if pairs.len() != entries.len() {
            return Err(format!("{at}: expected {} entries, decoded {}", pairs.len(), entries.len()));
        }
        for (pair, (key, value)) in pairs.iter().zip(entries) {
            self.compare(&pair[0], key, &format!("{at}/key"))?;
            self.compare(&pair[1], value, &format!("{at}/value"))?;
        }
        Ok(())
    }

    fn map(&mut self, json: &'v Json, entries: &'v [(Value, Value)], at: &str) -> Result<(), String> {
        let expect = json.as_object().expect("a well-formed sample");
        if expect.len() != entries.len() {
            return Err(format!("{at}: expected {} entries, decoded {}", expect.len(), entries.len()));
        }
        for (key, value) in entries {
            let Value::Text(key) = key else { return Err(format!("{at}: key {key:?}")) };
            let json = expect.get(key.as_str()).ok_or_else(|| format!("{at}: unexpected key {key}"))?;
            self.compare(json, value, &format!("{at}/{key}"))?;
        }
        Ok(())
    }
}

fn children<'v>(value: &'v Value, visit: &mut impl FnMut(&'v Value)) {
    match value {
        Value::List(items) | Value::Set(items) | Value::Tuple(items) => items.iter().for_each(visit),
        Value::Map(entries) => entries.iter().for_each(|(key, value)| {
            visit(key);
            visit(value);
        }),
        Value::MapWithDefault(entries, default) => {
            entries.iter().for_each(|(key, value)| {
                visit(key);
                visit(value);
            });
            visit(default);
        }
        Value::Ref(of) | Value::Shared(_, of) => visit(of),
        Value::Object(object) => match &object.1 {
            Object::Fields(entries) => entries.iter().for_each(|(key, value)| {
                visit(key);
                visit(value);
            }),
            Object::Items(items) | Object::Hook { refs: items, .. } => items.iter().for_each(visit),
            Object::Value(value) => visit(value),
            _ => {}
        },
        _ => {}
    }
}
