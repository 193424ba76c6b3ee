//! The format of the extension igbinary, versions 1 and 2 of its header.
//!
//! Texts and names of classes are numbered in the order of their first appearance. Arrays, objects and values that are
//! PHP references are numbered in a second list.

use super::{array, as_map, fields, key, string};
use crate::graph::{Graph, Id, Node, Part};
use crate::{Bounds, Error, ErrorKind, Reader, Value};

/// Reads one value.
///
/// # Errors
/// A kind and the offset of the damage; `Version` for another header.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut pack = Unpack {
        input: Reader::new(bytes, bounds),
        graph: Graph::that_names_all(),
        texts: Vec::new(),
        slots: Vec::new(),
    };
    if !matches!(u32::from_be_bytes(pack.input.array()?), 1 | 2) {
        return Err(Error::new(ErrorKind::Version, 0, "no header of igbinary"));
    }
    let root = pack.value(false)?;
    pack.input.end()?;
    pack.graph.into_value(root, bounds)
}

/// Reads the whole session of `session.serialize_handler = igbinary`.
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
    texts: Vec<&'a [u8]>,
    slots: Vec<Id>,
}

impl<'a> Unpack<'a> {
    fn malformed<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(Error::new(ErrorKind::Malformed, self.input.offset(), what))
    }

    /// A number of 1, 2 or 4 bytes.
    fn number(&mut self, width: u8) -> Result<usize, Error> {
        Ok(match width {
            0 => self.input.byte()?.into(),
            1 => u16::from_be_bytes(self.input.array()?).into(),
            _ => u32::from_be_bytes(self.input.array()?) as usize,
        })
    }

    fn value(&mut self, is_reference: bool) -> Result<Id, Error> {
        self.input.enter()?;
        self.input.count_item()?;
        let code = self.input.byte()?;
        let value = match code {
            0x00 => Value::Null,
            0x04 => Value::Bool(false),
            0x05 => Value::Bool(true),
            0x06..=0x0b | 0x20 | 0x21 => self.long(code)?,
            0x0c => Value::Float(f64::from_be_bytes(self.input.array()?)),
            0x0d..=0x13 | 0x26 => string(self.text(code)?),
            _ => {
                let id = self.compound(code)?;
                self.input.leave();
                return Ok(id);
            }
        };
        let id = self.graph.leaf(value);
        if is_reference {
            self.slots.push(id);
        }
        self.input.leave();
        Ok(id)
    }

    fn compound(&mut self, code: u8) -> Result<Id, Error> {
        Ok(match code {
            0x01..=0x03 => {
                let number = self.number(code - 0x01)?;
                self.slot(number)?
            }
            0x22..=0x24 => {
                let number = self.number(code - 0x22)?;
                self.slot(number)?
            }
            0x14..=0x16 => {
                let id = self.pending();
                let entries = self.entries(code, key)?;
                let node = array(&mut self.graph, entries);
                self.graph.set(id, node);
                id
            }
            0x17..=0x1c => self.object(code)?,
            0x25 => self.value(true)?,
            _ => return self.malformed("unknown type"),
        })
    }

    fn pending(&mut self) -> Id {
        let id = self.graph.add(Node::Pending);
        self.slots.push(id);
        id
    }

    fn slot(&self, number: usize) -> Result<Id, Error> {
        match self.slots.get(number) {
            Some(&id) => Ok(id),
            None => self.malformed("reference leads nowhere"),
        }
    }

    fn long(&mut self, code: u8) -> Result<Value, Error> {
        let size: u64 = match code {
            0x06 | 0x07 => self.input.byte()?.into(),
            0x08 | 0x09 => u16::from_be_bytes(self.input.array()?).into(),
            0x0a | 0x0b => u32::from_be_bytes(self.input.array()?).into(),
            _ => u64::from_be_bytes(self.input.array()?),
        };
        let negative = matches!(code, 0x07 | 0x09 | 0x0b | 0x21);
        Ok(Value::big(negative, &size.to_le_bytes()))
    }

    /// A text, which is numbered if it is new.
    fn text(&mut self, code: u8) -> Result<&'a [u8], Error> {
        match code {
            0x0d => Ok(b""),
            0x0e..=0x10 => {
                let number = self.number(code - 0x0e)?;
                let Some(&text) = self.texts.get(number) else { return self.malformed("text leads nowhere") };
                // Each use is a copy.
                self.input.grow(text.len())?;
                Ok(text)
            }
            0x11..=0x13 => {
                let len = self.number(code - 0x11)?;
                self.new_text(len)
            }
            0x26 => {
                let len = usize::try_from(u64::from_be_bytes(self.input.array()?)).unwrap_or(usize::MAX);
                self.new_text(len)
            }
            _ => self.malformed("text expected"),
        }
    }

    fn new_text(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let text = self.input.take(len)?;
        self.texts.push(text);
        Ok(text)
    }

    fn name(&mut self) -> Result<String, Error> {
        let code = self.input.byte()?;
        Ok(String::from_utf8_lossy(self.text(code)?).into_owned())
    }

    fn object(&mut self, code: u8) -> Result<Id, Error> {
        let class = match code {
            0x17..=0x19 => {
                let len = self.number(code - 0x17)?;
                self.new_text(len)?
            }
            _ => self.text(code - 0x1a + 0x0e)?,
        };
        let class = String::from_utf8_lossy(class).into_owned();
        let id = self.pending();
        let code = self.input.byte()?;
        let part = match code {
            // A case of an enumeration.
            0x27 => {
                let (class, case) = (class.into(), self.name()?.into());
                self.graph.set(id, Node::Leaf(Value::Enum { class, case }));
                return Ok(id);
            }
            0x14..=0x16 => {
                let entries = self.entries(code, string)?;
                Part::Fields(fields(&mut self.graph, entries))
            }
            0x1d..=0x1f => {
                let len = self.number(code - 0x1d)?;
                Part::Raw(self.input.take(len)?.to_vec())
            }
            _ => return self.malformed("content of an object expected"),
        };
        self.graph.set(id, Node::Object { class, part });
        Ok(id)
    }

    fn entries(&mut self, code: u8, name: impl Fn(&[u8]) -> Value) -> Result<Vec<(Value, Id)>, Error> {
        let count = self.number(code - 0x14)?;
        if count > self.input.remaining() / 2 {
            return self.malformed("more entries than bytes");
        }
        let mut entries = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            self.input.count_item()?;
            let code = self.input.byte()?;
            let key = match code {
                // No entry.
                0x00 => continue,
                0x06..=0x0b | 0x20 | 0x21 => self.long(code)?,
                _ => name(self.text(code)?),
            };
            entries.push((key, self.value(false)?));
        }
        Ok(entries)
    }
}
