//! The text that YAML.pm writes, with the meaning that YAML.pm gives it: every scalar is text, and only a bare `~` is `undef`.
//!
//! Dancer, Dancer2 and CGI::Session's YAML serializer store it. A general YAML library would turn `007`, `yes` and `2025-01-15`
//! into other types.

mod scalar;

use std::collections::HashMap;

use crate::graph::{Graph, Id, Node, Part};
use crate::{Bounds, Error, ErrorKind, Reader, Value};
use scalar::{
    Inline, Marks, SPACE, comment, find_key, is_item, is_long_key, malformed, plain, quoted, regex, trimmed,
};

/// Reads the first document of a text.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    // The reader counts; the text is read line by line.
    let mut count = Reader::new(bytes, bounds);
    count.grow(bytes.len())?;
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // Written without a layer for UTF-8: characters of Latin-1.
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    };
    let mut lines = Vec::new();
    let mut offset = 0;
    for line in text.split('\n') {
        lines.push(Line { at: offset, text: line.strip_suffix('\r').unwrap_or(line) });
        offset += line.len() + 1;
    }
    let mut load = Load { lines: &lines, next: 0, graph: Graph::default(), anchors: HashMap::new(), count };
    load.skip_blank();
    let first = load.peek().ok_or_else(|| Error::new(ErrorKind::Truncated, 0, "no document"))?;
    let root = if first.begins_document() {
        load.next += 1;
        load.node(first.text[3..].trim_start_matches(SPACE), None, first.at + 3)?
    } else {
        load.node("", None, 0)?
    };
    load.skip_blank();
    if let Some(line) = load.peek()
        && !line.begins_document()
    {
        return Err(malformed(line.at, "text after the document"));
    }
    load.graph.into_value(root, bounds)
}

#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    /// Offset of the line in the text.
    at: usize,
    text: &'a str,
}

impl Line<'_> {
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches(' ').len()
    }

    /// A key may begin with three dashes too.
    fn begins_document(&self) -> bool {
        self.text.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(SPACE))
    }

    fn content(&self) -> &str {
        self.text.trim_start_matches(' ')
    }
}

struct Load<'a> {
    lines: &'a [Line<'a>],
    next: usize,
    graph: Graph,
    anchors: HashMap<String, Id>,
    count: Reader<'a>,
}

impl<'a> Load<'a> {
    fn peek(&self) -> Option<Line<'a>> {
        self.lines.get(self.next).copied()
    }

    fn skip_blank(&mut self) {
        while let Some(line) = self.peek() {
            let content = line.content();
            if !trimmed(content).is_empty() && !content.starts_with('#') {
                return;
            }
            self.next += 1;
        }
    }

    /// Reads a node whose first line has `rest` after its key or dash. Lines that are indented by more than `parent` belong to it.
    fn node(&mut self, rest: &str, parent: Option<usize>, at: usize) -> Result<Id, Error> {
        self.count.enter()?;
        self.count.count_item()?;
        let id = self.node_at(rest, parent, at)?;
        self.count.leave();
        Ok(id)
    }

    fn node_at(&mut self, rest: &str, parent: Option<usize>, at: usize) -> Result<Id, Error> {
        let (marks, rest) = Marks::read(rest, at)?;
        if let Some(name) = marks.alias {
            return self
                .anchors
                .get(&name)
                .copied()
                .ok_or_else(|| malformed(at, "alias of an unknown anchor"));
        }
        // The anchor is known before the parts: they may refer to it.
        let id = self.graph.add(Node::Pending);
        if let Some(name) = marks.anchor {
            self.anchors.insert(name, id);
        }
        let target = if rest.is_empty() {
            self.block(parent, at)?
        } else if let Some(style) = rest.strip_prefix(['|', '>']) {
            let text = self.literal(style, rest.starts_with('>'), parent);
            self.graph.leaf(Value::Text(text.into()))
        } else {
            self.inline_all(rest, at, marks.tag.is_some())?
        };
        let node = self.tagged(marks.tag.as_deref(), target, at)?;
        self.graph.set(id, node);
        Ok(id)
    }

    /// The collection on the lines that follow, or an empty text.
    fn block(&mut self, parent: Option<usize>, at: usize) -> Result<Id, Error> {
        self.skip_blank();
        let Some(line) = self.peek() else { return Ok(self.graph.leaf(Value::Text("".into()))) };
        let indent = line.indent();
        let dash = is_item(line.content());
        // A list may stand at the indentation of its key.
        let inside = parent.is_none_or(|parent| indent > parent || (indent == parent && dash));
        if !inside || line.begins_document() {
            return Ok(self.graph.leaf(Value::Text("".into())));
        }
        if dash {
            self.list(indent)
        } else if is_long_key(line.content()) || find_key(line.content(), at)?.is_some() {
            self.map(indent)
        } else {
            Err(malformed(line.at, "neither a list nor a map"))
        }
    }

    fn list(&mut self, indent: usize) -> Result<Id, Error> {
        let items = self.items(Vec::new(), indent)?;
        self.end_of_block(indent)?;
        Ok(self.graph.add(Node::List(items)))
    }

    /// The items at the beginning of the next lines, after those that are read already.
    fn items(&mut self, mut items: Vec<Id>, indent: usize) -> Result<Vec<Id>, Error> {
        loop {
            self.skip_blank();
            let Some(line) = self.peek().filter(|line| line.indent() == indent && is_item(line.content()))
            else {
                return Ok(items);
            };
            self.next += 1;
            let (rest, inner) = after_dash(&line.text[indent..], indent);
            items.push(self.item(rest, inner, indent, line.at + inner)?);
        }
    }

    /// An item of a list: a node, or a collection that begins on the same line.
    fn item(&mut self, rest: &'a str, inner: usize, indent: usize, at: usize) -> Result<Id, Error> {
        let nested = is_item(rest)
            || is_long_key(rest)
            || (!rest.starts_with(['&', '*', '!', '[', '{', '|', '>', '#']) && find_key(rest, at)?.is_some());
        if !nested {
            return self.node(rest, Some(indent), at);
        }
        self.count.enter()?;
        self.count.count_item()?;
        let id =
            if is_item(rest) { self.nested_list(rest, inner, at)? } else { self.map_from(rest, inner, at)? };
        self.count.leave();
        Ok(id)
    }

    fn nested_list(&mut self, first: &'a str, indent: usize, at: usize) -> Result<Id, Error> {
        let (rest, inner) = after_dash(first, indent);
        let first = self.item(rest, inner, indent, at)?;
        let items = self.items(vec![first], indent)?;
        Ok(self.graph.add(Node::List(items)))
    }

    fn map(&mut self, indent: usize) -> Result<Id, Error> {
        let Some(line) = self.peek() else { return Err(malformed(0, "map expected")) };
        self.next += 1;
        self.map_from(&line.text[indent..], indent, line.at + indent)
    }

    /// A map whose first entry was already taken from its line.
    fn map_from(&mut self, first: &'a str, indent: usize, at: usize) -> Result<Id, Error> {
        let mut entries = Vec::new();
        let mut content = first;
        let mut at = at;
        loop {
            let (key, rest, start) = if is_long_key(content) {
                self.long_key(content, indent, at)?
            } else {
                let (key, rest) = find_key(content, at)?.ok_or_else(|| malformed(at, "key expected"))?;
                (key, rest, at + (content.len() - rest.len()))
            };
            let value = self.node(rest, Some(indent), start)?;
            entries.push((self.graph.leaf(Value::Text(key.into())), value));
            self.skip_blank();
            let Some(line) = self.peek() else { break };
            if line.indent() != indent || line.begins_document() {
                break;
            }
            if is_item(line.content()) {
                break;
            }
            self.next += 1;
            content = &line.text[indent..];
            at = line.at + indent;
        }
        self.end_of_block(indent)?;
        Ok(self.graph.add(Node::Map { entries, default: None }))
    }

    /// A key of several lines: `? |-` and its lines, then a line with `:` and the value.
    fn long_key(
        &mut self,
        content: &'a str,
        indent: usize,
        at: usize,
    ) -> Result<(String, &'a str, usize), Error> {
        let id = self.node(trimmed(&content[1..]), Some(indent), at)?;
        let key = match self.graph.resolve(id).map(|id| self.graph.get(id)) {
            Some(Node::Leaf(Value::Text(key))) => key.to_string(),
            Some(Node::Leaf(Value::Null)) => String::new(),
            _ => return Err(malformed(at, "key is not text")),
        };
        self.skip_blank();
        let line = self.peek().ok_or_else(|| Error::new(ErrorKind::Truncated, at, "key without a value"))?;
        // YAML.pm writes the colon without indentation, and reads it with any.
        let rest = line.text.trim_start_matches(' ').strip_prefix(':');
        let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(' '));
        let rest = rest.ok_or_else(|| malformed(line.at, "colon expected"))?;
        self.next += 1;
        Ok((key, comment(rest.trim_start_matches(SPACE)), line.at + line.indent() + 1))
    }

    /// A line that is indented further than the block it follows belongs to nothing.
    fn end_of_block(&mut self, indent: usize) -> Result<(), Error> {
        match self.peek() {
            Some(line) if line.indent() > indent => Err(malformed(line.at, "unexpected indentation")),
            _ => Ok(()),
        }
    }

    /// A literal (`|`) or folded (`>`) text.
    fn literal(&mut self, style: &str, folded: bool, parent: Option<usize>) -> String {
        let style = style.split_once('#').map_or(style, |(style, _)| style).trim();
        let keep = style.contains('+');
        let strip = style.contains('-');
        let given = style.chars().find_map(|digit| digit.to_digit(10)).map(|digit| digit as usize);
        let least = parent.map_or(0, |parent| parent + 1);
        let mut lines: Vec<&str> = Vec::new();
        let mut indent = given.map(|given| parent.unwrap_or(0) + given);
        while let Some(line) = self.peek() {
            let blank = trimmed(line.text).is_empty();
            if !blank
                && (line.indent() < indent.unwrap_or(least) || (parent.is_none() && line.begins_document()))
            {
                break;
            }
            if !blank && indent.is_none() {
                indent = Some(line.indent());
            }
            self.next += 1;
            // A blank line may have fewer spaces than the block.
            lines.push(&line.text[indent.unwrap_or(least).min(line.indent())..]);
        }
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            text.push_str(line);
            let next = lines.get(index + 1);
            let joins = folded
                && !line.is_empty()
                && !line.starts_with(' ')
                && next.is_some_and(|next| !next.is_empty() && !next.starts_with(' '));
            text.push(if joins { ' ' } else { '\n' });
        }
        if !keep {
            let end = text.trim_end_matches('\n').len();
            text.truncate(end);
            if !strip && !text.is_empty() {
                text.push('\n');
            }
        }
        text
    }

    /// A node that is written on the rest of a line.
    fn inline_all(&mut self, text: &str, at: usize, tagged: bool) -> Result<Id, Error> {
        if text.starts_with(['[', '{', '"', '\'']) {
            let mut inline = Inline { text, rest: text, at };
            let id = self.inline(&mut inline)?;
            let rest = inline.rest.trim_start_matches(SPACE);
            let comment = rest.starts_with('#') && rest.len() < inline.rest.len();
            if !rest.is_empty() && !comment {
                return Err(malformed(inline.offset(), "text after the value"));
            }
            return Ok(id);
        }
        let value = plain(text, at, tagged)?;
        Ok(self.graph.leaf(value))
    }

    fn inline(&mut self, inline: &mut Inline<'_>) -> Result<Id, Error> {
        self.count.enter()?;
        self.count.count_item()?;
        inline.space();
        let (marks, rest) = Marks::read(inline.rest, inline.offset())?;
        inline.rest = rest;
        let at = inline.offset();
        let id = if let Some(name) = marks.alias {
            self.anchors.get(&name).copied().ok_or_else(|| malformed(at, "alias of an unknown anchor"))?
        } else {
            let id = self.graph.add(Node::Pending);
            if let Some(name) = marks.anchor {
                self.anchors.insert(name, id);
            }
            let target = self.inline_value(inline)?;
            let node = self.tagged(marks.tag.as_deref(), target, at)?;
            self.graph.set(id, node);
            id
        };
        self.count.leave();
        Ok(id)
    }

    fn inline_value(&mut self, inline: &mut Inline<'_>) -> Result<Id, Error> {
        let at = inline.offset();
        match inline.rest.chars().next() {
            Some('[') => {
                inline.take('[');
                let mut items = Vec::new();
                loop {
                    inline.space();
                    if inline.take(']') {
                        return Ok(self.graph.add(Node::List(items)));
                    }
                    items.push(self.inline(inline)?);
                    inline.space();
                    if !inline.take(',') && !inline.rest.starts_with(']') {
                        return Err(malformed(inline.offset(), "comma or end of a list expected"));
                    }
                }
            }
            Some('{') => {
                inline.take('{');
                let mut entries = Vec::new();
                loop {
                    inline.space();
                    if inline.take('}') {
                        return Ok(self.graph.add(Node::Map { entries, default: None }));
                    }
                    let key = self.inline(inline)?;
                    inline.space();
                    if !inline.take(':') {
                        return Err(malformed(inline.offset(), "colon expected"));
                    }
                    entries.push((key, self.inline(inline)?));
                    inline.space();
                    if !inline.take(',') && !inline.rest.starts_with('}') {
                        return Err(malformed(inline.offset(), "comma or end of a map expected"));
                    }
                }
            }
            Some('"' | '\'') => {
                let (text, rest) = quoted(inline.rest, at)?;
                inline.rest = rest;
                Ok(self.graph.leaf(Value::Text(text.into())))
            }
            _ => {
                let end = inline
                    .rest
                    .char_indices()
                    .find(|&(index, letter)| {
                        matches!(letter, '[' | ']' | '{' | '}' | ',')
                            || (letter == ':' && inline.rest[index + 1..].starts_with([' ', ',', '}']))
                    })
                    .map_or(inline.rest.len(), |(index, _)| index);
                let (text, rest) = inline.rest.split_at(end);
                inline.rest = rest;
                let value = plain(text, at, false)?;
                Ok(self.graph.leaf(value))
            }
        }
    }

    /// Gives a node the class of its tag. The name stays text.
    fn tagged(&mut self, tag: Option<&str>, id: Id, at: usize) -> Result<Node, Error> {
        let Some(tag) = tag else { return Ok(Node::Alias(id)) };
        let Some((kind, class)) =
            tag.strip_prefix("!perl/").or_else(|| tag.strip_prefix("perl/")).map(|tag| {
                tag.split_once(':').map_or((tag, None), |(kind, class)| (kind, Some(class.to_owned())))
            })
        else {
            return Ok(Node::Alias(id));
        };
        let id = self.graph.resolve(id).ok_or_else(|| malformed(at, "anchor of itself"))?;
        let node = self.graph.get(id).clone();
        Ok(match (kind, node, class) {
            ("hash", Node::Map { entries, .. }, Some(class)) => {
                Node::Object { class, part: Part::Fields(entries) }
            }
            ("array", Node::List(items), Some(class)) => Node::Object { class, part: Part::Items(items) },
            // An empty collection of a class may stand as an empty text.
            ("hash", Node::Leaf(_), Some(class)) => Node::Object { class, part: Part::Fields(Vec::new()) },
            ("array", Node::Leaf(_), Some(class)) => Node::Object { class, part: Part::Items(Vec::new()) },
            ("scalar", _, Some(class)) => Node::Object { class, part: Part::Value(id) },
            ("ref", Node::Map { entries, .. }, class) => {
                let &[(_, value)] = entries.as_slice() else {
                    return Err(malformed(at, "reference without one value"));
                };
                // The single value is itself a reference where it is a container.
                let target = self.graph.resolve(value).map_or(&Node::Pending, |value| self.graph.get(value));
                let container = matches!(target, Node::List(_) | Node::Map { .. } | Node::Object { .. });
                let value = if container { self.graph.add(Node::Ref(value)) } else { value };
                match class {
                    Some(class) => Node::Object { class, part: Part::Value(value) },
                    None => Node::Ref(value),
                }
            }
            ("regexp", Node::Leaf(Value::Text(text)), class) => {
                let regex = regex(&text);
                match class {
                    Some(class) if class != "Regexp" => {
                        let inner = self.graph.leaf(regex);
                        Node::Object { class, part: Part::Value(inner) }
                    }
                    _ => Node::Leaf(regex),
                }
            }
            ("code", ..) => Node::Leaf(Value::Opaque("code".to_owned())),
            ("glob", ..) => Node::Leaf(Value::Opaque("glob".to_owned())),
            _ => Node::Alias(id),
        })
    }
}

/// What follows the dash of an item at `indent`, and where it begins.
fn after_dash(content: &str, indent: usize) -> (&str, usize) {
    let rest = content[1..].trim_start_matches(' ');
    (rest, indent + (content.len() - rest.len()))
}
