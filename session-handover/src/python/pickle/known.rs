//! The classes of Python's library, and of text that is safe HTML, whose objects are plain data. A closed list.

use super::call::Call;
use crate::graph::{Graph, Id, Node, Part};
use crate::python::moment;
use crate::{Error, Reader, Value};

/// The plain value of a call. `None` for other classes, and for arguments that Python's library does not write.
pub(super) fn node(call: &Call, graph: &Graph, input: &mut Reader<'_>) -> Result<Option<Node>, Error> {
    let arguments = call.arguments(graph);
    let plain = match call.class.as_str() {
        "uuid.UUID" => return Ok(uuid(call, graph, input)?.map(Node::Leaf)),
        "collections.OrderedDict" | "collections.defaultdict" | "collections.Counter" => {
            return map(call, graph, input);
        }
        "collections.deque" => return deque(call, graph, input),
        _ if call.state.is_some() || !call.items.is_empty() || !call.entries.is_empty() => return Ok(None),
        "builtins.set" | "builtins.frozenset" => match arguments {
            [] => Some(Node::Set(Vec::new())),
            [list] => items(*list, graph, input)?.map(Node::Set),
            _ => None,
        },
        "datetime.datetime" | "datetime.time" => moment_of(call, graph).map(Node::Leaf),
        "datetime.date" => match arguments {
            [days] => packed(*days, graph)
                .and_then(|bytes| moment::date(&bytes))
                .map(|text| Node::Leaf(Value::Date(text))),
            _ => None,
        },
        "decimal.Decimal" => match arguments {
            [digits] => text(*digits, graph).map(|text| Node::Leaf(Value::Decimal(text.to_owned()))),
            _ => None,
        },
        "builtins.bytes" | "builtins.bytearray" | "_codecs.encode" => match arguments {
            [] => Some(Node::Leaf(Value::Bytes(Vec::new()))),
            [content] => bytes(*content, graph).map(|bytes| Node::Leaf(Value::Bytes(bytes))),
            [content, encoding] if matches!(text(*encoding, graph), Some("latin1" | "latin-1")) => {
                bytes(*content, graph).map(|bytes| Node::Leaf(Value::Bytes(bytes)))
            }
            _ => None,
        },
        "markupsafe.Markup"
        | "jinja2.utils.Markup"
        | "django.utils.safestring.SafeString"
        | "django.utils.safestring.SafeText"
        | "django.utils.safestring.SafeUnicode" => match arguments {
            [html] => text(*html, graph).map(|text| Node::Leaf(Value::Markup(text.to_owned()))),
            _ => None,
        },
        _ => None,
    };
    if let Some(Node::Leaf(value)) = &plain {
        input.grow(length(value))?;
    }
    Ok(plain)
}

/// The bytes that a value copies from the arguments.
fn length(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Decimal(text) | Value::Markup(text) => text.len(),
        _ => 0,
    }
}

fn text(id: Id, graph: &Graph) -> Option<&str> {
    match graph.get(id) {
        Node::Leaf(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn integer(id: Id, graph: &Graph) -> Option<i64> {
    match graph.get(id) {
        Node::Leaf(Value::Int(number)) => Some(*number),
        _ => None,
    }
}

/// The bytes of a packed moment, which are at most ten.
fn packed(id: Id, graph: &Graph) -> Option<Vec<u8>> {
    match graph.get(id) {
        // Ten letters of Latin-1 have at most twenty bytes.
        Node::Leaf(Value::Bytes(content)) if content.len() > 10 => None,
        Node::Leaf(Value::Text(content)) if content.len() > 20 => None,
        _ => bytes(id, graph),
    }
}

/// Bytes, or text of Latin-1: before protocol 3 bytes are written as that.
fn bytes(id: Id, graph: &Graph) -> Option<Vec<u8>> {
    match graph.get(id) {
        Node::Leaf(Value::Bytes(bytes)) => Some(bytes.clone()),
        Node::Leaf(Value::Text(text)) => text.chars().map(|letter| u8::try_from(letter).ok()).collect(),
        _ => None,
    }
}

fn items(id: Id, graph: &Graph, input: &mut Reader<'_>) -> Result<Option<Vec<Id>>, Error> {
    let (Node::List(items) | Node::Tuple(items)) = graph.get(id) else { return Ok(None) };
    input.count_items(items.len())?;
    Ok(Some(items.clone()))
}

fn uuid(call: &Call, graph: &Graph, input: &mut Reader<'_>) -> Result<Option<Value>, Error> {
    let Some(Node::Map { entries, .. }) = call.state.map(|state| graph.get(state)) else { return Ok(None) };
    // Many objects may share one large map.
    input.count_items(entries.len())?;
    let number = entries.iter().find(|(name, _)| text(*name, graph) == Some("int"));
    let number = match number.map(|(_, id)| graph.get(*id)) {
        Some(Node::Leaf(Value::Int(number))) => u128::try_from(*number).ok(),
        Some(Node::Leaf(Value::BigInt(digits))) => digits.parse().ok(),
        _ => None,
    };
    Ok(number.map(|number| Value::Uuid(moment::uuid(number))))
}

/// Maps whose entries follow the call, or are pairs in its argument (Python 2), or a map there.
fn map(call: &Call, graph: &Graph, input: &mut Reader<'_>) -> Result<Option<Node>, Error> {
    let is_dict = |id: &Id| matches!(graph.get(*id), Node::Leaf(Value::Null)) || is_empty_map(graph.get(*id));
    if !call.items.is_empty() || !call.state.as_ref().is_none_or(is_dict) {
        return Ok(None);
    }
    let mut entries = Vec::new();
    match (call.class.as_str(), call.arguments(graph)) {
        (_, []) | ("collections.defaultdict", [_]) => {}
        (_, [argument]) => match graph.get(*argument) {
            Node::Map { entries: all, .. } => {
                input.count_items(all.len())?;
                entries.clone_from(all);
            }
            Node::List(pairs) => {
                input.count_items(pairs.len())?;
                for pair in pairs {
                    match graph.get(*pair) {
                        Node::List(pair) | Node::Tuple(pair) if pair.len() == 2 => {
                            entries.push((pair[0], pair[1]))
                        }
                        _ => return Ok(None),
                    }
                }
            }
            _ => return Ok(None),
        },
        _ => return Ok(None),
    }
    input.count_items(call.entries.len())?;
    entries.extend_from_slice(&call.entries);
    Ok(Some(Node::Map { entries, default: None }))
}

fn is_empty_map(node: &Node) -> bool {
    matches!(node, Node::Map { entries, .. } if entries.is_empty())
}

fn deque(call: &Call, graph: &Graph, input: &mut Reader<'_>) -> Result<Option<Node>, Error> {
    if call.state.is_some_and(|state| !matches!(graph.get(state), Node::Leaf(Value::Null)))
        || !call.entries.is_empty()
    {
        return Ok(None);
    }
    // The items, and the greatest number of them.
    let mut all = match call.arguments(graph) {
        [] => Vec::new(),
        [list] | [list, _] => match items(*list, graph, input)? {
            Some(all) => all,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    input.count_items(call.items.len())?;
    all.extend_from_slice(&call.items);
    Ok(Some(Node::List(all)))
}

fn moment_of(call: &Call, graph: &Graph) -> Option<Value> {
    let (content, zone) = match call.arguments(graph) {
        [content] => (*content, String::new()),
        [content, zone] => (*content, zone_of(*zone, graph)?),
        _ => return None,
    };
    let bytes = packed(content, graph)?;
    Some(match call.class.as_str() {
        "datetime.time" => Value::TimeOfDay(moment::time(&bytes)? + &zone),
        _ => Value::DateTime(moment::date_time(&bytes)? + &zone),
    })
}

/// The offset of a zone, or its name in brackets where the offset depends on the day.
fn zone_of(id: Id, graph: &Graph) -> Option<String> {
    let Node::Object { class, part } = graph.get(id) else { return None };
    let arguments = match part {
        Part::Items(items) => items.as_slice(),
        Part::Value(item) => std::slice::from_ref(item),
        Part::Fields(fields) if fields.is_empty() => &[],
        _ => return None,
    };
    let seconds = |seconds: i64| moment::offset(seconds.checked_mul(1_000_000)?);
    match (class.as_str(), arguments) {
        ("datetime.timezone", [delta] | [delta, _]) => {
            let Node::Object { class, part: Part::Items(parts) } = graph.get(*delta) else { return None };
            let parts: Vec<i64> = parts.iter().filter_map(|part| integer(*part, graph)).collect();
            match (class.as_str(), parts.as_slice()) {
                ("datetime.timedelta", &[days, seconds, micros]) => {
                    let seconds = days.checked_mul(86_400)?.checked_add(seconds)?;
                    moment::offset(seconds.checked_mul(1_000_000)?.checked_add(micros)?)
                }
                _ => None,
            }
        }
        ("pytz._UTC" | "pytz.UTC" | "django.utils.timezone.UTC" | "dateutil.tz.tz.tzutc", []) => seconds(0),
        ("pytz._p", [_, offset, ..]) => seconds(integer(*offset, graph)?),
        ("pytz.FixedOffset" | "pytz._FixedOffset", [minutes]) => {
            seconds(integer(*minutes, graph)?.checked_mul(60)?)
        }
        ("pytz._p", [name])
        | ("zoneinfo.ZoneInfo._unpickle" | "backports.zoneinfo.ZoneInfo._unpickle", [name, ..]) => {
            match text(*name, graph)? {
                "UTC" | "Etc/UTC" => seconds(0),
                name => Some(format!("[{name}]")),
            }
        }
        _ => None,
    }
}
