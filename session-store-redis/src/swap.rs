//! A store on a condition without a script where that is possible.

use redis::{Cmd, Value};
use session_core::{Condition, Decision, Found, Record, Timestamp, decide_store};

use crate::layout::{Stored, WHOLE, decode_head, head, time_to_live};
use crate::script::{Argument, Known};

/// A store on a condition.
pub(crate) struct Swap<'a> {
    pub(crate) name: &'a [u8],
    condition: Condition,
    now: Timestamp,
    record: &'a Record,
    /// The revisions as the change script compares them; the expected one is empty for `Absent`.
    expected: Option<[u8; 8]>,
    offered: [u8; 8],
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
        record: &'a Record,
        condition: Condition,
        loaded: Option<&'a Record>,
        now: Timestamp,
    ) -> Self {
        // Nothing may replace an expired record on its revision.
        let loaded =
            loaded.filter(|loaded| loaded.is_live(now) && condition == Condition::Revision(loaded.revision));
        let expected = match condition {
            Condition::Revision(revision) => Some(revision.to_bytes()),
            _ => None,
        };
        let (offered, ttl) = (record.revision.to_bytes(), time_to_live(record.expires, now));
        Self { name, condition, now, record, expected, offered, ttl, loaded }
    }

    /// Whether one command may do it. A removal, or the replacement of a record that the caller does not have, needs the
    /// change script.
    pub(crate) fn has_first(&self) -> bool {
        self.record.is_live(self.now) && (self.loaded.is_some() || self.condition == Condition::Absent)
    }

    /// That command. Its answer is nil if it changed nothing. `SET` with `NX` is known to all servers.
    pub(crate) fn first(&self, form: Form, over: &Known) -> Cmd {
        match (self.loaded, form) {
            (None, _) => self.set(|command| command.arg("NX"), 2),
            // Two large values in one command would double the pause that one causes.
            (Some(loaded), Form::Native) if loaded.data.len() <= WHOLE => {
                let old = Stored(loaded);
                self.set(|command| command.arg("IFEQ").arg(old), old.len() + 4)
            }
            (Some(loaded), _) => {
                let head = head(loaded);
                let (head, value) = (Argument::Text(&head), Argument::Record(self.record));
                let ttl = self.ttl.as_deref().map(text);
                let arguments = [head, value, ttl.unwrap_or(text(""))];
                let arguments = &arguments[..if ttl.is_some() { 3 } else { 2 }];
                match form {
                    Form::Source => over.by_source(&[self.name], arguments),
                    _ => over.by_hash(&[self.name], arguments),
                }
            }
        }
    }

    fn set(&self, condition: impl FnOnce(&mut Cmd) -> &mut Cmd, length: usize) -> Cmd {
        let value = Stored(self.record);
        let mut command = Cmd::with_capacity(7, self.name.len() + value.len() + length + 30);
        command.arg("SET").arg(self.name).arg(value);
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
        match (decide_store(state, self.condition, self.record.revision, true), state) {
            (Decision::AlreadyApplied, _) => Some(Value::Int(1)),
            (Decision::Conflict, Found::Live(_)) | (Decision::Corrupt, _) => Some(found),
            (Decision::Conflict, _) => Some(Value::Nil),
            _ => None,
        }
    }

    /// The arguments of the change script. `now` is the text of [`now`](Self::now).
    pub(crate) fn arguments<'b>(&'b self, now: &'b str) -> [Argument<'b>; 5] {
        let expected = self.expected.as_ref().map_or(&[][..], |revision| revision);
        // No value removes.
        let value = if self.record.is_live(self.now) { Argument::Record(self.record) } else { text("") };
        let ttl = self.ttl.as_deref().unwrap_or_default();
        [text(now), Argument::Text(expected), Argument::Text(&self.offered), value, text(ttl)]
    }

    /// The caller's time as the change script takes it.
    pub(crate) fn now(&self) -> String {
        self.now.as_millis().to_string()
    }
}

fn text(text: &str) -> Argument<'_> {
    Argument::Text(text.as_bytes())
}
