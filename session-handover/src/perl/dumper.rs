//! The output of Perl's Data::Dumper, read as data. Nothing is evaluated.
//!
//! The text is one structure, assignments that close its circles, and the name of the variable:
//!
//! ```text
//! $D = {'user' => 'alice','a' => [],'b' => [1]};$D->{'a'} = $D->{'b'};;$D
//! ```
//!
//! The parser takes the literals that the module writes with `Purity`, with any indentation and either kind of quotes.
//! Every other construct is an error. Bytes of the text are characters of Latin-1, as they are for Perl.

mod text;

use std::collections::HashMap;

use crate::graph::{Graph, Id, Node, Part};
use crate::{Bounds, Error, ErrorKind, Reader, Value};

/// Reads a dump of one variable.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut dump = Dump {
        input: Reader::new(bytes, bounds),
        graph: Graph::default(),
        name: Vec::new(),
        root: 0,
        keys: HashMap::new(),
    };
    dump.space();
    dump.expect(b"$")?;
    dump.name = dump.word()?;
    dump.space();
    dump.expect(b"=")?;
    dump.root = dump.graph.add(Node::Pending);
    let value = dump.value()?;
    dump.root = value;
    dump.space();
    dump.statements()?;
    let root = dump.root;
    dump.graph.into_value(root, bounds)
}

/// Scalars are nodes, and a container is reached through a [`Node::Ref`]: `[1]` is a reference to an array.
struct Dump<'a> {
    input: Reader<'a>,
    graph: Graph,
    name: Vec<u8>,
    root: Id,
    /// The keys of the hashes that assignments have looked into.
    keys: HashMap<Id, HashMap<String, Id>>,
}

impl Dump<'_> {
    /// The assignments after the structure.
    fn statements(&mut self) -> Result<(), Error> {
        loop {
            self.space();
            match self.input.peek() {
                None => return Ok(()),
                Some(b';') => {
                    self.input.byte()?;
                }
                Some(b'*') => {
                    // The content of a glob: a session cannot carry it.
                    self.glob()?;
                    self.space();
                    self.expect(b"=")?;
                    self.value()?;
                }
                _ => self.assignment()?,
            }
        }
    }

    fn assignment(&mut self) -> Result<(), Error> {
        let place = self.path()?;
        self.space();
        if self.input.peek() != Some(b'=') {
            // The variable alone ends the text.
            return Ok(());
        }
        self.expect(b"=")?;
        let value = self.value()?;
        let copy = self.copy(value)?;
        self.graph.set(place, copy);
        Ok(())
    }

    fn value(&mut self) -> Result<Id, Error> {
        self.input.enter()?;
        self.input.count_item()?;
        self.space();
        let id = self.value_at()?;
        self.space();
        self.input.leave();
        Ok(id)
    }

    fn value_at(&mut self) -> Result<Id, Error> {
        let at = self.input.offset();
        match self.input.peek() {
            Some(b'\'' | b'"') => {
                let text = self.quoted()?;
                Ok(self.graph.leaf(Value::Text(text.into())))
            }
            Some(b'[') => {
                self.input.byte()?;
                let items = self.list(b']')?;
                let list = self.graph.add(Node::List(items));
                Ok(self.graph.add(Node::Ref(list)))
            }
            Some(b'{') => self.map(),
            Some(b'\\') => {
                self.input.byte()?;
                let target = self.value()?;
                Ok(self.graph.add(Node::Ref(target)))
            }
            // A value that was written before: a copy of the scalar at that place.
            Some(b'$' | b'@' | b'%') => self.path(),
            Some(b'*') => {
                self.glob()?;
                Ok(self.graph.leaf(Value::Opaque("glob".to_owned())))
            }
            Some(b'!') => {
                self.expect(b"!!")?;
                let truth = match self.input.byte()? {
                    b'0' => false,
                    b'1' => true,
                    _ => return Err(self.malformed(at, "boolean")),
                };
                Ok(self.graph.leaf(Value::Bool(truth)))
            }
            Some(b'-' | b'+' | b'0'..=b'9' | b'.') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => self.named(),
            _ => Err(self.malformed(at, "value expected")),
        }
    }

    fn named(&mut self) -> Result<Id, Error> {
        let at = self.input.offset();
        let word = self.word()?;
        match word.as_slice() {
            b"undef" => Ok(self.graph.leaf(Value::Null)),
            b"bless" => self.blessed(),
            b"do" => self.single(),
            b"sub" => {
                self.space();
                self.block()?;
                let code = self.graph.leaf(Value::Opaque("code".to_owned()));
                Ok(self.graph.add(Node::Ref(code)))
            }
            b"qr" => {
                let regex = self.regex()?;
                let regex = self.graph.leaf(regex);
                Ok(self.graph.add(Node::Ref(regex)))
            }
            // A version string: `v1.2.3` is the characters with those numbers.
            [b'v', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                let mut text = vec![number_char(digits).ok_or_else(|| self.malformed(at, "version string"))?];
                while self.input.peek() == Some(b'.') {
                    self.input.byte()?;
                    let digits = self.digits()?;
                    text.push(number_char(&digits).ok_or_else(|| self.malformed(at, "version string"))?);
                }
                Ok(self.graph.leaf(Value::Text(text.into_iter().collect())))
            }
            _ => Err(self.malformed(at, "unknown word")),
        }
    }

    /// `bless( VALUE, 'Class' )`
    fn blessed(&mut self) -> Result<Id, Error> {
        let at = self.input.offset();
        self.space();
        self.expect(b"(")?;
        let id = self.value()?;
        self.expect(b",")?;
        self.space();
        let class = self.quoted()?;
        self.space();
        self.expect(b")")?;
        let Node::Ref(target) = self.graph.get(id) else {
            return Err(self.malformed(at, "class of a value that is not a reference"));
        };
        let target = *target;
        let Some(slot) = self.graph.get_mut(target) else { return Err(self.malformed(at, "reference")) };
        let node = match std::mem::replace(slot, Node::Pending) {
            Node::Map { entries, .. } => Node::Object { class, part: Part::Fields(entries) },
            Node::List(items) => Node::Object { class, part: Part::Items(items) },
            Node::Object { part, .. } => Node::Object { class, part },
            scalar => {
                let inner = self.graph.add(scalar);
                Node::Object { class, part: Part::Value(inner) }
            }
        };
        self.graph.set(target, node);
        Ok(id)
    }

    /// `do{\(my $o = VALUE)}`, or `do{my $o}` for a scalar that an assignment fills.
    fn single(&mut self) -> Result<Id, Error> {
        self.space();
        self.expect(b"{")?;
        self.space();
        let reference = self.input.peek() == Some(b'\\');
        if reference {
            self.expect(b"\\")?;
            self.space();
            self.expect(b"(")?;
            self.space();
        }
        self.expect(b"my")?;
        self.space();
        self.expect(b"$")?;
        self.word()?;
        self.space();
        let value = if self.input.peek() == Some(b'=') {
            self.expect(b"=")?;
            self.value()?
        } else {
            self.graph.leaf(Value::Null)
        };
        if reference {
            self.expect(b")")?;
            self.space();
        }
        self.expect(b"}")?;
        if !reference {
            return Ok(value);
        }
        // A variable of its own, and not the place that the value came from.
        let copy = self.copy(value)?;
        let own = self.graph.add(copy);
        Ok(self.graph.add(Node::Ref(own)))
    }

    fn list(&mut self, close: u8) -> Result<Vec<Id>, Error> {
        let mut items = Vec::new();
        loop {
            self.space();
            if self.input.peek() == Some(close) {
                self.input.byte()?;
                return Ok(items);
            }
            let item = self.value()?;
            items.push(self.own(item)?);
            if self.input.peek() == Some(b',') {
                self.input.byte()?;
            } else if self.input.peek() != Some(close) {
                return Err(self.malformed(self.input.offset(), "comma or end of a list expected"));
            }
        }
    }

    fn map(&mut self) -> Result<Id, Error> {
        self.expect(b"{")?;
        let mut entries: Vec<(Id, Id)> = Vec::new();
        loop {
            self.space();
            if self.input.peek() == Some(b'}') {
                self.input.byte()?;
                break;
            }
            let key = self.key()?;
            self.space();
            if self.input.peek() == Some(b',') {
                self.expect(b",")?;
            } else {
                self.expect(b"=>")?;
            }
            let value = self.value()?;
            let value = self.own(value)?;
            entries.push((self.graph.leaf(Value::Text(key.into())), value));
            if self.input.peek() == Some(b',') {
                self.input.byte()?;
            } else if self.input.peek() != Some(b'}') {
                return Err(self.malformed(self.input.offset(), "comma or end of a hash expected"));
            }
        }
        let map = self.graph.add(Node::Map { entries, default: None });
        Ok(self.graph.add(Node::Ref(map)))
    }

    /// A slot of its own for a value that is copied from another place.
    fn own(&mut self, id: Id) -> Result<Id, Error> {
        if id + 1 == self.graph.len() {
            return Ok(id);
        }
        let copy = self.copy(id)?;
        Ok(self.graph.add(copy))
    }

    /// Copies a scalar, and counts the memory of its text.
    fn copy(&mut self, id: Id) -> Result<Node, Error> {
        let node = self.graph.get(id);
        if let Node::Leaf(Value::Text(text)) = node {
            self.input.grow(text.len())?;
        }
        match node {
            Node::Leaf(_) | Node::Ref(_) => Ok(node.clone()),
            _ => Err(self.malformed(self.input.offset(), "copy of a value that is not a scalar")),
        }
    }

    /// A key of a hash: quoted, a number, or a bare word.
    fn key(&mut self) -> Result<String, Error> {
        match self.input.peek() {
            Some(b'\'' | b'"') => self.quoted(),
            _ => {
                let start = self.input.offset();
                let mut key = String::new();
                while let Some(byte) = self.input.peek() {
                    if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':')) {
                        break;
                    }
                    self.input.byte()?;
                    key.push(char::from(byte));
                }
                if key.is_empty() { Err(self.malformed(start, "key expected")) } else { Ok(key) }
            }
        }
    }

    /// A place in the structure: `$D`, `$D->{'a'}[0]`, `${$D->{'r'}}`. Gives the scalar at that place.
    fn path(&mut self) -> Result<Id, Error> {
        self.input.enter()?;
        let at = self.input.offset();
        let sigil = self.input.byte()?;
        if !b"$@%".contains(&sigil) {
            return Err(self.malformed(at, "place expected"));
        }
        let mut place = if self.input.peek() == Some(b'{') || self.input.peek() == Some(b'$') {
            let braced = self.input.peek() == Some(b'{');
            if braced {
                self.input.byte()?;
                self.space();
            }
            let reference = self.path()?;
            if braced {
                self.space();
                self.expect(b"}")?;
            }
            match self.input.peek() {
                // `${REF}[0]` and `@{REF}` are the container behind the reference.
                Some(b'[' | b'{') => reference,
                _ if sigil != b'$' => reference,
                _ => self.behind(reference, at)?,
            }
        } else {
            let name = self.word()?;
            if name != self.name {
                return Err(self.malformed(at, "unknown variable"));
            }
            self.root
        };
        loop {
            let here = self.input.offset();
            if self.input.rest().starts_with(b"->") {
                self.expect(b"->")?;
            }
            match self.input.peek() {
                Some(b'[') => {
                    self.input.byte()?;
                    self.space();
                    let digits = self.digits()?;
                    self.space();
                    self.expect(b"]")?;
                    let index: usize = std::str::from_utf8(&digits)
                        .ok()
                        .and_then(|digits| digits.parse().ok())
                        .ok_or_else(|| self.malformed(here, "index"))?;
                    place = self
                        .item(place, index)
                        .ok_or_else(|| self.malformed(here, "place that is not there"))?;
                }
                Some(b'{') => {
                    self.input.byte()?;
                    self.space();
                    let key = self.key()?;
                    self.space();
                    self.expect(b"}")?;
                    place = self
                        .entry(place, &key)
                        .ok_or_else(|| self.malformed(here, "place that is not there"))?;
                }
                _ if self.input.offset() == here => break,
                // `->$*` and the like are written by no version.
                _ => return Err(self.malformed(here, "path")),
            }
        }
        self.input.leave();
        Ok(place)
    }

    fn behind(&self, reference: Id, at: usize) -> Result<Id, Error> {
        match self.graph.get(reference) {
            Node::Ref(target) => match self.graph.get(*target) {
                Node::Object { part: Part::Value(inner), .. } => Ok(*inner),
                _ => Ok(*target),
            },
            _ => Err(self.malformed(at, "not a reference")),
        }
    }

    fn item(&self, place: Id, index: usize) -> Option<Id> {
        let Node::Ref(target) = self.graph.get(place) else { return None };
        match self.graph.get(*target) {
            Node::List(items) | Node::Object { part: Part::Items(items), .. } => items.get(index).copied(),
            _ => None,
        }
    }

    fn entry(&mut self, place: Id, key: &str) -> Option<Id> {
        let Node::Ref(target) = self.graph.get(place) else { return None };
        let (Node::Map { entries, .. } | Node::Object { part: Part::Fields(entries), .. }) =
            self.graph.get(*target)
        else {
            return None;
        };
        let keys = self.keys.entry(*target).or_insert_with(|| {
            let name = |id: Id| match self.graph.get(id) {
                Node::Leaf(Value::Text(name)) => Some(name.to_string()),
                _ => None,
            };
            entries.iter().filter_map(|&(key, value)| Some((name(key)?, value))).collect()
        });
        keys.get(key).copied()
    }

    fn number(&mut self) -> Result<Id, Error> {
        let start = self.input.offset();
        let mut text = String::new();
        while let Some(byte @ (b'-' | b'+' | b'0'..=b'9' | b'.' | b'e' | b'E')) = self.input.peek() {
            self.input.byte()?;
            text.push(char::from(byte));
        }
        let value = match text.parse::<i64>() {
            Ok(number) => Value::Int(number),
            Err(_) => match text.parse::<f64>() {
                Ok(number) => Value::Float(number),
                Err(_) => return Err(self.malformed(start, "number")),
            },
        };
        Ok(self.graph.leaf(value))
    }

    fn word(&mut self) -> Result<Vec<u8>, Error> {
        let mut word = Vec::new();
        while let Some(byte) = self.input.peek() {
            if !(byte.is_ascii_alphanumeric() || byte == b'_') {
                break;
            }
            word.push(self.input.byte()?);
        }
        if word.is_empty() { Err(self.malformed(self.input.offset(), "name expected")) } else { Ok(word) }
    }

    fn digits(&mut self) -> Result<Vec<u8>, Error> {
        let mut digits = Vec::new();
        while let Some(b'0'..=b'9') = self.input.peek() {
            digits.push(self.input.byte()?);
        }
        if digits.is_empty() {
            Err(self.malformed(self.input.offset(), "digits expected"))
        } else {
            Ok(digits)
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.input.peek() {
            if self.input.byte().is_err() {
                return;
            }
        }
    }

    fn expect(&mut self, text: &'static [u8]) -> Result<(), Error> {
        let at = self.input.offset();
        if !self.input.rest().starts_with(text) {
            return Err(if self.input.rest().len() < text.len() && text.starts_with(self.input.rest()) {
                Error::new(ErrorKind::Truncated, at, "input ends early")
            } else {
                self.malformed(at, "unexpected text")
            });
        }
        self.input.take(text.len())?;
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "reads as the other methods do")]
    fn malformed(&self, at: usize, what: &'static str) -> Error {
        Error::new(ErrorKind::Malformed, at, what)
    }
}

fn number_char(digits: &[u8]) -> Option<char> {
    std::str::from_utf8(digits).ok()?.parse().ok().and_then(char::from_u32)
}
