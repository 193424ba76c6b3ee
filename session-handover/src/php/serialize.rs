//! The text of PHP's `serialize()`.
//!
//! Lengths are bytes. Values are numbered from 1, keys are not: `R:` names a number and takes none, `r:` names one and
//! takes one itself. Classes are names here, and nothing is loaded.

use std::collections::HashSet;

use super::{array, as_map, fields, key, string};
use crate::float::Decimal;
use crate::graph::{Graph, Id, Node, Part};
use crate::{Bounds, Error, ErrorKind, Reader, Value};

/// Reads one value.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut text = Text::new(bytes, bounds);
    let root = text.value()?;
    text.input.end()?;
    text.graph.into_value(root, bounds)
}

/// Reads the whole session of `session.serialize_handler = php_serialize`, of Laravel and of others: an array.
///
/// # Errors
/// As [`read`]; `Malformed` for another value than an array.
pub fn read_session(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Map(Vec::new()));
    }
    as_map(read(bytes, bounds)?)
}

/// Writes a value as PHP writes it.
///
/// # Errors
/// `Unwritable` for values that PHP would not read back as they were: objects, whose private names a [`Value`] does not
/// keep, shared values, moments, and others that PHP does not have.
pub fn write(value: &Value) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    put(value, &mut out, DEEPEST)?;
    Ok(out)
}

pub(crate) fn unwritable() -> Error {
    Error::new(ErrorKind::Unwritable, 0, "PHP would not read this value back")
}

/// How deeply values that are written may nest.
pub(crate) const DEEPEST: usize = 512;

pub(crate) fn put(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), Error> {
    let depth = depth.checked_sub(1).ok_or_else(unwritable)?;
    match value {
        Value::Null => out.extend_from_slice(b"N;"),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"b:1;" } else { b"b:0;" }),
        Value::Int(number) => out.extend_from_slice(format!("i:{number};").as_bytes()),
        Value::Float(number) => out.extend_from_slice(format!("d:{};", float(*number)).as_bytes()),
        Value::Text(text) => put_string(text.as_bytes(), out),
        Value::Bytes(bytes) => put_string(bytes, out),
        Value::List(items) => {
            put_array(items.len(), out, depth, (0..).map(Value::Int).zip(items))?;
        }
        Value::Map(entries) => {
            put_array(entries.len(), out, depth, entries.iter().map(|(key, value)| (key.clone(), value)))?;
        }
        Value::Enum { class, case } => {
            let name = format!("{class}:{case}");
            out.extend_from_slice(format!("E:{}:\"{name}\";", name.len()).as_bytes());
        }
        _ => return Err(unwritable()),
    }
    Ok(())
}

fn put_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("s:{}:\"", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\";");
}

fn put_array<'v>(
    len: usize,
    out: &mut Vec<u8>,
    depth: usize,
    entries: impl Iterator<Item = (Value, &'v Value)>,
) -> Result<(), Error> {
    out.extend_from_slice(format!("a:{len}:{{").as_bytes());
    let mut names = HashSet::new();
    for (name, value) in entries {
        let from = out.len();
        // PHP would read `"5"` as the integer 5.
        match &name {
            Value::Int(number) => out.extend_from_slice(format!("i:{number};").as_bytes()),
            Value::Text(text) if key(text.as_bytes()) == name => put_string(text.as_bytes(), out),
            Value::Bytes(bytes) if key(bytes) == name => put_string(bytes, out),
            _ => return Err(unwritable()),
        }
        if !names.insert(out[from..].to_vec()) {
            return Err(unwritable());
        }
        put(value, out, depth)?;
    }
    out.push(b'}');
    Ok(())
}

/// A float as PHP writes it with `serialize_precision = -1`: the shortest digits that give it back.
pub(crate) fn float(number: f64) -> String {
    if number.is_nan() {
        return "NAN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "INF" } else { "-INF" }.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let decimal = Decimal::of(number);
    let exponent = decimal.exponent;
    // The decimal point stands after `exponent + 1` digits. PHP changes to exponents below -3 and above 17.
    if (-4..17).contains(&exponent) {
        return decimal.plain();
    }
    let mut mantissa = decimal.mantissa();
    if !mantissa.contains('.') {
        mantissa.push_str(".0");
    }
    format!("{mantissa}E{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Reads values that share their numbers.
pub(crate) struct Text<'a> {
    pub(crate) input: Reader<'a>,
    pub(crate) graph: Graph,
    /// The values by number, from 1.
    slots: Vec<Id>,
    /// Numbers up to this one are certain. A class that writes its own bytes may number the values in them.
    certain: usize,
}

impl<'a> Text<'a> {
    pub(crate) fn new(bytes: &'a [u8], bounds: &Bounds) -> Self {
        Self {
            input: Reader::new(bytes, bounds),
            graph: Graph::that_names_all(),
            slots: Vec::new(),
            certain: usize::MAX,
        }
    }

    fn malformed<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(Error::new(ErrorKind::Malformed, self.input.offset(), what))
    }

    fn expect(&mut self, wanted: &'static [u8]) -> Result<(), Error> {
        let at = self.input.offset();
        if self.input.take(wanted.len())? == wanted {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Malformed, at, "another character expected"))
    }

    /// The text up to a character, which is consumed.
    fn until(&mut self, end: u8) -> Result<&'a [u8], Error> {
        let Some(len) = self.input.rest().iter().position(|&byte| byte == end) else {
            return Err(Error::new(ErrorKind::Truncated, self.input.offset(), "input ends early"));
        };
        let text = self.input.take(len)?;
        self.input.byte()?;
        Ok(text)
    }

    fn number<T: std::str::FromStr>(&mut self, end: u8) -> Result<T, Error> {
        let at = self.input.offset();
        let text = self.until(end)?;
        let number = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.len() <= 400)
            .and_then(|text| text.parse().ok());
        number.ok_or_else(|| Error::new(ErrorKind::Malformed, at, "number expected"))
    }

    /// A length of `"…"` and the bytes in it.
    fn quoted(&mut self) -> Result<&'a [u8], Error> {
        let len: usize = self.number(b':')?;
        self.expect(b"\"")?;
        let bytes = self.input.take(len)?;
        self.expect(b"\"")?;
        Ok(bytes)
    }

    /// One value. A key takes no number.
    pub(crate) fn value(&mut self) -> Result<Id, Error> {
        self.input.enter()?;
        self.input.count_item()?;
        let at = self.input.offset();
        let code = self.input.byte()?;
        let id = match code {
            b'N' => {
                self.expect(b";")?;
                self.leaf(Value::Null)
            }
            b'R' | b'r' => {
                self.expect(b":")?;
                let number: usize = self.number(b';')?;
                let target = if number > self.certain {
                    self.graph.leaf(Value::Opaque("reference".to_owned()))
                } else {
                    let target = number.checked_sub(1).and_then(|index| self.slots.get(index)).copied();
                    // Only objects are met again without being a reference.
                    let target = target.filter(|id| code == b'R' || self.is_object(*id));
                    target.ok_or_else(|| Error::new(ErrorKind::Malformed, at, "reference leads nowhere"))?
                };
                if code == b'r' {
                    self.slots.push(target);
                }
                target
            }
            _ => {
                self.expect(b":")?;
                self.typed(code, at)?
            }
        };
        self.input.leave();
        Ok(id)
    }

    fn is_object(&self, id: Id) -> bool {
        match self.graph.get(id) {
            // An object that is being read, or an array.
            Node::Pending | Node::Object { .. } => true,
            Node::Leaf(value) => matches!(value, Value::Enum { .. } | Value::Opaque(_)),
            _ => false,
        }
    }

    fn leaf(&mut self, value: Value) -> Id {
        let id = self.graph.leaf(value);
        self.slots.push(id);
        id
    }

    fn typed(&mut self, code: u8, at: usize) -> Result<Id, Error> {
        Ok(match code {
            b'b' => {
                let truth = self.until(b';')?;
                match truth {
                    b"0" => self.leaf(Value::Bool(false)),
                    b"1" => self.leaf(Value::Bool(true)),
                    _ => return self.malformed("boolean expected"),
                }
            }
            b'i' => {
                let number = self.number(b';')?;
                self.leaf(Value::Int(number))
            }
            b'd' => {
                let number = self.float()?;
                self.leaf(Value::Float(number))
            }
            b's' => {
                let bytes = self.quoted()?;
                self.expect(b";")?;
                self.leaf(string(bytes))
            }
            b'S' => {
                let bytes = self.escaped()?;
                self.leaf(string(&bytes))
            }
            b'a' => {
                let id = self.leaf(Value::Null);
                self.graph.set(id, Node::Pending);
                let entries = self.entries(key)?;
                let node = array(&mut self.graph, entries);
                self.graph.set(id, node);
                id
            }
            b'O' => {
                let class = self.class()?;
                self.expect(b":")?;
                let id = self.leaf(Value::Null);
                self.graph.set(id, Node::Pending);
                let entries = self.entries(string)?;
                let fields = fields(&mut self.graph, entries);
                self.graph.set(id, Node::Object { class, part: Part::Fields(fields) });
                id
            }
            b'C' => {
                let class = self.class()?;
                self.expect(b":")?;
                let len: usize = self.number(b':')?;
                self.expect(b"{")?;
                let raw = self.input.take(len)?.to_vec();
                self.expect(b"}")?;
                let id = self.leaf(Value::Null);
                if may_hold_values(&raw) {
                    self.certain = self.certain.min(self.slots.len());
                }
                self.graph.set(id, Node::Object { class, part: Part::Raw(raw) });
                id
            }
            b'E' => {
                let name = self.class()?;
                self.expect(b";")?;
                let Some((class, case)) = name.split_once(':') else {
                    return self.malformed("case expected");
                };
                self.leaf(Value::Enum { class: class.to_owned(), case: case.to_owned() })
            }
            _ => return Err(Error::new(ErrorKind::Malformed, at, "unknown type")),
        })
    }

    fn class(&mut self) -> Result<String, Error> {
        let name = self.quoted()?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    fn float(&mut self) -> Result<f64, Error> {
        let at = self.input.offset();
        Ok(match self.until(b';')? {
            b"INF" => f64::INFINITY,
            b"-INF" => f64::NEG_INFINITY,
            b"NAN" => f64::NAN,
            text => {
                let plain = text.len() <= 400
                    && text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte));
                let number =
                    std::str::from_utf8(text).ok().filter(|_| plain).and_then(|text| text.parse().ok());
                number.ok_or_else(|| Error::new(ErrorKind::Malformed, at, "number expected"))?
            }
        })
    }

    /// A string whose bytes may be written as a backslash and two digits; its length counts the decoded bytes.
    fn escaped(&mut self) -> Result<Vec<u8>, Error> {
        let len: usize = self.number(b':')?;
        self.expect(b"\"")?;
        if len > self.input.remaining() {
            return Err(Error::new(ErrorKind::Truncated, self.input.offset(), "input ends early"));
        }
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let byte = self.input.byte()?;
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            let digits: [u8; 2] = self.input.array()?;
            let decoded =
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match decoded {
                Some(byte) => bytes.push(byte),
                None => return self.malformed("two hexadecimal digits expected"),
            }
        }
        self.expect(b"\";")?;
        Ok(bytes)
    }

    /// `n:{key value …}`.
    fn entries(&mut self, name: impl Fn(&[u8]) -> Value) -> Result<Vec<(Value, Id)>, Error> {
        let count: usize = self.number(b':')?;
        self.expect(b"{")?;
        // Each entry has at least six bytes.
        if count > self.input.remaining() / 4 {
            return self.malformed("more entries than bytes");
        }
        let mut entries = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            self.input.count_item()?;
            let at = self.input.offset();
            let code = self.input.byte()?;
            self.expect(b":")?;
            let key = match code {
                b'i' => Value::Int(self.number(b';')?),
                b's' => {
                    let bytes = self.quoted()?;
                    self.expect(b";")?;
                    name(bytes)
                }
                b'S' => name(&self.escaped()?),
                _ => return Err(Error::new(ErrorKind::Malformed, at, "key expected")),
            };
            entries.push((key, self.value()?));
        }
        self.expect(b"}")?;
        Ok(entries)
    }
}

/// Whether bytes that a class wrote itself may hold values, which PHP numbers.
fn may_hold_values(raw: &[u8]) -> bool {
    let begins = |pair: &[u8]| pair == b"N;" || (pair[1] == b':' && b"RrabdisSOCE".contains(&pair[0]));
    raw.windows(2).any(begins)
}
