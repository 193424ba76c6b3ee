//! Names, and calls of what they name.

use super::{Machine, known};
use crate::graph::{Graph, Id, Node, Part};
use crate::{Error, Reader, Value};

type Entries = Vec<(Id, Id)>;

/// A call that a pickle asks for, and what it puts into the result. It is never made.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) class: String,
    /// The tuple of the arguments, of which the first are left out.
    pub(super) arguments: Id,
    pub(super) skip: usize,
    /// The argument that is the content of the object.
    content: Option<Id>,
    pub(super) keywords: Option<Id>,
    pub(super) state: Option<Id>,
    pub(super) items: Vec<Id>,
    pub(super) entries: Entries,
}

impl Machine<'_> {
    /// Instructions of classes and objects.
    pub(super) fn class(&mut self, code: u8) -> Result<(), Error> {
        match code {
            b'c' => {
                let name = self.global()?;
                self.leaf(Value::Class(name))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Leaf(Value::Text(module)), Node::Leaf(Value::Text(name))) =
                    (self.graph.get(module), self.graph.get(name))
                else {
                    return Err(self.bad("name is not text"));
                };
                let name = qualified(module, name);
                self.input.grow(name.len())?;
                self.leaf(Value::Class(name))
            }
            0x82..=0x84 => {
                let number = match code {
                    0x82 => u32::from(self.input.byte()?),
                    0x83 => u16::from_le_bytes(self.input.array()?).into(),
                    _ => u32::from_le_bytes(self.input.array()?),
                };
                self.leaf(Value::Class(format!("extension {number}")))
            }
            b'i' => {
                let class = self.global()?;
                let items = self.pop_mark()?;
                let arguments = self.graph.add(Node::Tuple(items));
                self.call(class, arguments, 0, None)
            }
            b'o' => {
                let mut items = self.pop_mark()?;
                if items.is_empty() {
                    return Err(self.bad("object without a class"));
                }
                let class = self.class_name(items.remove(0))?;
                let arguments = self.graph.add(Node::Tuple(items));
                self.call(class, arguments, 0, None)
            }
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.reduce(class, arguments, None)
            }
            0x92 => {
                let (keywords, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.reduce(class, arguments, Some(keywords))
            }
            _ => {
                let (state, object) = (self.pop()?, self.top()?);
                match self.calls.get_mut(&object) {
                    Some(call) if call.state.is_none() => call.state = Some(state),
                    _ => return Err(self.bad("state of no object")),
                }
                Ok(())
            }
        }
    }

    fn reduce(&mut self, callable: Id, arguments: Id, keywords: Option<Id>) -> Result<(), Error> {
        let Node::Tuple(items) = self.graph.get(arguments) else {
            return Err(self.bad("tuple of arguments expected"));
        };
        let class = self.class_name(callable)?;
        let text = |id: &Id| match self.graph.get(*id) {
            Node::Leaf(Value::Text(text)) => Some(text),
            _ => None,
        };
        match (class.as_str(), items.as_slice()) {
            // A name within a class, in protocols without dotted names.
            ("builtins.getattr", [of, name]) => {
                if let (Node::Leaf(Value::Class(of)), Some(name)) = (self.graph.get(*of), text(name)) {
                    let name = format!("{of}.{name}");
                    self.input.grow(name.len())?;
                    return self.leaf(Value::Class(name));
                }
                self.call(class, arguments, 0, keywords)
            }
            ("copyreg.__newobj__", [of, ..]) => {
                let class = self.class_name(*of)?;
                self.call(class, arguments, 1, keywords)
            }
            ("copyreg.__newobj_ex__", &[of, inner, keywords]) => self.reduce_once(of, inner, keywords),
            // A class, the class that gives its content, and that content.
            ("copyreg._reconstructor", &[of, base, content]) => {
                let skip = if self.class_name(base)? == "builtins.object" { 3 } else { 2 };
                let class = self.class_name(of)?;
                self.call(class, arguments, skip, keywords)?;
                if let Some(mut last) = self.calls.last_entry() {
                    last.get_mut().content = Some(content);
                }
                Ok(())
            }
            _ => self.call(class, arguments, 0, keywords),
        }
    }

    fn reduce_once(&mut self, of: Id, arguments: Id, keywords: Id) -> Result<(), Error> {
        if !matches!(self.graph.get(arguments), Node::Tuple(_)) {
            return Err(self.bad("tuple of arguments expected"));
        }
        let class = self.class_name(of)?;
        self.call(class, arguments, 0, Some(keywords))
    }

    fn call(&mut self, class: String, arguments: Id, skip: usize, keywords: Option<Id>) -> Result<(), Error> {
        self.input.grow(class.len())?;
        self.node(Node::Pending)?;
        let call = Call {
            class,
            arguments,
            skip,
            content: None,
            keywords,
            state: None,
            items: Vec::new(),
            entries: Vec::new(),
        };
        self.calls.insert(self.graph.len() - 1, call);
        Ok(())
    }

    /// The name of a class, or of the class of an object that is called.
    fn class_name(&self, id: Id) -> Result<String, Error> {
        match (self.graph.get(id), self.calls.get(&id)) {
            (Node::Leaf(Value::Class(name)), _) => Ok(name.clone()),
            (_, Some(call)) => Ok(call.class.clone()),
            _ => Err(self.bad("call of no class")),
        }
    }

    fn global(&mut self) -> Result<String, Error> {
        let module = self.line()?.to_vec();
        let name = self.line()?;
        let text = |bytes| std::str::from_utf8(bytes).ok();
        match (text(&module), text(name)) {
            (Some(module), Some(name)) => Ok(qualified(module, name)),
            _ => Err(self.bad("name is not text")),
        }
    }
}

/// The name of a class, under the module's name in Python 3.
fn qualified(module: &str, name: &str) -> String {
    let module = match module {
        "__builtin__" | "exceptions" => "builtins",
        "copy_reg" => "copyreg",
        "UserDict" | "UserList" | "UserString" => "collections",
        module => module,
    };
    let name = match (module, name) {
        ("builtins", "unicode" | "basestring") => "str",
        ("builtins", "long") => "int",
        ("builtins", "xrange") => "range",
        ("builtins", "unichr") => "chr",
        (_, name) => name,
    };
    format!("{module}.{name}")
}

impl Call {
    /// The result of the call and of the instructions after it.
    pub(super) fn finish(mut self, graph: &mut Graph, input: &mut Reader<'_>) -> Result<Node, Error> {
        self.unpack(graph, input)?;
        if let Some(node) = known::node(&self, graph, input)? {
            return Ok(node);
        }
        let arguments = self.arguments(graph);
        // Many objects may share their arguments and their state.
        input.count_items(arguments.len())?;
        let arguments = arguments.to_vec();
        let (variables, state) = self.variables(graph, input)?;
        let keywords = self.keywords.filter(|keywords| !is_empty(graph.get(*keywords)));
        let part = match (
            arguments.as_slice(),
            variables.is_empty() && keywords.is_none(),
            state,
            self.items.is_empty(),
            self.entries.is_empty(),
        ) {
            ([], _, None, true, true) if keywords.is_none() => Part::Fields(variables),
            ([], true, None, true, false) => Part::Fields(self.entries),
            ([], true, None, false, true) => Part::Items(self.items),
            ([], true, Some(state), true, true) => Part::Value(state),
            (&[argument], true, None, true, true) => Part::Value(argument),
            (_, true, None, true, true) => Part::Items(arguments),
            _ => {
                let mut fields = Vec::new();
                let list = |items: Vec<Id>| Some(items).filter(|items| !items.is_empty()).map(Node::List);
                let map = Node::Map { entries: self.entries, default: None };
                let parts = [
                    ("args", list(arguments)),
                    ("keywords", keywords.map(Node::Alias)),
                    ("state", state.map(Node::Alias)),
                    ("items", list(self.items)),
                    ("entries", Some(map).filter(|map| !is_empty(map))),
                ];
                for (name, node) in parts {
                    if let Some(node) = node {
                        fields.push((graph.leaf(Value::Text(name.into())), graph.add(node)));
                    }
                }
                // Of two fields of one name the last counts.
                fields.extend(variables);
                Part::Fields(fields)
            }
        };
        Ok(Node::Object { class: self.class, part })
    }

    /// Takes the content of an object of protocol 0 or 1 whose class has a list, a tuple, a set or a map as its base.
    fn unpack(&mut self, graph: &Graph, input: &mut Reader<'_>) -> Result<(), Error> {
        let Some(content) = self.content else { return Ok(()) };
        match graph.get(content) {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => {
                input.count_items(items.len())?;
                self.items.splice(..0, items.iter().copied());
            }
            Node::Map { entries, .. } => {
                input.count_items(entries.len())?;
                self.entries.splice(..0, entries.iter().copied());
            }
            _ => return Ok(()),
        }
        self.skip += 1;
        Ok(())
    }

    /// The arguments that are not left out.
    pub(super) fn arguments<'g>(&self, graph: &'g Graph) -> &'g [Id] {
        match graph.get(self.arguments) {
            Node::Tuple(items) => items.get(self.skip..).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// The variables of `__dict__` and of slots, or a state of another kind.
    fn variables(&self, graph: &Graph, input: &mut Reader<'_>) -> Result<(Entries, Option<Id>), Error> {
        let Some(state) = self.state else { return Ok((Vec::new(), None)) };
        let dicts = match graph.get(state) {
            Node::Leaf(Value::Null) => Vec::new(),
            Node::Map { .. } => vec![state],
            Node::Tuple(parts)
                if parts.len() == 2
                    && parts.iter().all(|part| {
                        matches!(graph.get(*part), Node::Map { .. } | Node::Leaf(Value::Null))
                    }) =>
            {
                parts.clone()
            }
            _ => return Ok((Vec::new(), Some(state))),
        };
        let mut variables = Vec::new();
        for dict in dicts {
            if let Node::Map { entries, .. } = graph.get(dict) {
                input.count_items(entries.len())?;
                variables.extend_from_slice(entries);
            }
        }
        Ok((variables, None))
    }
}

fn is_empty(node: &Node) -> bool {
    match node {
        Node::Map { entries, .. } => entries.is_empty(),
        node => matches!(node, Node::Leaf(Value::Null)),
    }
}
