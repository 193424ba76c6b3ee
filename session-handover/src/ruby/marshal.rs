//! Ruby's Marshal 4.8, read as data.
//!
//! The reader knows every type code of Ruby 1.8 to 3.4. It allocates values of this crate only: a class name in the data stays text.
//!
//! Two tables are kept as Ruby keeps them: symbols in the order in which they are first written, and objects in the order in which
//! Ruby enters them. An object that its class dumped itself (`_dump`) enters after the instance variables of its text,
//! every other object before its parts.

use crate::graph::{Graph, Id, Node, Part};
use crate::ruby::time;
use crate::{Bounds, Error, ErrorKind, Reader, Value};

/// Reads one Marshal text, which must end where the value ends.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let (value, rest) = read_prefix(bytes, bounds)?;
    if rest == bytes.len() {
        Ok(value)
    } else {
        Err(Error::new(ErrorKind::Trailing, rest, "bytes follow the value"))
    }
}

/// Reads one Marshal text and tells where it ends.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read_prefix(bytes: &[u8], bounds: &Bounds) -> Result<(Value, usize), Error> {
    let mut marshal = Marshal {
        input: Reader::new(bytes, bounds),
        graph: Graph::default(),
        objects: Vec::new(),
        symbols: Vec::new(),
    };
    let major = marshal.input.byte()?;
    let minor = marshal.input.byte()?;
    if major != 4 || minor > 8 {
        return Err(Error::new(ErrorKind::Version, 0, "not Marshal 4.8"));
    }
    let root = marshal.value()?;
    let end = marshal.input.offset();
    Ok((marshal.graph.into_value(root, bounds)?, end))
}

struct Marshal<'a> {
    input: Reader<'a>,
    graph: Graph,
    /// The nodes that `@` refers to.
    objects: Vec<Id>,
    symbols: Vec<Value>,
}

/// Instance variables around a value.
type Attributes = Vec<(Value, Id)>;

impl Marshal<'_> {
    fn value(&mut self) -> Result<Id, Error> {
        self.input.enter()?;
        let id = self.value_at()?;
        self.input.leave();
        Ok(id)
    }

    fn value_at(&mut self) -> Result<Id, Error> {
        let at = self.input.offset();
        let code = self.input.byte()?;
        self.coded(code, at, &mut None)
    }

    /// Reads the value of a type code. `attributes` is `Some` inside `I`; a type that takes them in its own place empties it.
    fn coded(&mut self, code: u8, at: usize, attributes: &mut Option<()>) -> Result<Id, Error> {
        match code {
            b'0' => Ok(self.graph.leaf(Value::Null)),
            b'T' => Ok(self.graph.leaf(Value::Bool(true))),
            b'F' => Ok(self.graph.leaf(Value::Bool(false))),
            b'i' => {
                let number = self.fixnum()?;
                Ok(self.graph.leaf(Value::Int(number)))
            }
            b':' => {
                let symbol = self.symbol(false)?;
                Ok(self.graph.leaf(symbol))
            }
            b';' => {
                let symbol = self.symbol_link(at)?;
                Ok(self.graph.leaf(symbol))
            }
            b'I' => self.with_attributes(),
            b'@' => {
                let number = self.fixnum()?;
                usize::try_from(number).ok().and_then(|number| self.objects.get(number).copied()).ok_or_else(
                    || Error::new(ErrorKind::Malformed, at, "link to an object that was not read"),
                )
            }
            b'"' => {
                let text = self.text()?;
                // Without an encoding the text is binary.
                let id = self.enter(Node::Leaf(raw_text(text)));
                Ok(id)
            }
            b'/' => self.regex(attributes),
            b'f' => {
                let number = self.float(at)?;
                Ok(self.enter(Node::Leaf(Value::Float(number))))
            }
            b'l' => {
                let number = self.bignum(at)?;
                Ok(self.enter(Node::Leaf(number)))
            }
            b'[' => {
                let id = self.enter(Node::Pending);
                let items = self.items()?;
                self.graph.set(id, Node::List(items));
                Ok(id)
            }
            b'{' | b'}' => {
                let id = self.enter(Node::Pending);
                let entries = self.entries()?;
                let default = if code == b'}' { Some(self.value()?) } else { None };
                self.graph.set(id, Node::Map { entries, default });
                Ok(id)
            }
            b'c' | b'm' | b'M' => {
                let name = self.text()?;
                let name = lossless(name);
                Ok(self.enter(Node::Leaf(Value::Class(name))))
            }
            b'o' => {
                let class = self.name()?;
                let id = self.enter(Node::Pending);
                let fields = self.attribute_entries()?;
                let node =
                    self.set(&class, &fields).unwrap_or(Node::Object { class, part: Part::Fields(fields) });
                self.graph.set(id, node);
                Ok(id)
            }
            b'S' => {
                let class = self.name()?;
                let id = self.enter(Node::Pending);
                let fields = self.attribute_entries()?;
                self.graph.set(id, Node::Object { class, part: Part::Fields(fields) });
                Ok(id)
            }
            b'u' => self.dumped(attributes),
            b'U' => {
                let class = self.name()?;
                let id = self.enter(Node::Pending);
                let state = self.value()?;
                let node = time::from_state(&class, state, &mut self.graph)
                    .unwrap_or(Node::Object { class, part: Part::Value(state) });
                self.graph.set(id, node);
                Ok(id)
            }
            b'd' => {
                let class = self.name()?;
                let id = self.enter(Node::Pending);
                let state = self.value()?;
                self.graph.set(id, Node::Object { class, part: Part::Value(state) });
                Ok(id)
            }
            // A subclass of a built-in class.
            b'C' => {
                let class = self.name()?;
                self.input.enter()?;
                let at = self.input.offset();
                let code = self.input.byte()?;
                if !matches!(code, b'"' | b'/' | b'[' | b'{' | b'}' | b'C' | b'e') {
                    return Err(Error::new(ErrorKind::Malformed, at, "class of a value that takes none"));
                }
                let id = self.coded(code, at, attributes)?;
                self.input.leave();
                self.subclass(id, class);
                Ok(id)
            }
            // Modules that extend one object: they are code, and the object is the content.
            b'e' => {
                self.name()?;
                self.input.enter()?;
                let at = self.input.offset();
                let code = self.input.byte()?;
                let id = self.coded(code, at, attributes)?;
                self.input.leave();
                Ok(id)
            }
            _ => Err(Error::new(ErrorKind::Malformed, at, "unknown type code")),
        }
    }

    /// Gives a node the next number of an object.
    fn enter(&mut self, node: Node) -> Id {
        let id = self.graph.add(node);
        self.objects.push(id);
        id
    }

    fn with_attributes(&mut self) -> Result<Id, Error> {
        self.input.enter()?;
        let at = self.input.offset();
        let code = self.input.byte()?;
        if code == b':' {
            // The symbol's encoding follows its name, and its number is taken before that.
            let symbol = self.symbol(true)?;
            self.input.leave();
            return Ok(self.graph.leaf(symbol));
        }
        let mut open = Some(());
        let id = self.coded(code, at, &mut open)?;
        if open.is_some() {
            let attributes = self.attributes()?;
            self.apply(id, attributes);
        }
        self.input.leave();
        Ok(id)
    }

    /// Reads a list of instance variables.
    fn attributes(&mut self) -> Result<Attributes, Error> {
        let count = self.count(2)?;
        let mut attributes = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            self.input.count_item()?;
            let name = self.symbol_value()?;
            let value = self.value()?;
            attributes.push((name, value));
        }
        Ok(attributes)
    }

    fn attribute_entries(&mut self) -> Result<Vec<(Id, Id)>, Error> {
        let attributes = self.attributes()?;
        Ok(attributes
            .into_iter()
            .map(|(name, value)| {
                let name = match name {
                    Value::Symbol(name) => Value::Text(name.into()),
                    other => other,
                };
                (self.graph.leaf(name), value)
            })
            .collect())
    }

    /// Puts instance variables on a value: the encoding of a text, or the variables of an object of a built-in class.
    fn apply(&mut self, id: Id, attributes: Attributes) {
        let encoding = self.encoding(&attributes);
        // Older releases of Active Support say that a text is safe, newer ones that it is not.
        let is_unsafe = attributes.iter().any(|(name, value)| {
            let says = matches!(self.graph.get(*value), Node::Leaf(Value::Bool(true)));
            matches!(name, Value::Symbol(name) if (name == "@html_safe" && !says) || (name == "@html_unsafe" && says))
        });
        // A text of a subclass stands behind its object.
        let (text, behind) = match self.graph.get(id) {
            Node::Object { part: Part::Value(inner), .. } => (*inner, true),
            _ => (id, false),
        };
        if let Node::Leaf(Value::Bytes(_) | Value::Text(_)) = self.graph.get(text)
            && let Some(encoding) = encoding
            && let Some(Node::Leaf(slot)) = self.graph.get_mut(text)
        {
            let bytes = match std::mem::replace(slot, Value::Null) {
                Value::Bytes(bytes) => bytes,
                Value::Text(text) => text.as_bytes().to_vec(),
                _ => Vec::new(),
            };
            *slot = encoding.decode(bytes);
        }
        if behind
            && let Node::Object { class, .. } = self.graph.get(id)
            && class == "ActiveSupport::SafeBuffer"
            && let Node::Leaf(Value::Text(text)) = self.graph.get(text)
        {
            let text = text.clone();
            let text = if is_unsafe { Value::Text(text) } else { Value::Markup(text.into()) };
            self.graph.set(id, Node::Leaf(text));
        }
    }

    fn encoding(&self, attributes: &Attributes) -> Option<Encoding> {
        attributes.iter().find_map(|(name, value)| {
            let Value::Symbol(name) = name else { return None };
            match (name.as_str(), self.graph.get(*value)) {
                ("E", Node::Leaf(Value::Bool(true))) => Some(Encoding::Utf8),
                ("E", Node::Leaf(Value::Bool(false))) => Some(Encoding::Ascii),
                ("encoding", Node::Leaf(Value::Bytes(name))) => {
                    Some(Encoding::Named(String::from_utf8_lossy(name).into_owned()))
                }
                ("encoding", Node::Leaf(Value::Text(name))) => Some(Encoding::Named(name.to_string())),
                _ => None,
            }
        })
    }

    /// Ruby's `Set` is an object around a hash whose keys are the members.
    fn set(&self, class: &str, fields: &[(Id, Id)]) -> Option<Node> {
        let &[(name, hash)] = fields else { return None };
        if class != "Set" || !matches!(self.graph.get(name), Node::Leaf(Value::Text(name)) if name == "@hash")
        {
            return None;
        }
        match self.graph.get(hash) {
            Node::Map { entries, .. } => Some(Node::Set(entries.iter().map(|&(key, _)| key).collect())),
            _ => None,
        }
    }

    /// A subclass of String, Array, Hash or Regexp keeps its class beside the value.
    fn subclass(&mut self, id: Id, class: String) {
        // The mark of a hash that compares keys by identity.
        if class == "Hash" && matches!(self.graph.get(id), Node::Map { .. }) {
            return;
        }
        let Some(slot) = self.graph.get_mut(id) else { return };
        let node = std::mem::replace(slot, Node::Pending);
        let part = match node {
            Node::List(items) => Part::Items(items),
            Node::Map { entries, default: None } => Part::Fields(entries),
            other => Part::Value(self.graph.add(other)),
        };
        self.graph.set(id, Node::Object { class, part });
    }

    fn regex(&mut self, attributes: &mut Option<()>) -> Result<Id, Error> {
        let source = self.text()?;
        let options = self.input.byte()?;
        let id = self.enter(Node::Pending);
        let encoding = match attributes.take() {
            Some(()) => {
                let attributes = self.attributes()?;
                self.encoding(&attributes)
            }
            None => None,
        };
        let pattern = match encoding.unwrap_or(Encoding::Utf8).decode(source.clone()) {
            Value::Text(text) => text.into(),
            Value::Encoded { text, .. } => text,
            _ => latin1(&source).into(),
        };
        let mut flags = String::new();
        for (bit, flag) in [(4, 'm'), (1, 'i'), (2, 'x')] {
            if options & bit != 0 {
                flags.push(flag);
            }
        }
        self.graph.set(id, Node::Leaf(Value::Regex { pattern, flags: flags.into() }));
        Ok(id)
    }

    /// An object that its class wrote as text (`_dump`). It enters the table after the variables of that text.
    fn dumped(&mut self, attributes: &mut Option<()>) -> Result<Id, Error> {
        let class = self.name()?;
        let text = self.text()?;
        let attributes = match attributes.take() {
            Some(()) => self.attributes()?,
            None => Vec::new(),
        };
        let node = time::from_dump(&class, &text, &attributes, &self.graph)
            .map_or_else(|| Node::Object { class, part: Part::Raw(text) }, Node::Leaf);
        Ok(self.enter(node))
    }

    fn items(&mut self) -> Result<Vec<Id>, Error> {
        let count = self.count(1)?;
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            self.input.count_item()?;
            items.push(self.value()?);
        }
        Ok(items)
    }

    fn entries(&mut self) -> Result<Vec<(Id, Id)>, Error> {
        let count = self.count(2)?;
        let mut entries = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            self.input.count_item()?;
            let key = self.value()?;
            entries.push((key, self.value()?));
        }
        Ok(entries)
    }

    /// Reads a count of things of at least `least` bytes each.
    fn count(&mut self, least: usize) -> Result<usize, Error> {
        let at = self.input.offset();
        let count = self.fixnum()?;
        let count =
            usize::try_from(count).map_err(|_| Error::new(ErrorKind::Malformed, at, "negative count"))?;
        if count > self.input.remaining() / least {
            return Err(Error::new(ErrorKind::Truncated, at, "count beyond the input"));
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<Vec<u8>, Error> {
        let length = self.count(1)?;
        Ok(self.input.take(length)?.to_vec())
    }

    fn fixnum(&mut self) -> Result<i64, Error> {
        #[expect(clippy::cast_possible_wrap, reason = "the byte is signed")]
        let first = self.input.byte()? as i8;
        Ok(match first {
            0 => 0,
            1..=4 => {
                let mut number = 0;
                for (index, &byte) in self.input.take(first.unsigned_abs().into())?.iter().enumerate() {
                    number |= i64::from(byte) << (8 * index);
                }
                number
            }
            -4..=-1 => {
                let mut number = -1;
                for (index, &byte) in self.input.take(first.unsigned_abs().into())?.iter().enumerate() {
                    number &= !(0xff << (8 * index));
                    number |= i64::from(byte) << (8 * index);
                }
                number
            }
            5.. => i64::from(first) - 5,
            _ => i64::from(first) + 5,
        })
    }

    fn bignum(&mut self, at: usize) -> Result<Value, Error> {
        let negative = match self.input.byte()? {
            b'+' => false,
            b'-' => true,
            _ => return Err(Error::new(ErrorKind::Malformed, at, "sign of a big integer")),
        };
        let words = self.count(2)?;
        let digits = self.input.take(words * 2)?;
        Value::bounded_big(negative, digits, at)
    }

    fn float(&mut self, at: usize) -> Result<f64, Error> {
        let text = self.text()?;
        // Ruby 1.8 wrote bits of the mantissa after a NUL.
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        match text {
            b"nan" => Ok(f64::NAN),
            b"inf" => Ok(f64::INFINITY),
            b"-inf" => Ok(f64::NEG_INFINITY),
            _ => std::str::from_utf8(text)
                .ok()
                .filter(|text| {
                    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
                })
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Error::new(ErrorKind::Malformed, at, "text of a float")),
        }
    }

    /// A name of a class: a symbol.
    fn name(&mut self) -> Result<String, Error> {
        match self.symbol_value()? {
            Value::Symbol(name) => Ok(name),
            _ => Err(Error::new(ErrorKind::Malformed, self.input.offset(), "name is not text")),
        }
    }

    fn symbol_value(&mut self) -> Result<Value, Error> {
        let at = self.input.offset();
        match self.input.byte()? {
            b':' => self.symbol(false),
            b';' => self.symbol_link(at),
            b'I' if self.input.byte()? == b':' => self.symbol(true),
            _ => Err(Error::new(ErrorKind::Malformed, at, "symbol expected")),
        }
    }

    fn symbol(&mut self, encoded: bool) -> Result<Value, Error> {
        let at = self.input.offset();
        self.input.enter()?;
        let bytes = self.text()?;
        let number = self.symbols.len();
        self.symbols.push(Value::Null);
        let encoding = if encoded {
            let attributes = self.attributes()?;
            self.encoding(&attributes).unwrap_or(Encoding::Binary)
        } else {
            Encoding::Ascii
        };
        self.input.leave();
        let name = match encoding.decode(bytes) {
            Value::Text(name) => name.into(),
            Value::Encoded { text: name, .. } => name.into(),
            Value::Bytes(bytes) => lossless(bytes),
            _ => return Err(Error::new(ErrorKind::Malformed, at, "name of a symbol")),
        };
        self.symbols[number] = Value::Symbol(name.clone());
        Ok(Value::Symbol(name))
    }

    fn symbol_link(&mut self, at: usize) -> Result<Value, Error> {
        let number = self.fixnum()?;
        match usize::try_from(number).ok().and_then(|number| self.symbols.get(number)) {
            Some(symbol @ Value::Symbol(name)) => {
                self.input.grow(name.len())?;
                Ok(symbol.clone())
            }
            _ => Err(Error::new(ErrorKind::Malformed, at, "link to a symbol that was not read")),
        }
    }
}

/// How the bytes of a text are meant.
enum Encoding {
    Utf8,
    Ascii,
    Binary,
    Named(String),
}

impl Encoding {
    fn decode(&self, bytes: Vec<u8>) -> Value {
        match self {
            Self::Utf8 => utf8(bytes),
            Self::Ascii | Self::Binary => raw_text(bytes),
            Self::Named(name) => match encoding_named(name, &bytes) {
                Some(_) if name == "ISO-8859-1" => {
                    Value::Encoded { text: latin1(&bytes).into(), encoding: name.as_str().into() }
                }
                Some(encoding) => {
                    match encoding.decode_without_bom_handling_and_without_replacement(&bytes) {
                        Some(text) => Value::Encoded { text: text.into(), encoding: name.as_str().into() },
                        None => Value::Bytes(bytes),
                    }
                }
                None => Value::Bytes(bytes),
            },
        }
    }
}

/// Ruby's encoding of this name, where the encodings of the web have the same. Longer names than 40 bytes name no encoding.
fn encoding_named(name: &str, bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    let web = encoding_rs::Encoding::for_label(Some(name).filter(|name| name.len() <= 40)?.as_bytes())?;
    match name {
        // The web reads these as Windows code pages, which differ in 80 to 9F.
        "ISO-8859-9" | "ISO-8859-11" if bytes.iter().any(|byte| (0x80..0xa0).contains(byte)) => None,
        // The order of the bytes is not in the name.
        "UTF-16" | "UTF-32" => None,
        _ => Some(web),
    }
}

fn utf8(bytes: Vec<u8>) -> Value {
    String::from_utf8(bytes)
        .map_or_else(|error| Value::Bytes(error.into_bytes()), |text| Value::Text(text.into()))
}

/// Bytes without an encoding: text where they are ASCII.
fn raw_text(bytes: Vec<u8>) -> Value {
    if bytes.is_ascii() { utf8(bytes) } else { Value::Bytes(bytes) }
}

fn lossless(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| latin1(error.as_bytes()))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
