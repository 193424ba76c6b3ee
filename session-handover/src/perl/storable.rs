//! Perl's Storable, read as data: `freeze`, `nfreeze`, `store` and `nstore` of major version 2.
//!
//! A freeze begins with a byte of the major version and the byte order, and a byte of the minor version. A file has the four bytes
//! `pst0` before that. In native order a text with the byte order and the sizes of C's types follows.
//! Every value but a back reference takes the next tag, a reference as much as the value it leads to.

use crate::graph::{Graph, Id, Node, Part};
use crate::{Bounds, Error, ErrorKind, Reader, Value};

/// Reads a freeze, or a file with its header. The bytes must end where the value ends.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut input = Reader::new(bytes, bounds);
    if bytes.starts_with(b"pst0") {
        input.take(4)?;
    }
    let layout = Layout::read(&mut input)?;
    let mut thaw = Thaw { input, layout, graph: Graph::default(), tags: Vec::new(), classes: Vec::new() };
    let root = thaw.value(None)?;
    let rest = thaw.input.offset();
    if rest != bytes.len() {
        return Err(Error::new(ErrorKind::Trailing, rest, "bytes follow the value"));
    }
    thaw.graph.into_value(root, bounds)
}

/// How numbers are written.
#[derive(Debug, Clone, Copy)]
struct Layout {
    big_endian: bool,
    /// Bytes of an integer of Perl (`IV`). Only native order has such integers.
    integer: usize,
    /// Bytes of a length.
    length: usize,
}

impl Layout {
    fn read(input: &mut Reader<'_>) -> Result<Self, Error> {
        let at = input.offset();
        let first = input.byte()?;
        let network = first & 1 == 1;
        if first >> 1 != 2 {
            return Err(Error::new(ErrorKind::Version, at, "not Storable of major version 2"));
        }
        let minor = input.byte()?;
        if minor > 12 {
            return Err(Error::new(ErrorKind::Version, at + 1, "newer minor version of Storable"));
        }
        if network {
            return Ok(Self { big_endian: true, integer: 8, length: 4 });
        }
        let at = input.offset();
        let length = usize::from(input.byte()?);
        let big_endian = match input.take(length)? {
            b"12345678" | b"1234" => false,
            b"87654321" | b"4321" => true,
            _ => return Err(Error::new(ErrorKind::Version, at, "unknown byte order")),
        };
        let int = input.byte()?;
        let long = input.byte()?;
        let pointer = input.byte()?;
        // The size of a floating point number is written since minor version 2.
        let double = if minor >= 2 { input.byte()? } else { 8 };
        if int != 4 || !matches!(long, 4 | 8) || !matches!(pointer, 4 | 8) || double != 8 {
            return Err(Error::new(ErrorKind::Version, at, "sizes of a machine that is not supported"));
        }
        // The byte order has one digit for each byte of an integer.
        Ok(Self { big_endian, integer: length, length: 4 })
    }
}

struct Thaw<'a> {
    input: Reader<'a>,
    layout: Layout,
    graph: Graph,
    /// The nodes in the order of their tags.
    tags: Vec<Id>,
    classes: Vec<String>,
}

impl Thaw<'_> {
    /// Reads a value. `class` is the name that it is blessed into.
    fn value(&mut self, class: Option<String>) -> Result<Id, Error> {
        self.input.enter()?;
        self.input.count_item()?;
        let id = self.value_at(class)?;
        self.input.leave();
        Ok(id)
    }

    fn value_at(&mut self, class: Option<String>) -> Result<Id, Error> {
        let at = self.input.offset();
        let code = self.input.byte()?;
        match code {
            // A value met before, by its tag: big-endian in both orders.
            0 => {
                let tag = self.network_u32()?;
                self.tagged(tag, at)
            }
            1 => {
                let length = self.length()?;
                let bytes = self.input.take(length)?.to_vec();
                Ok(self.scalar(unflagged(bytes), class))
            }
            2 => self.array(class),
            3 => self.hash(class, false),
            // References: plain, overloaded, weak, weak and overloaded.
            4 | 20 | 27 | 28 => {
                let id = self.tag(Node::Pending);
                let target = self.target(None, &[2, 3, 17, 18, 25])?;
                self.finish(id, Node::Ref(target), class);
                Ok(id)
            }
            5 | 14 | 31 => Ok(self.scalar(Value::Null, class)),
            6 => {
                let value = self.native_integer()?;
                Ok(self.scalar(value, class))
            }
            7 => {
                let bytes = self.input.array::<8>()?;
                let number = if self.layout.big_endian {
                    f64::from_be_bytes(bytes)
                } else {
                    f64::from_le_bytes(bytes)
                };
                Ok(self.scalar(Value::Float(number), class))
            }
            8 => {
                let byte = self.input.byte()?;
                Ok(self.scalar(Value::Int(i64::from(byte) - 128), class))
            }
            9 => {
                let number = i32::from_be_bytes(self.input.array::<4>()?);
                Ok(self.scalar(Value::Int(number.into()), class))
            }
            10 => {
                let length = usize::from(self.input.byte()?);
                let bytes = self.input.take(length)?.to_vec();
                Ok(self.scalar(unflagged(bytes), class))
            }
            // Tied variables: the object behind them is the content.
            11..=13 => {
                let id = self.tag(Node::Pending);
                let behind = self.value(None)?;
                // A tied hash or array stands for its object, which a reference leads to.
                let behind = match self.graph.get(behind) {
                    Node::Ref(object) if code != 13 => *object,
                    _ => behind,
                };
                self.finish(id, Node::Alias(behind), class);
                Ok(id)
            }
            21 | 22 => {
                let id = self.tag(Node::Pending);
                let behind = self.value(None)?;
                if code == 21 {
                    self.value(None)?;
                } else {
                    self.length()?;
                }
                self.finish(id, Node::Alias(behind), class);
                Ok(id)
            }
            15 | 34 => Ok(self.scalar(Value::Bool(true), class)),
            16 | 35 => Ok(self.scalar(Value::Bool(false), class)),
            17 => {
                let length = self.short_or_long()?;
                let name = self.input.take(length)?;
                let name = class_name(name);
                self.classes.push(name.clone());
                self.blessed(name, at)
            }
            18 => {
                let index = self.short_or_long()?;
                let name = self.class(index, at)?;
                self.blessed(name, at)
            }
            19 => self.hook(),
            23 => {
                let length = usize::from(self.input.byte()?);
                let value = self.flagged(length)?;
                Ok(self.scalar(value, class))
            }
            24 => {
                let length = self.length()?;
                let value = self.flagged(length)?;
                Ok(self.scalar(value, class))
            }
            25 => self.hash(class, true),
            26 => {
                let id = self.tag(Node::Leaf(Value::Opaque("code".to_owned())));
                // The source text of the code, which takes a tag too.
                self.value(None)?;
                if class.is_some() {
                    self.finish(id, Node::Leaf(Value::Opaque("code".to_owned())), class);
                }
                Ok(id)
            }
            // A version string: its spelling, and then the text itself as a value.
            29 => {
                let length = usize::from(self.input.byte()?);
                self.input.take(length)?;
                self.value(class)
            }
            30 => {
                let length = self.length()?;
                self.input.take(length)?;
                self.value(class)
            }
            32 => self.regex(class),
            33 => Err(Error::new(ErrorKind::TooLarge, at, "object of more than 2 GiB")),
            _ => Err(Error::new(ErrorKind::Malformed, at, "unknown type code")),
        }
    }

    fn blessed(&mut self, name: String, at: usize) -> Result<Id, Error> {
        if self.input.peek() == Some(0) {
            return Err(Error::new(ErrorKind::Malformed, at, "class of a back reference"));
        }
        self.target(Some(name), &[2, 3, 25])
    }

    /// The value behind a reference or a class. With one of these codes it is on the same level: a list within a list is a
    /// reference to a list, and its class stands between the two.
    fn target(&mut self, class: Option<String>, same_level: &[u8]) -> Result<Id, Error> {
        if !self.input.peek().is_some_and(|code| same_level.contains(&code)) {
            return self.value(class);
        }
        self.input.leave();
        let id = self.value(class)?;
        self.input.enter()?;
        Ok(id)
    }

    fn tag(&mut self, node: Node) -> Id {
        let id = self.graph.add(node);
        self.tags.push(id);
        id
    }

    fn scalar(&mut self, value: Value, class: Option<String>) -> Id {
        let id = self.tag(Node::Pending);
        self.finish(id, Node::Leaf(value), class);
        id
    }

    fn finish(&mut self, id: Id, node: Node, class: Option<String>) {
        let node = match (class, node) {
            (None, node) => node,
            (Some(class), node @ Node::Leaf(Value::Regex { .. })) if class == "Regexp" => node,
            (Some(class), Node::Map { entries, .. }) => Node::Object { class, part: Part::Fields(entries) },
            (Some(class), Node::List(items)) => Node::Object { class, part: Part::Items(items) },
            (Some(class), node) => {
                let inner = self.graph.add(node);
                Node::Object { class, part: Part::Value(inner) }
            }
        };
        self.graph.set(id, node);
    }

    fn tagged(&self, tag: u32, at: usize) -> Result<Id, Error> {
        usize::try_from(tag)
            .ok()
            .and_then(|tag| self.tags.get(tag).copied())
            .ok_or_else(|| Error::new(ErrorKind::Malformed, at, "tag of a value that was not read"))
    }

    fn class(&mut self, index: usize, at: usize) -> Result<String, Error> {
        let name = self.classes.get(index).cloned();
        let name =
            name.ok_or_else(|| Error::new(ErrorKind::Malformed, at, "number of a class that was not read"))?;
        self.input.grow(name.len())?;
        Ok(name)
    }

    fn array(&mut self, class: Option<String>) -> Result<Id, Error> {
        let id = self.tag(Node::Pending);
        let count = self.count(1)?;
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            items.push(self.value(None)?);
        }
        self.finish(id, Node::List(items), class);
        Ok(id)
    }

    fn hash(&mut self, class: Option<String>, flagged: bool) -> Result<Id, Error> {
        const UTF8: u8 = 1;
        const IS_VALUE: u8 = 8;
        const PLACEHOLDER: u8 = 16;
        let id = self.tag(Node::Pending);
        if flagged {
            // Whether the hash is restricted.
            self.input.byte()?;
        }
        let count = self.count(5)?;
        let mut entries = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let value = self.value(None)?;
            let flags = if flagged { self.input.byte()? } else { 0 };
            let key = if flags & IS_VALUE != 0 {
                self.value(None)?
            } else {
                let length = self.length()?;
                let key = if flags & UTF8 != 0 {
                    self.flagged(length)?
                } else {
                    // Bytes of a key are characters of Latin-1.
                    Value::Text(latin1(self.input.take(length)?).into())
                };
                self.graph.leaf(key)
            };
            if flags & PLACEHOLDER == 0 {
                entries.push((key, value));
            }
        }
        self.finish(id, Node::Map { entries, default: None }, class);
        Ok(id)
    }

    /// An object whose class wrote its own text (`STORABLE_freeze`), with the values it refers to.
    fn hook(&mut self) -> Result<Id, Error> {
        const KIND: u8 = 0x03;
        const LONG_CLASS: u8 = 0x04;
        const LONG_TEXT: u8 = 0x08;
        const LONG_LIST: u8 = 0x10;
        const INDEXED: u8 = 0x20;
        const RECURSE: u8 = 0x40;
        const HAS_LIST: u8 = 0x80;
        let at = self.input.offset();
        let mut flags = self.input.byte()?;
        let id = self.tag(Node::Pending);
        let extra = flags & KIND == 3;
        let magic = if extra { self.input.byte()? } else { 0 };
        while flags & RECURSE != 0 {
            self.value(None)?;
            flags = self.input.byte()?;
        }
        let class = if flags & INDEXED != 0 {
            let index = self.sized(flags & LONG_CLASS != 0)?;
            self.class(index, at)?
        } else {
            let length = self.sized(flags & LONG_CLASS != 0)?;
            let name = class_name(self.input.take(length)?);
            self.classes.push(name.clone());
            name
        };
        let length = self.sized(flags & LONG_TEXT != 0)?;
        let frozen = self.input.take(length)?.to_vec();
        let mut refs = Vec::new();
        if flags & HAS_LIST != 0 {
            let count = self.sized(flags & LONG_LIST != 0)?;
            if count > self.input.remaining() / 4 {
                return Err(Error::new(ErrorKind::Truncated, at, "count beyond the input"));
            }
            for _ in 0..count {
                let tag = self.network_u32()?;
                let target = self.tagged(tag, at)?;
                refs.push(self.graph.add(Node::Ref(target)));
            }
        }
        if extra {
            match magic {
                // A tied object: the object behind it follows.
                4..=6 => {
                    self.value(None)?;
                }
                _ => return Err(Error::new(ErrorKind::Malformed, at, "unknown kind of a hook")),
            }
        }
        self.graph.set(id, Node::Object { class, part: Part::Hook { frozen, refs } });
        Ok(id)
    }

    fn regex(&mut self, class: Option<String>) -> Result<Id, Error> {
        let long = self.input.byte()? & 1 != 0;
        let length = self.sized(long)?;
        let pattern = text(self.input.take(length)?);
        let length = usize::from(self.input.byte()?);
        let flags = text(self.input.take(length)?);
        let id = self.tag(Node::Pending);
        self.finish(id, Node::Leaf(Value::Regex { pattern: pattern.into(), flags: flags.into() }), class);
        Ok(id)
    }

    /// Text with Perl's UTF-8 flag. Perl's own encoding goes beyond UTF-8; such text stays bytes.
    fn flagged(&mut self, length: usize) -> Result<Value, Error> {
        let bytes = self.input.take(length)?.to_vec();
        Ok(String::from_utf8(bytes)
            .map_or_else(|error| Value::Bytes(error.into_bytes()), |text| Value::Text(text.into())))
    }

    fn native_integer(&mut self) -> Result<Value, Error> {
        Ok(if self.layout.integer == 4 {
            let bytes = self.input.array::<4>()?;
            Value::Int(
                if self.layout.big_endian { i32::from_be_bytes(bytes) } else { i32::from_le_bytes(bytes) }
                    .into(),
            )
        } else {
            let bytes = self.input.array::<8>()?;
            Value::Int(if self.layout.big_endian {
                i64::from_be_bytes(bytes)
            } else {
                i64::from_le_bytes(bytes)
            })
        })
    }

    fn network_u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.input.array::<4>()?))
    }

    /// A length of one byte, or of four bytes behind a byte with its high bit set.
    fn short_or_long(&mut self) -> Result<usize, Error> {
        let first = self.input.byte()?;
        if first & 0x80 != 0 { self.length() } else { Ok(first.into()) }
    }

    fn sized(&mut self, long: bool) -> Result<usize, Error> {
        if long { self.length() } else { Ok(self.input.byte()?.into()) }
    }

    fn length(&mut self) -> Result<usize, Error> {
        let at = self.input.offset();
        debug_assert_eq!(self.layout.length, 4, "lengths have four bytes in every layout");
        let bytes = self.input.array::<4>()?;
        let length =
            if self.layout.big_endian { i32::from_be_bytes(bytes) } else { i32::from_le_bytes(bytes) };
        usize::try_from(length).map_err(|_| Error::new(ErrorKind::Malformed, at, "negative length"))
    }

    /// Reads a count of things of at least `least` bytes each.
    fn count(&mut self, least: usize) -> Result<usize, Error> {
        let at = self.input.offset();
        let count = self.length()?;
        if count > self.input.remaining() / least {
            return Err(Error::new(ErrorKind::Truncated, at, "count beyond the input"));
        }
        Ok(count)
    }
}

/// A text without the UTF-8 flag: ASCII is text, anything else may be bytes or Latin-1 text.
fn unflagged(bytes: Vec<u8>) -> Value {
    if bytes.is_ascii() {
        String::from_utf8(bytes)
            .map_or_else(|error| Value::Bytes(error.into_bytes()), |text| Value::Text(text.into()))
    } else {
        Value::Bytes(bytes)
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// Text that is UTF-8 or Latin-1.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| latin1(bytes), str::to_owned)
}

fn class_name(bytes: &[u8]) -> String {
    text(bytes)
}
