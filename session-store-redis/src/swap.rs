//! A store on a condition without a script where that is possible.

use std::borrow::Cow;

use redis::{Cmd, Value};
use session_core::{Condition, Decision, Found, Record, Revision, Timestamp, decide_store};

use crate::layout::{decode_head, encode, head, time_to_live};
use crate::script::Known;

/// A store on a condition.
pub(crate) struct Swap<'a> {
    pub(crate) name: &'a [u8],
    condition: Condition,
    now: Timestamp,
    offered: Revision,
    /// Empty for a record that has expired, so that the store is a removal.
    value: Vec<u8>,
    ttl: Option<String>,
    /// The record that the caller expects, live at `now`, if the caller has it.
    loaded: Option<&'a Record>,
}

/// A command that makes the store if what is stored is what the caller expects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `SET` with `IFEQ`.
    Native,
    /// A script by its hash.
    Hash,
    /// A script by its source.
    Source,
}

impl<'a> Swap<'a> {
    pub(crate) fn new(
        name: &'a [u8],
        record: &Record,
        condition: Condition,
        loaded: Option<&'a Record>,
        now: Timestamp,
    ) -> Self {
        // Nothing may replace an expired record on its revision.
        let loaded =
            loaded.filter(|loaded| loaded.is_live(now) && condition == Condition::Revision(loaded.revision));
        let value = if record.is_live(now) { encode(record) } else { Vec::new() };
        let ttl = time_to_live(record.expires, now);
        Self { name, condition, now, offered: record.revision, value, ttl, loaded }
    }

    /// Whether one command may do it. A removal, or the replacement of a record that the caller does not have, needs the
    /// change script.
    pub(crate) fn has_first(&self) -> bool {
        !self.value.is_empty() && (self.loaded.is_some() || self.condition == Condition::Absent)
    }

    /// That command. Its answer is nil if it changed nothing. `SET` with `NX` is known to all servers.
    pub(crate) fn first(&self, form: Form, over: &Known) -> Cmd {
        match (self.loaded, form) {
            (None, _) => self.set(|command| command.arg("NX"), 2),
            (Some(loaded), Form::Native) => {
                let old = encode(loaded);
                self.set(|command| command.arg("IFEQ").arg(&old), old.len() + 4)
            }
            (Some(loaded), Form::Hash | Form::Source) => {
                let head = head(loaded);
                let ttl = self.ttl.as_deref().map(str::as_bytes);
                let arguments = [Some(&head[..]), Some(&self.value), ttl];
                let arguments =
                    &arguments.map(Option::unwrap_or_default)[..if ttl.is_some() { 3 } else { 2 }];
                if form == Form::Hash {
                    over.by_hash(self.name, arguments)
                } else {
                    over.by_source(self.name, arguments)
                }
            }
        }
    }

    fn set(&self, condition: impl FnOnce(&mut Cmd) -> &mut Cmd, length: usize) -> Cmd {
        let mut command = Cmd::with_capacity(7, self.name.len() + self.value.len() + length + 30);
        command.arg("SET").arg(self.name).arg(&self.value);
        if let Some(ttl) = &self.ttl {
            command.arg("PX").arg(ttl);
        }
        condition(&mut command);
        command
    }

    /// The answer of the change script, by the value that was found after the first command; `None` if the condition
    /// holds now, so that the script has to compare and write in one step.
    pub(crate) fn judge(&self, found: Value) -> Option<Value> {
        let state = match &found {
            Value::Nil => Found::Nothing,
            Value::BulkString(value) => match decode_head(value) {
                Ok((expires, revision)) => Found::at(expires, revision, self.now),
                Err(_) => Found::Damaged,
            },
            _ => return Some(found),
        };
        match (decide_store(state, self.condition, self.offered, true), state) {
            (Decision::AlreadyApplied, _) => Some(Value::Int(1)),
            (Decision::Conflict, Found::Live(_)) | (Decision::Corrupt, _) => Some(found),
            (Decision::Conflict, _) => Some(Value::Nil),
            _ => None,
        }
    }

    /// The arguments of the change script.
    pub(crate) fn arguments(&self) -> [Cow<'_, [u8]>; 5] {
        let expected = match self.condition {
            Condition::Revision(revision) => revision.to_bytes().to_vec(),
            _ => Vec::new(),
        };
        [
            Cow::Owned(self.now.as_millis().to_string().into()),
            Cow::Owned(expected),
            Cow::Owned(self.offered.to_bytes().to_vec()),
            Cow::Borrowed(&self.value),
            Cow::Borrowed(self.ttl.as_deref().unwrap_or_default().as_bytes()),
        ]
    }
}
