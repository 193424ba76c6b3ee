//! The values that are met again in a tree.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::{Error, ErrorKind, Object, Value};

/// Values beyond those of the tree that a read may meet in second places.
const REPEATS: usize = 100_000;
/// Bytes of text beyond those of the tree.
const TEXT: usize = 4 << 20;

/// The named values of a tree, and what is left of the bounds of a read.
pub(super) struct Context<'v> {
    shared: HashMap<u32, &'v Value>,
    /// The names of the values around the one that is read.
    around: RefCell<Vec<u32>>,
    left: Cell<usize>,
    text: Cell<usize>,
}

impl<'v> Context<'v> {
    pub(super) fn new(root: &'v Value) -> Self {
        let mut shared = HashMap::new();
        let (count, text) = collect(root, &mut shared);
        // An option opens its value twice.
        let left = count.saturating_mul(2).saturating_add(REPEATS);
        let text = text.saturating_mul(2).saturating_add(TEXT);
        Self { shared, around: RefCell::default(), left: Cell::new(left), text: Cell::new(text) }
    }

    /// Counts bytes of text that the reader may copy.
    pub(super) fn grow(&self, bytes: usize) -> Result<(), Error> {
        let large = || Error::new(ErrorKind::TooLarge, 0, "text that is met again is too large");
        self.text.set(self.text.get().checked_sub(bytes).ok_or_else(large)?);
        Ok(())
    }

    /// Calls `read` with the value behind references and names.
    pub(super) fn opened<R>(
        &self,
        value: &'v Value,
        read: impl FnOnce(&'v Value) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let many = || Error::new(ErrorKind::TooMany, 0, "values that are met again make too many");
        self.left.set(self.left.get().checked_sub(1).ok_or_else(many)?);
        let mark = self.around.borrow().len();
        let result = self.follow(value).and_then(read);
        self.around.borrow_mut().truncate(mark);
        result
    }

    fn follow(&self, mut value: &'v Value) -> Result<&'v Value, Error> {
        loop {
            value = match value {
                Value::Ref(inner) => inner,
                Value::Shared(name, inner) => {
                    self.enter(*name)?;
                    inner
                }
                Value::Same(name) => {
                    self.enter(*name)?;
                    let lost = || Error::new(ErrorKind::Type, 0, "value that is met again is missing");
                    self.shared.get(name).copied().ok_or_else(lost)?
                }
                other => return Ok(other),
            };
        }
    }

    fn enter(&self, name: u32) -> Result<(), Error> {
        let mut around = self.around.borrow_mut();
        if around.contains(&name) {
            return Err(Error::new(ErrorKind::TooDeep, 0, "value holds itself"));
        }
        around.push(name);
        Ok(())
    }
}

/// Finds the named values. Returns how many values the tree has, and how many bytes of text.
fn collect<'v>(root: &'v Value, shared: &mut HashMap<u32, &'v Value>) -> (usize, usize) {
    let (mut count, mut text) = (0_usize, 0_usize);
    let mut open = vec![root];
    while let Some(value) = open.pop() {
        count += 1;
        text = text.saturating_add(super::bytes(value).len());
        match value {
            Value::Shared(name, inner) => {
                shared.insert(*name, inner);
                open.push(inner);
            }
            Value::Ref(inner) => open.push(inner),
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => open.extend(items),
            Value::Map(entries) => entries.iter().for_each(|(key, value)| open.extend([key, value])),
            Value::MapWithDefault(entries, default) => {
                entries.iter().for_each(|(key, value)| open.extend([key, value]));
                open.push(default);
            }
            Value::Object(object) => match &object.1 {
                Object::Fields(entries) => {
                    entries.iter().for_each(|(key, value)| open.extend([key, value]));
                }
                Object::Items(items) | Object::Hook { refs: items, .. } => open.extend(items),
                Object::Value(inner) => open.push(inner),
                Object::Raw(_) => {}
            },
            _ => {}
        }
    }
    (count, text)
}
