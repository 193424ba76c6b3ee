//! The operation log of a request, and what each operation means when it is replayed.

use std::time::Duration;

use bytes::Bytes;
use session_core::Timestamp;

use crate::error::{Error, ErrorKind};
use crate::table::{FLASH, Header, RawEntry, Table, VALUE};

/// Runs an update on the value that is there (its codec and bytes) and gives the whole new entry.
pub(crate) type Rerun = Box<dyn Fn(Option<(u8, &[u8])>) -> Result<Vec<u8>, Error> + Send>;

/// One thing that a request did.
///
/// On replay the log runs from its start on the record that is there now, as if the request had begun there.
pub(crate) enum Op {
    /// Blind: the encoded entry takes the place of whatever is there.
    Insert(Vec<u8>),
    /// Blind.
    Remove(Box<str>),
    /// Runs again.
    Update { rerun: Rerun, key: Box<str>, entry: Vec<u8> },
    /// Contention unless the entry is still the one that was handed out: two requests must not spend one token.
    Take { handed_out: Vec<u8> },
    /// Removes what is there now, other requests' values too; never times, bindings, user or flash.
    Clear,
    /// Applies only to the value that it was given for.
    Expire { given: Vec<u8>, entry: Vec<u8> },
    /// Every flash value has an id of its own.
    FlashSet(Vec<u8>),
    /// Names ids, so that a newer value survives.
    FlashDrop(Vec<u64>),
    /// Last wins.
    Idle(Duration),
    /// Last wins; the deadline is computed from the record that is written.
    Lifetime(Option<Duration>),
    /// Contention if the record was bound to another user meanwhile: never a mix of two.
    BindUser { user: Bytes, over: Bytes },
}

impl Op {
    /// The encoded entry that this operation put into the view.
    fn entry(&self) -> &[u8] {
        match self {
            Self::Insert(entry)
            | Self::FlashSet(entry)
            | Self::Update { entry, .. }
            | Self::Expire { entry, .. } => entry,
            _ => &[],
        }
    }

    /// What a replay is going to change, for [`restore_entry`](Self::restore_entry).
    pub(crate) fn rerun_entry(&self) -> Option<&Vec<u8>> {
        match self {
            Self::Update { entry, .. } => Some(entry),
            _ => None,
        }
    }

    pub(crate) fn restore_entry(&mut self, before: Option<Vec<u8>>) {
        if let (Self::Update { entry, .. }, Some(before)) = (self, before) {
            *entry = before;
        }
    }

    /// Whether a handler's response is a lie if this did not happen.
    pub(crate) fn is_critical(&self) -> bool {
        matches!(self, Self::Take { .. } | Self::BindUser { .. })
    }

    pub(crate) fn sets_time(&self) -> bool {
        matches!(self, Self::Idle(_) | Self::Lifetime(_))
    }
}

/// Where an entry of the view comes from.
#[derive(Clone, Copy, Debug)]
enum Slot {
    /// A range of the loaded table.
    Base { at: u32, len: u32 },
    /// The entry of the operation with this number.
    Logged(usize),
}

/// The session as the request sees it: the loaded table with the log applied. Untouched entries are never copied.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) header: Header,
    slots: Vec<Slot>,
}

impl View {
    pub(crate) fn new(table: &Table) -> Self {
        let mut at = table.entries_at as u32;
        // Room for one more: a view is made for a change.
        let mut slots = Vec::with_capacity(table.entries().count() + 1);
        slots.extend(table.entries().map(|entry| {
            let len = entry.whole.len() as u32;
            at += len;
            Slot::Base { at: at - len, len }
        }));
        Self { header: table.header.clone(), slots }
    }

    /// All entries in their order, expired ones too.
    pub(crate) fn entries<'a>(
        &'a self,
        table: &'a Table,
        log: &'a [Op],
    ) -> impl Iterator<Item = RawEntry<'a>> {
        self.slots.iter().map(move |slot| read(*slot, table, log))
    }

    /// Applies the operation number `index` of `log`. With `replay`, the base is another than the one on which the
    /// operation was recorded.
    pub(crate) fn apply(
        &mut self,
        table: &Table,
        log: &mut [Op],
        index: usize,
        now: Timestamp,
        replay: bool,
    ) -> Result<(), Error> {
        let (done, rest) = log.split_at_mut(index);
        let Some(op) = rest.first_mut() else { return Ok(()) };
        match op {
            Op::Insert(entry) | Op::FlashSet(entry) => self.put(table, done, entry, index),
            Op::Remove(key) => self.drop_if(table, done, |entry| entry.order() == (VALUE, key.as_bytes())),
            Op::Update { rerun, key, entry } => {
                if replay {
                    let current =
                        self.find(table, done, VALUE, key, now).map(|entry| (entry.codec, entry.value));
                    *entry = rerun(current)?;
                }
                self.put(table, done, entry, index);
            }
            Op::Take { handed_out } => {
                let taken = parsed(handed_out);
                if replay && !self.has_same(table, done, &taken, now) {
                    return Err(
                        Error::new(ErrorKind::Contention).with_detail("a taken value was taken or changed")
                    );
                }
                self.drop_if(table, done, |entry| entry.order() == taken.order());
            }
            Op::Clear => self.drop_if(table, done, |entry| entry.class == VALUE),
            Op::Expire { given, entry } => {
                if !replay || self.has_same(table, done, &parsed(given), now) {
                    self.put(table, done, entry, index);
                }
            }
            Op::FlashDrop(ids) => {
                self.drop_if(table, done, |entry| entry.class == FLASH && ids.contains(&entry.id))
            }
            Op::Idle(idle) => self.header.idle = *idle,
            Op::Lifetime(lifetime) => self.header.set_lifetime(*lifetime),
            Op::BindUser { user, over } => {
                let there = self.header.user_bytes();
                if replay && there != *over && there != *user {
                    return Err(
                        Error::new(ErrorKind::Contention).with_detail("bound to another user meanwhile")
                    );
                }
                self.header.set_user(user.clone());
            }
        }
        Ok(())
    }

    fn find<'a>(
        &'a self,
        table: &'a Table,
        log: &'a [Op],
        class: u8,
        key: &str,
        now: Timestamp,
    ) -> Option<RawEntry<'a>> {
        let order = (class, key.as_bytes());
        self.entries(table, log).find(|entry| entry.order() == order && entry.is_live(|| now))
    }

    /// Whether the live entry under the key of `other` holds the same value.
    fn has_same(&self, table: &Table, log: &[Op], other: &RawEntry<'_>, now: Timestamp) -> bool {
        self.entries(table, log).any(|entry| {
            entry.order() == other.order()
                && (entry.codec, entry.value) == (other.codec, other.value)
                && entry.is_live(|| now)
        })
    }

    fn put(&mut self, table: &Table, log: &[Op], entry: &[u8], index: usize) {
        let order = parsed(entry).order();
        let mut at = 0;
        for slot in &mut self.slots {
            match read(*slot, table, log).order().cmp(&order) {
                std::cmp::Ordering::Less => at += 1,
                std::cmp::Ordering::Equal => {
                    *slot = Slot::Logged(index);
                    return;
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        self.slots.insert(at, Slot::Logged(index));
    }

    fn drop_if(&mut self, table: &Table, log: &[Op], mut gone: impl FnMut(&RawEntry<'_>) -> bool) {
        self.slots.retain(|slot| !gone(&read(*slot, table, log)));
    }
}

fn read<'a>(slot: Slot, table: &'a Table, log: &'a [Op]) -> RawEntry<'a> {
    parsed(match slot {
        Slot::Base { at, len } => &table.data[at as usize..][..len as usize],
        Slot::Logged(index) => log[index].entry(),
    })
}

/// An entry that this process encoded, or that was checked when the table was parsed.
fn parsed(entry: &[u8]) -> RawEntry<'_> {
    RawEntry::parse(entry).expect("entries are checked when a table is parsed, and encoded by this crate")
}
