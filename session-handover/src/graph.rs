//! Values that refer to each other, before they become a tree.
//!
//! Marshal, Storable and Data::Dumper number the values they write and refer back to them. A [`Graph`] holds the numbered
//! values; [`Graph::into_value`] gives the tree, in which a value that is met twice stands once and is named after that.

#![allow(dead_code, reason = "each format uses a part")]

use crate::{Bounds, Error, ErrorKind, Object, Value};

/// The number of a node.
pub(crate) type Id = usize;

/// One value with the numbers of its parts.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Announced and not read yet. Left over only in damaged input.
    Pending,
    /// A value without parts.
    Leaf(Value),
    List(Vec<Id>),
    Set(Vec<Id>),
    Tuple(Vec<Id>),
    Map {
        entries: Vec<(Id, Id)>,
        default: Option<Id>,
    },
    /// A reference to a single value (Perl).
    Ref(Id),
    /// The same as another node, without a number of its own.
    Alias(Id),
    Object {
        class: String,
        part: Part,
    },
}

/// The content of an object.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Fields(Vec<(Id, Id)>),
    Items(Vec<Id>),
    Value(Id),
    /// Text that the class itself wrote, and the values it refers to.
    Hook {
        frozen: Vec<u8>,
        refs: Vec<Id>,
    },
    Raw(Vec<u8>),
}

/// Numbered values.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    named: Named,
}

/// The values that get a name where they are met again. Values with parts always do.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// Text too.
    #[default]
    Texts,
    /// All: the writer can tell a value that is met again from an equal one.
    All,
    /// No others: text cannot change in place.
    Parts,
}

impl Graph {
    /// A graph in which numbers and the like that are met again get a name too.
    pub(crate) fn that_names_all() -> Self {
        Self { named: Named::All, ..Self::default() }
    }

    /// A graph in which text that is met again stands in each place.
    pub(crate) fn that_names_parts() -> Self {
        Self { named: Named::Parts, ..Self::default() }
    }

    pub(crate) fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn leaf(&mut self, value: Value) -> Id {
        self.add(Node::Leaf(value))
    }

    pub(crate) fn set(&mut self, id: Id, node: Node) {
        if let Some(slot) = self.nodes.get_mut(id) {
            *slot = node;
        }
    }

    pub(crate) fn get(&self, id: Id) -> &Node {
        self.nodes.get(id).unwrap_or(&Node::Pending)
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut Node> {
        self.nodes.get_mut(id)
    }

    /// Follows aliases. `None` where they only lead to each other.
    pub(crate) fn resolve(&self, mut id: Id) -> Option<Id> {
        for _ in 0..=self.nodes.len() {
            match self.nodes.get(id)? {
                Node::Alias(next) => id = *next,
                _ => return Some(id),
            }
        }
        None
    }

    /// [`resolve`](Self::resolve) of each node, in a time that does not grow with the length of chains.
    fn resolved(&self) -> Vec<Option<Id>> {
        let mut found: Vec<Option<Option<Id>>> = vec![None; self.nodes.len()];
        let mut walk = Vec::new();
        for start in 0..self.nodes.len() {
            let mut id = start;
            let end = loop {
                match (found.get(id), self.nodes.get(id)) {
                    (Some(Some(known)), _) => break *known,
                    (_, Some(Node::Alias(next))) => {
                        // Until the end of the walk, so that a circle has no end.
                        found[id] = Some(None);
                        walk.push(id);
                        id = *next;
                    }
                    (_, Some(_)) => break Some(id),
                    (_, None) => break None,
                }
            };
            found[start] = Some(end);
            walk.drain(..).for_each(|passed| found[passed] = Some(end));
        }
        found.into_iter().map(Option::flatten).collect()
    }

    /// The node that `id` stands for: references to containers, objects and code are written as the thing itself.
    fn meant(&self, id: Id, resolved: &[Option<Id>]) -> Option<Id> {
        let find = |id: Id| resolved.get(id).copied().flatten();
        let id = find(id)?;
        let Node::Ref(target) = self.get(id) else { return Some(id) };
        let target = find(*target)?;
        let itself = match self.get(target) {
            Node::List(_) | Node::Map { .. } | Node::Object { .. } => true,
            Node::Leaf(value) => matches!(value, Value::Regex { .. } | Value::Opaque(_)),
            _ => false,
        };
        Some(if itself { target } else { id })
    }

    /// Visits the parts of a node, and tells which are keys.
    fn children(node: &Node, mut visit: impl FnMut(Id, bool)) {
        match node {
            Node::Pending | Node::Leaf(_) => {}
            Node::List(items) | Node::Set(items) | Node::Tuple(items) => {
                items.iter().for_each(|&id| visit(id, false));
            }
            Node::Map { entries, default } => {
                for &(key, value) in entries {
                    visit(key, true);
                    visit(value, false);
                }
                if let Some(id) = default {
                    visit(*id, false);
                }
            }
            Node::Ref(id) | Node::Alias(id) => visit(*id, false),
            Node::Object { part, .. } => match part {
                Part::Fields(entries) => {
                    for &(key, value) in entries {
                        visit(key, true);
                        visit(value, false);
                    }
                }
                Part::Items(items) => items.iter().for_each(|&id| visit(id, false)),
                Part::Value(id) => visit(*id, false),
                Part::Hook { refs, .. } => refs.iter().for_each(|&id| visit(id, false)),
                Part::Raw(_) => {}
            },
        }
    }

    /// The tree below `root`. Fails beyond the bounds, and where a value was announced and never came.
    pub(crate) fn into_value(self, root: Id, bounds: &Bounds) -> Result<Value, Error> {
        // Known before the nodes are taken apart.
        let resolved = self.resolved();
        let meant: Vec<Option<Id>> = (0..self.nodes.len()).map(|id| self.meant(id, &resolved)).collect();
        let find = |id: Id| meant.get(id).copied().flatten().ok_or_else(dangling);
        let mut met = vec![0_u8; self.nodes.len()];
        let mut keys = vec![false; self.nodes.len()];
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            let id = find(id)?;
            let Some(count) = met.get_mut(id) else { return Err(dangling()) };
            *count = count.saturating_add(1);
            if *count == 1 {
                Self::children(&self.nodes[id], |child, is_key| match find(child) {
                    // Looked up by what it is, so it stands in each place.
                    Ok(key) if is_key && matches!(self.nodes[key], Node::Leaf(_)) => keys[key] = true,
                    _ => open.push(child),
                });
            }
        }
        let names = vec![0; met.len()];
        let copied = vec![false; met.len()];
        let mut build = Build { graph: self, meant, met, keys, copied, names, next: 1, size: bounds.size };
        build.value(root, bounds.depth)
    }
}

fn dangling() -> Error {
    Error::new(ErrorKind::Malformed, 0, "reference leads nowhere")
}

struct Build {
    graph: Graph,
    meant: Vec<Option<Id>>,
    met: Vec<u8>,
    /// The leaves that are keys. They stay where they are, for each place gets a copy.
    keys: Vec<bool>,
    /// The leaves of which a copy was made.
    copied: Vec<bool>,
    /// The name that a value got where it was first met; 0: none.
    names: Vec<u32>,
    next: u32,
    /// How many bytes may still be copied.
    size: usize,
}

impl Build {
    fn value(&mut self, id: Id, depth: usize) -> Result<Value, Error> {
        let id = self.meant.get(id).copied().flatten().ok_or_else(dangling)?;
        if let Node::Leaf(value) = self.graph.get(id)
            && !self.graph.named.includes(value)
        {
            return self.copied(id);
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Error::new(ErrorKind::TooDeep, 0, "values nest too deeply"));
        };
        if self.met[id] < 2 {
            return self.plain(id, depth);
        }
        if self.names[id] != 0 {
            return Ok(Value::Same(self.names[id]));
        }
        let name = self.next;
        self.next += 1;
        self.names[id] = name;
        let of = self.plain(id, depth)?;
        Ok(Value::Shared(name, Box::new(of)))
    }

    /// A copy of a leaf. Each copy after the first counts against the size.
    fn copied(&mut self, id: Id) -> Result<Value, Error> {
        let Node::Leaf(value) = self.graph.get(id) else { return Err(dangling()) };
        if std::mem::replace(&mut self.copied[id], true) {
            let more = || Error::new(ErrorKind::TooLarge, 0, "more bytes than allowed");
            self.size = self.size.checked_sub(heap(value)).ok_or_else(more)?;
        }
        Ok(value.clone())
    }

    fn key(&mut self, id: Id, depth: usize) -> Result<Value, Error> {
        let leaf = self.meant.get(id).copied().flatten().ok_or_else(dangling)?;
        match self.graph.get(leaf) {
            Node::Leaf(_) => self.copied(leaf),
            _ => self.value(id, depth),
        }
    }

    fn plain(&mut self, id: Id, depth: usize) -> Result<Value, Error> {
        if self.keys[id] {
            return self.copied(id);
        }
        // Each other node is taken at most once: a second meeting is answered with its name.
        let node = match self.graph.get_mut(id) {
            Some(node) => std::mem::replace(node, Node::Pending),
            None => return Err(dangling()),
        };
        match node {
            Node::Pending | Node::Alias(_) => Err(dangling()),
            Node::Leaf(value) => Ok(value),
            Node::List(items) => Ok(Value::List(self.items(items, depth)?)),
            Node::Set(items) => Ok(Value::Set(self.items(items, depth)?)),
            Node::Tuple(items) => Ok(Value::Tuple(self.items(items, depth)?)),
            Node::Ref(target) => Ok(Value::Ref(Box::new(self.value(target, depth)?))),
            Node::Map { entries, default } => {
                let map = self.entries(entries, depth)?;
                match default {
                    None => Ok(Value::Map(map)),
                    Some(default) => Ok(Value::MapWithDefault(map, Box::new(self.value(default, depth)?))),
                }
            }
            Node::Object { class, part } => {
                let object = match part {
                    Part::Fields(fields) => Object::Fields(self.entries(fields, depth)?),
                    Part::Items(items) => Object::Items(self.items(items, depth)?),
                    Part::Value(id) => Object::Value(self.value(id, depth)?),
                    Part::Raw(bytes) => Object::Raw(bytes),
                    Part::Hook { frozen, refs } => Object::Hook { frozen, refs: self.items(refs, depth)? },
                };
                Ok(Value::object(class, object))
            }
        }
    }

    fn items(&mut self, items: Vec<Id>, depth: usize) -> Result<Vec<Value>, Error> {
        items.into_iter().map(|id| self.value(id, depth)).collect()
    }

    fn entries(&mut self, entries: Vec<(Id, Id)>, depth: usize) -> Result<Vec<(Value, Value)>, Error> {
        entries
            .into_iter()
            .map(|(key, value)| Ok((self.key(key, depth)?, self.value(value, depth)?)))
            .collect()
    }
}

impl Named {
    fn includes(self, leaf: &Value) -> bool {
        let texts = matches!(leaf, Value::Text(_) | Value::Bytes(_) | Value::Regex { .. } | Value::Opaque(_));
        self == Self::All || (self == Self::Texts && texts)
    }
}

/// The bytes that a leaf has beside itself.
fn heap(value: &Value) -> usize {
    match value {
        Value::BigInt(text)
        | Value::Time(text)
        | Value::Date(text)
        | Value::DateTime(text)
        | Value::Decimal(text)
        | Value::Markup(text)
        | Value::Symbol(text)
        | Value::Class(text)
        | Value::TimeOfDay(text)
        | Value::Uuid(text)
        | Value::Opaque(text) => text.len(),
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Utf16(units) => 2 * units.len(),
        Value::Encoded { text, encoding } => text.len() + encoding.len(),
        Value::Enum { class, case } => class.len() + case.len(),
        _ => 0,
    }
}
