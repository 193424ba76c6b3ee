//! The format of the extension msgpack. A map that begins with a key nil is marked: by 1 a PHP reference, by a text the
//! object of that class, by 2, 4 or 5 a value that is met again.
//!
//! Arrays and objects are numbered in the order in which they begin, and so is a map that refers back. After a PHP reference is
//! met again, the extension writes numbers that are too low; PHP reads another value there, and so does this reader.

use super::{array, as_map, fields, string};
use crate::graph::{Graph, Id, Node, Part};
use crate::pack::{Token, token};
use crate::{Bounds, Error, ErrorKind, Reader, Value};

/// Reads one value.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut pack =
        Unpack { input: Reader::new(bytes, bounds), graph: Graph::that_names_all(), slots: Vec::new() };
    let root = pack.value()?;
    pack.input.end()?;
    pack.graph.into_value(root, bounds)
}

/// Reads the whole session of `session.serialize_handler = msgpack`.
///
/// # Errors
/// As [`read`]; `Malformed` for another value than an array.
pub fn read_session(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Map(Vec::new()));
    }
    as_map(read(bytes, bounds)?)
}

struct Unpack<'a> {
    input: Reader<'a>,
    graph: Graph,
    /// Arrays, objects and maps that refer back, by number, from 1.
    slots: Vec<Id>,
}

impl Unpack<'_> {
    fn value(&mut self) -> Result<Id, Error> {
        self.input.enter()?;
        self.input.count_item()?;
        let at = self.input.offset();
        let id = match token(&mut self.input)? {
            Token::Scalar(value) => self.graph.leaf(value),
            Token::Text(len) | Token::Bytes(len) => {
                let text = string(self.input.take(len)?);
                self.graph.leaf(text)
            }
            Token::List(count) => {
                let id = self.pending();
                let items = (0..count).map(|_| self.value()).collect::<Result<_, _>>()?;
                self.graph.set(id, Node::List(items));
                id
            }
            Token::Map(count) => {
                let id = self.pending();
                let node = self.map(count)?;
                self.graph.set(id, node);
                id
            }
            Token::Extension(_) => return Err(Error::new(ErrorKind::Malformed, at, "PHP has no extensions")),
        };
        self.input.leave();
        Ok(id)
    }

    fn pending(&mut self) -> Id {
        let id = self.graph.add(Node::Pending);
        self.slots.push(id);
        id
    }

    fn map(&mut self, count: usize) -> Result<Node, Error> {
        let mut entries = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            entries.push((self.key()?, self.value()?));
        }
        Ok(self.marked(entries))
    }

    fn key(&mut self) -> Result<Value, Error> {
        self.input.count_item()?;
        let at = self.input.offset();
        match token(&mut self.input)? {
            Token::Scalar(value) => Ok(value),
            Token::Text(len) | Token::Bytes(len) => Ok(string(self.input.take(len)?)),
            _ => Err(Error::new(ErrorKind::Malformed, at, "key expected")),
        }
    }

    /// The meaning of a map by its marks, the values under first keys nil.
    fn marked(&mut self, mut entries: Vec<(Value, Id)>) -> Node {
        // A PHP reference to what the rest says.
        let is_reference = |(key, mark): &(Value, Id)| {
            *key == Value::Null && matches!(self.graph.get(*mark), Node::Leaf(Value::Int(1)))
        };
        let references = entries.iter().take_while(|entry| is_reference(entry)).count();
        entries.drain(..references);
        let Some((Value::Null, mark)) = entries.first() else {
            if entries.is_empty() {
                return Node::Map { entries: Vec::new(), default: None };
            }
            return array(&mut self.graph, entries);
        };
        let mark = match self.graph.get(*mark) {
            Node::Leaf(mark) => mark.clone(),
            _ => Value::Null,
        };
        entries.remove(0);
        match mark {
            Value::Text(class) => Node::Object { class: class.into(), part: self.content(entries) },
            // A class that wrote its own bytes.
            Value::Int(3) => self.raw(&entries),
            Value::Int(2 | 4 | 5) => self.again(&entries),
            _ => lost("reference"),
        }
    }

    /// A value that is met again: its number under any key.
    fn again(&self, entries: &[(Value, Id)]) -> Node {
        let number = match entries {
            [(_, number)] => match self.graph.get(*number) {
                Node::Leaf(Value::Int(number)) => usize::try_from(*number).ok(),
                _ => None,
            },
            _ => None,
        };
        // The last slot is that of this map.
        let earlier = &self.slots[..self.slots.len().saturating_sub(1)];
        let slot = number.and_then(|number| earlier.get(number.checked_sub(1)?));
        slot.map_or_else(|| lost("reference"), |slot| Node::Alias(*slot))
    }

    fn raw(&self, entries: &[(Value, Id)]) -> Node {
        let Some((Value::Text(class), bytes)) = entries.first() else { return lost("object") };
        let bytes = match self.graph.get(*bytes) {
            Node::Leaf(Value::Text(text)) => text.as_bytes().to_vec(),
            Node::Leaf(Value::Bytes(bytes)) => bytes.clone(),
            _ => return lost("object"),
        };
        Node::Object { class: class.as_str().to_owned(), part: Part::Raw(bytes) }
    }

    /// The content of an object: what its `__serialize` gave under one key nil, or its variables.
    fn content(&mut self, entries: Vec<(Value, Id)>) -> Part {
        if let [(Value::Null, given)] = entries[..] {
            return match self.graph.get(given) {
                Node::Map { entries, .. } => Part::Fields(entries.clone()),
                Node::List(items) => Part::Items(items.clone()),
                _ => Part::Value(given),
            };
        }
        Part::Fields(fields(&mut self.graph, entries))
    }
}

/// What cannot be carried over loses nothing else.
fn lost(what: &str) -> Node {
    Node::Leaf(Value::Opaque(what.to_owned()))
}
