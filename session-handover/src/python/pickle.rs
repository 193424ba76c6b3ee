//! Pickles of protocols 0 to 5, read as data. A pickle is a program for a stack machine. This reader follows its instructions
//! and calls nothing: a call becomes an object that has the name and the arguments.
//!
//! | in the pickle | is |
//! |---|---|
//! | `datetime.datetime`, `date`, `time` | [`Value::DateTime`], [`Value::Date`], [`Value::TimeOfDay`] |
//! | `decimal.Decimal`, `uuid.UUID` | [`Value::Decimal`], [`Value::Uuid`] |
//! | sets, tuples, `bytes`, `bytearray` | [`Value::Set`], [`Value::Tuple`], [`Value::Bytes`] |
//! | `OrderedDict`, `defaultdict`, `Counter`, `deque` of `collections` | a map, a list |
//! | `Markup`, Django's `SafeString` | [`Value::Markup`] |
//! | the name of a class, a function or a method; the case of an `Enum` in Python 3.11.0 to 3.11.3 | [`Value::Class`] |
//! | `str` of Python 2 | text if it is ASCII, else bytes |
//! | an object of another class | [`Object`](crate::Object): its variables; or its items; or the arguments of the call that makes it |
//!
//! An object that has several of these has fields: its variables, and `args`, `items` or `entries`. As in Python, bytes
//! after the end of a pickle are ignored.

mod call;
mod known;
mod line;

use std::collections::{BTreeMap, HashMap};

use self::call::Call;
use crate::graph::{Graph, Id, Node};
use crate::{Bounds, Error, ErrorKind, Reader, Value, wtf8};

/// Reads one pickle.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    read_first(bytes, bounds).map(|(value, _)| value)
}

/// Reads the pickle at the beginning, and returns what follows it.
pub(crate) fn read_first<'a>(bytes: &'a [u8], bounds: &Bounds) -> Result<(Value, &'a [u8]), Error> {
    let mut machine = Machine {
        input: Reader::new(bytes, bounds),
        graph: Graph::that_names_parts(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        calls: BTreeMap::new(),
        at: 0,
    };
    let root = machine.run()?;
    let rest = machine.input.rest();
    // In the order in which they were made: a call is made after its arguments.
    for (id, call) in std::mem::take(&mut machine.calls) {
        let node = call.finish(&mut machine.graph, &mut machine.input)?;
        machine.graph.set(id, node);
    }
    Ok((machine.graph.into_value(root, bounds)?, rest))
}

struct Machine<'a> {
    input: Reader<'a>,
    graph: Graph,
    stack: Vec<Id>,
    /// Lengths of the stack at which a mark stands.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    calls: BTreeMap<Id, Call>,
    /// The offset of the instruction.
    at: usize,
}

impl Machine<'_> {
    /// Follows the instructions. Returns the value that the pickle leaves.
    fn run(&mut self) -> Result<Id, Error> {
        loop {
            self.at = self.input.offset();
            let code = self.input.byte()?;
            if code == b'.' {
                return self.pop();
            }
            match code {
                b'N' | b'I' | b'J' | b'K' | b'L' | b'M' | b'F' | b'G' | 0x88..=0x8b => {
                    let value = self.scalar(code)?;
                    self.leaf(value)?;
                }
                b'S' | b'T' | b'U' | b'V' | b'X' | b'B' | b'C' | 0x8c..=0x8e | 0x96 => {
                    let value = self.text(code)?;
                    self.leaf(value)?;
                }
                b'(' => self.marks.push(self.stack.len()),
                b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.push(top)?;
                }
                b'c' | b'i' | b'o' | b'R' | b'b' | 0x81..=0x84 | 0x92 | 0x93 => self.class(code)?,
                b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.memo(code)?,
                0x80 => match self.input.byte()? {
                    0..=5 => {}
                    _ => return Err(Error::new(ErrorKind::Version, self.at, "protocol of the pickle")),
                },
                0x95 => {
                    let length = u64::from_le_bytes(self.input.array()?);
                    self.length(length)?;
                }
                _ => self.collection(code)?,
            }
        }
    }

    fn scalar(&mut self, code: u8) -> Result<Value, Error> {
        Ok(match code {
            b'N' => Value::Null,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'I' => match self.line()? {
                b"00" => Value::Bool(false),
                b"01" => Value::Bool(true),
                digits => line::integer(digits).ok_or_else(|| self.bad("integer"))?,
            },
            b'L' => {
                let digits = self.line()?;
                line::integer(digits.strip_suffix(b"L").unwrap_or(digits))
                    .ok_or_else(|| self.bad("integer"))?
            }
            b'J' => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            b'K' => Value::Int(self.input.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            b'F' => Value::Float(line::float(self.line()?).ok_or_else(|| self.bad("float"))?),
            b'G' => Value::Float(f64::from_be_bytes(self.input.array()?)),
            _ => {
                let length = match code {
                    0x8a => self.input.byte()?.into(),
                    _ => u32::from_le_bytes(self.input.array()?).into(),
                };
                let bytes = self.bytes(length)?;
                let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
                Value::bounded_big(negative, &magnitude(bytes, negative), self.at)?
            }
        })
    }

    fn text(&mut self, code: u8) -> Result<Value, Error> {
        let value = match code {
            b'S' => line::quoted(self.line()?).ok_or_else(|| self.bad("text in quotes"))?,
            b'V' => line::unicode(self.line()?).ok_or_else(|| self.bad("text"))?,
            _ => {
                let length = match code {
                    b'U' | b'C' | 0x8c => self.input.byte()?.into(),
                    b'T' | b'X' | b'B' => u32::from_le_bytes(self.input.array()?).into(),
                    _ => u64::from_le_bytes(self.input.array()?),
                };
                let bytes = self.bytes(length)?;
                match code {
                    b'X' | 0x8c | 0x8d => wtf8::text(bytes).ok_or_else(|| self.bad("text is not UTF-8"))?,
                    b'T' | b'U' => line::string(bytes.to_vec()),
                    _ => Value::Bytes(bytes.to_vec()),
                }
            }
        };
        Ok(value)
    }

    /// Instructions of lists, tuples, maps and sets.
    fn collection(&mut self, code: u8) -> Result<(), Error> {
        match code {
            b']' => self.node(Node::List(Vec::new())),
            b')' => self.node(Node::Tuple(Vec::new())),
            b'}' => self.node(Node::Map { entries: Vec::new(), default: None }),
            0x8f => self.node(Node::Set(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                self.node(Node::List(items))
            }
            b't' => {
                let items = self.pop_mark()?;
                self.node(Node::Tuple(items))
            }
            0x91 => {
                let items = self.pop_mark()?;
                self.node(Node::Set(items))
            }
            0x85..=0x87 => {
                let length = usize::from(code - 0x84);
                let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                self.node(Node::Tuple(items))
            }
            b'd' => {
                let items = self.pop_mark()?;
                let entries = self.pairs(&items)?;
                self.node(Node::Map { entries, default: None })
            }
            b'a' | b'e' | 0x90 => {
                let items = if code == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
                let list = self.top()?;
                match (self.graph.get_mut(list), self.calls.get_mut(&list)) {
                    (Some(Node::List(old)), _) if code != 0x90 => old.extend(items),
                    (Some(Node::Set(old)), _) if code == 0x90 => old.extend(items),
                    (_, Some(call)) => call.items.extend(items),
                    _ => return Err(self.bad("items of no list")),
                }
                Ok(())
            }
            b's' | b'u' => {
                let items = if code == b's' {
                    let value = self.pop()?;
                    vec![self.pop()?, value]
                } else {
                    self.pop_mark()?
                };
                let pairs = self.pairs(&items)?;
                let map = self.top()?;
                match (self.graph.get_mut(map), self.calls.get_mut(&map)) {
                    (Some(Node::Map { entries, .. }), _) => entries.extend(pairs),
                    (_, Some(call)) => call.entries.extend(pairs),
                    _ => return Err(self.bad("entries of no map")),
                }
                Ok(())
            }
            b'P' | b'Q' | 0x97 | 0x98 => Err(self.bad("data outside the pickle")),
            _ => Err(self.bad("unknown instruction")),
        }
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, Error> {
        if !items.len().is_multiple_of(2) {
            return Err(self.bad("key without a value"));
        }
        Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn memo(&mut self, code: u8) -> Result<(), Error> {
        let index = match code {
            b'g' | b'p' => line::index(self.line()?).ok_or_else(|| self.bad("number of a value"))?,
            b'h' | b'q' => self.input.byte()?.into(),
            0x94 => self.memo.len(),
            _ => usize::try_from(u32::from_le_bytes(self.input.array()?)).unwrap_or(usize::MAX),
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let id = *self.memo.get(&index).ok_or_else(|| self.bad("number of no value"))?;
            return self.push(id);
        }
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn leaf(&mut self, value: Value) -> Result<(), Error> {
        self.node(Node::Leaf(value))
    }

    fn node(&mut self, node: Node) -> Result<(), Error> {
        let id = self.graph.add(node);
        self.push(id)
    }

    fn push(&mut self, id: Id) -> Result<(), Error> {
        self.input.count_item()?;
        self.stack.push(id);
        Ok(())
    }

    /// The value at the top, above the last mark.
    fn top(&self) -> Result<Id, Error> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(<[Id]>::last).copied().ok_or_else(|| self.bad("stack is empty"))
    }

    fn pop(&mut self) -> Result<Id, Error> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Error> {
        let mark = self.marks.pop().ok_or_else(|| self.bad("no mark"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn line(&mut self) -> Result<&[u8], Error> {
        let rest = self.input.rest();
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let line = self.input.take(end)?;
        self.input.byte()?;
        Ok(line)
    }

    fn bytes(&mut self, length: u64) -> Result<&[u8], Error> {
        let length = self.length(length)?;
        self.input.take(length)
    }

    fn length(&self, length: u64) -> Result<usize, Error> {
        let beyond = || Error::new(ErrorKind::Truncated, self.at, "length beyond the input");
        usize::try_from(length).ok().filter(|length| *length <= self.input.remaining()).ok_or_else(beyond)
    }

    fn bad(&self, what: &'static str) -> Error {
        Error::new(ErrorKind::Malformed, self.at, what)
    }
}

/// The digits of an integer in two's complement, without its sign.
fn magnitude(bytes: &[u8], negative: bool) -> Vec<u8> {
    let mut carry = negative;
    let digit = |&byte: &u8| {
        if !negative {
            return byte;
        }
        let (digit, over) = (!byte).overflowing_add(carry.into());
        carry = over;
        digit
    };
    bytes.iter().map(digit).collect()
}
