//! What the values of PHP's text become: a tree at once, or numbered values where one is met again.

use super::{bare, fields, unique};
use crate::graph::{Graph, Id, Node, Part};
use crate::keys::last_of_each;
use crate::value::put;
use crate::{Bounds, Error, ErrorKind, Object, Value};

/// Takes values in the order of the text. A value with parts gets its number before them.
pub(crate) trait Target: Default {
    type Item;

    /// What stands in a place until its value is read.
    fn nothing() -> Self::Item;

    fn leaf(&mut self, place: &mut Self::Item, value: Value);

    /// Numbers a value whose parts follow.
    fn begin(&mut self) -> Id;

    fn list(&mut self, id: Id, items: Vec<Self::Item>) -> Self::Item;

    fn map(&mut self, id: Id, entries: Vec<(Value, Self::Item)>) -> Self::Item;

    fn object(&mut self, id: Id, class: String, entries: Vec<(Value, Self::Item)>) -> Self::Item;

    /// An object that wrote its own bytes.
    fn raw(&mut self, class: String, raw: Vec<u8>) -> Self::Item;

    /// The value of a number, from 1: the same variable, or with `as_object` the same object in another variable.
    fn reference(&mut self, number: usize, as_object: bool, at: usize) -> Result<Self::Item, Error>;

    /// The variables of a session: a map without a number.
    fn variables(&mut self, entries: Vec<(Value, Self::Item)>) -> Self::Item;

    /// The tree below an item. Nothing is read after that.
    fn take(&mut self, root: Self::Item, bounds: &Bounds) -> Result<Value, Error>;
}

/// Builds the tree at once, for the many sessions without a reference.
#[derive(Default)]
pub(crate) struct Tree {
    /// Whether a reference ended the reading.
    pub(crate) stopped: bool,
}

impl Target for Tree {
    type Item = Value;

    fn nothing() -> Value {
        Value::Null
    }

    #[inline(always)]
    fn leaf(&mut self, place: &mut Value, value: Value) {
        put(place, value);
    }

    fn begin(&mut self) -> Id {
        0
    }

    fn list(&mut self, _: Id, items: Vec<Value>) -> Value {
        Value::List(items)
    }

    fn map(&mut self, _: Id, entries: Vec<(Value, Value)>) -> Value {
        Value::Map(last_of_each(entries))
    }

    fn object(&mut self, _: Id, class: String, entries: Vec<(Value, Value)>) -> Value {
        let fields = last_of_each(entries).into_iter().map(|(name, value)| (bare(name), value)).collect();
        Value::object(class, Object::Fields(fields))
    }

    fn raw(&mut self, class: String, raw: Vec<u8>) -> Value {
        Value::object(class, Object::Raw(raw))
    }

    fn reference(&mut self, _: usize, _: bool, at: usize) -> Result<Value, Error> {
        self.stopped = true;
        Err(nowhere(at))
    }

    fn variables(&mut self, entries: Vec<(Value, Value)>) -> Value {
        self.map(0, entries)
    }

    fn take(&mut self, root: Value, _: &Bounds) -> Result<Value, Error> {
        Ok(root)
    }
}

/// Keeps the values by number.
pub(crate) struct Numbered {
    graph: Graph,
    /// The values by number, from 1.
    slots: Vec<Id>,
    /// Numbers up to this one are certain. A class that writes its own bytes may number the values in them.
    certain: usize,
}

impl Default for Numbered {
    fn default() -> Self {
        Self { graph: Graph::that_names_all(), slots: Vec::new(), certain: usize::MAX }
    }
}

impl Target for Numbered {
    type Item = Id;

    fn nothing() -> Id {
        0
    }

    fn leaf(&mut self, place: &mut Id, value: Value) {
        *place = self.graph.leaf(value);
        self.slots.push(*place);
    }

    fn begin(&mut self) -> Id {
        let id = self.graph.add(Node::Pending);
        self.slots.push(id);
        id
    }

    fn list(&mut self, id: Id, items: Vec<Id>) -> Id {
        self.graph.set(id, Node::List(items));
        id
    }

    fn map(&mut self, id: Id, entries: Vec<(Value, Id)>) -> Id {
        let entries = unique(&mut self.graph, entries);
        self.graph.set(id, Node::Map { entries, default: None });
        id
    }

    fn object(&mut self, id: Id, class: String, entries: Vec<(Value, Id)>) -> Id {
        let fields = fields(&mut self.graph, entries);
        self.graph.set(id, Node::Object { class, part: Part::Fields(fields) });
        id
    }

    fn raw(&mut self, class: String, raw: Vec<u8>) -> Id {
        let id = self.begin();
        if may_hold_values(&raw) {
            self.certain = self.certain.min(self.slots.len());
        }
        self.graph.set(id, Node::Object { class, part: Part::Raw(raw) });
        id
    }

    fn reference(&mut self, number: usize, as_object: bool, at: usize) -> Result<Id, Error> {
        let target = if number > self.certain {
            self.graph.leaf(Value::Opaque("reference".to_owned()))
        } else {
            let target = number.checked_sub(1).and_then(|index| self.slots.get(index)).copied();
            // Only objects are met again without being a reference.
            let target = target.filter(|id| !as_object || self.is_object(*id));
            target.ok_or_else(|| nowhere(at))?
        };
        if as_object {
            self.slots.push(target);
        }
        Ok(target)
    }

    fn variables(&mut self, entries: Vec<(Value, Id)>) -> Id {
        let entries = unique(&mut self.graph, entries);
        self.graph.add(Node::Map { entries, default: None })
    }

    fn take(&mut self, root: Id, bounds: &Bounds) -> Result<Value, Error> {
        std::mem::take(&mut self.graph).into_value(root, bounds)
    }
}

impl Numbered {
    fn is_object(&self, id: Id) -> bool {
        match self.graph.get(id) {
            // An object that is being read, or an array.
            Node::Pending | Node::Object { .. } => true,
            Node::Leaf(value) => matches!(value, Value::Enum { .. } | Value::Opaque(_)),
            _ => false,
        }
    }
}

fn nowhere(at: usize) -> Error {
    Error::new(ErrorKind::Malformed, at, "reference leads nowhere")
}

/// Whether bytes that a class wrote itself may hold values, which PHP numbers.
fn may_hold_values(raw: &[u8]) -> bool {
    let begins = |pair: &[u8]| pair == b"N;" || (pair[1] == b':' && b"RrabdisSOCE".contains(&pair[0]));
    raw.windows(2).any(begins)
}
