//! The operation log of a request, and the rule of each operation on replay.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use session_core::{Persistence, Timestamp};

use crate::entry::{FLASH, RawEntry, VALUE, entries};
use crate::error::{Error, ErrorKind};
use crate::login::Login;
use crate::table::{Header, Table};

/// Runs an update on the current value (its codec and bytes) and returns the whole new entry.
pub(crate) type Rerun = Box<dyn Fn(Option<(u8, &[u8])>) -> Result<Vec<u8>, Error> + Send>;

/// One operation of a request.
///
/// A replay runs the whole log on the current record, as if the request had begun there.
pub(crate) enum Op {
    /// Blind: replaces the entry of the same key.
    Insert(Vec<u8>),
    /// Blind.
    Remove(Box<str>),
    /// Runs again.
    Update { rerun: Rerun, key: Box<str> },
    /// Contention unless the entry still has the value that was returned: two requests must not spend one token.
    Take(Bytes),
    /// Removes the current values, including those of other requests; never times, bindings, user or flash.
    Clear,
    /// Applies only to the value that the caller saw, or to one that this log put there.
    Expire { given: Bytes, deadline: Timestamp },
    /// Every flash value has its own id.
    FlashSet(Vec<u8>),
    /// Blind: the last one wins.
    Label(Vec<u8>),
    /// Names ids, so that a newer value survives.
    FlashDrop(Vec<u64>),
    /// The last one wins.
    Idle(Duration),
    /// The last one wins; the deadline is computed from the record that is written.
    Lifetime(Option<Duration>),
    /// The last one wins.
    Persistence(Persistence),
    /// Contention if the record was bound to another user: never a mix of two.
    BindUser(Box<UserChange>),
    /// Blind: the session has no user.
    UnbindUser,
    /// Never on data of another user: see [`Work::log_in`](crate::work::Work::log_in).
    Login(Box<Login>),
    /// Times that a clock ahead of this moment has written count from this moment. Always the first of its log.
    Correct(Timestamp),
}

pub(crate) struct UserChange {
    pub(crate) user: Bytes,
    /// The bound user at the time of the call, empty for none.
    pub(crate) over: Bytes,
}

impl Op {
    /// Whether the handler's response is wrong if this operation is not stored.
    pub(crate) fn is_critical(&self) -> bool {
        matches!(self, Self::Take(_) | Self::BindUser(_) | Self::UnbindUser | Self::Login(_))
    }

    pub(crate) fn sets_time(&self) -> bool {
        matches!(self, Self::Idle(_) | Self::Lifetime(_) | Self::Persistence(_))
    }

    /// Whether a session with this operation has to enter the index of its user.
    pub(crate) fn enters(&self) -> bool {
        matches!(self, Self::BindUser(_) | Self::Login(_) | Self::Lifetime(_) | Self::Correct(_))
    }

    pub(crate) fn login(&self) -> Option<&Login> {
        match self {
            Self::Login(login) => Some(login),
            _ => None,
        }
    }

    /// Whether this operation put the entry, or an earlier one of its key, into the session.
    pub(crate) fn put(&self, entry: &RawEntry<'_>) -> bool {
        match self {
            Self::FlashSet(own) | Self::Label(own) => parsed(own).order() == entry.order(),
            _ => entry.class() == VALUE && self.wrote(entry.key()),
        }
    }

    /// Whether this operation takes an entry of this key.
    pub(crate) fn takes(&self, entry: &RawEntry<'_>) -> bool {
        matches!(self, Self::Take(taken) if parsed(taken).order() == entry.order())
    }

    /// Whether this operation put a value under the key.
    fn wrote(&self, key: &[u8]) -> bool {
        match self {
            Self::Insert(entry) => parsed(entry).key() == key,
            Self::Update { key: own, .. } => own.as_bytes() == key,
            _ => false,
        }
    }
}

/// The session as the request sees it: the loaded table with the log applied.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) header: Header,
    /// Laid out as a table, so that a commit needs no copy. The header in it is stale.
    data: Data,
    entries_at: usize,
    special: bool,
}

#[derive(Debug)]
enum Data {
    Own(Vec<u8>),
    /// A commit has stored these bytes, or tries to.
    Shared(Bytes),
}

impl View {
    pub(crate) fn new(table: &Table) -> Self {
        // With room for one more entry, because a view is made for a change.
        let mut data = Vec::with_capacity(table.data().len() + 64);
        data.extend_from_slice(table.data());
        let (header, data) = (table.header.clone(), Data::Own(data));
        Self { header, data, entries_at: table.entries_at(), special: table.is_special() }
    }

    /// All entries, still encoded.
    pub(crate) fn body(&self) -> &[u8] {
        match &self.data {
            Data::Own(data) => &data[self.entries_at..],
            Data::Shared(data) => &data[self.entries_at..],
        }
    }

    fn own(&mut self) -> &mut Vec<u8> {
        if let Data::Shared(data) = &self.data {
            self.data = Data::Own(data.to_vec());
        }
        match &mut self.data {
            Data::Own(data) => data,
            Data::Shared(_) => unreachable!("the data was copied above"),
        }
    }

    /// Gives the bytes to a commit, which gives them back with [`share`](Self::share).
    pub(crate) fn lend(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(self.own()), self.entries_at)
    }

    /// Takes back the bytes in the form that is stored.
    pub(crate) fn share(&mut self, table: &Table) {
        self.data = Data::Shared(table.data().clone());
        self.entries_at = table.entries_at();
    }

    /// As [`Table::is_special`].
    pub(crate) fn is_special(&self) -> bool {
        self.special
    }

    /// Applies an operation where it was recorded. The entry of an update is put by the caller.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Insert(entry) | Op::FlashSet(entry) | Op::Label(entry) => self.put(entry),
            Op::Remove(key) => self.drop_if(|entry| entry.is(VALUE, key.as_bytes())),
            Op::Update { .. } => {}
            Op::Take(entry) => {
                let taken = parsed(entry).order();
                self.drop_if(|entry| entry.order() == taken);
            }
            Op::Clear => self.drop_if(|entry| entry.class() == VALUE),
            Op::Expire { given, deadline } => self.put(&parsed(given).with_deadline(*deadline)),
            Op::FlashDrop(ids) => self.drop_if(|entry| entry.class() == FLASH && ids.contains(&entry.id())),
            Op::Idle(idle) => self.header.idle = *idle,
            Op::Lifetime(lifetime) => self.header.set_lifetime(*lifetime),
            Op::Persistence(persistence) => self.header.set_persistence(*persistence),
            Op::BindUser(change) => self.header.set_user(change.user.clone()),
            Op::UnbindUser => {
                self.header.set_user(Bytes::new());
                self.header.epoch = 0;
            }
            Op::Login(login) => self.header.set_user(login.user.clone()),
            Op::Correct(now) => self.correct(*now),
        }
    }

    #[cold]
    fn correct(&mut self, now: Timestamp) {
        let ahead = self.header.correct(now);
        let mut at = self.entries_at;
        let data = self.own();
        while let Ok(entry) = RawEntry::parse(&data[at..]) {
            let (len, deadline) = (entry.whole.len(), entry.deadline().filter(|_| entry.class() == VALUE));
            if let Some(deadline) = deadline {
                RawEntry::set_deadline(&mut data[at..at + len], deadline.saturating_sub(ahead));
            }
            at += len;
        }
    }

    /// Starts over with this header and the entries that `keep` selects.
    pub(crate) fn start_over(&mut self, header: Header, keep: impl Fn(&RawEntry<'_>) -> bool) {
        self.header = header;
        self.drop_if(|entry| !keep(entry));
    }

    /// Applies an operation on another record than the one it was recorded on. `done` is the log before it.
    pub(crate) fn replay(&mut self, done: &[Op], op: &Op, now: Timestamp) -> Result<(), Error> {
        let contention = |detail| Err(Error::new(ErrorKind::Contention).with_detail(detail));
        match op {
            Op::Update { rerun, key } => {
                let mut live = entries(self.body());
                let current = live.find(|entry| entry.is(VALUE, key.as_bytes()) && entry.is_live(|| now));
                let entry = rerun(current.map(|entry| (entry.codec(), entry.value())))?;
                self.put(&entry);
            }
            Op::Take(entry) if !self.has_same(&parsed(entry), now) => {
                return contention("a taken value was taken or changed");
            }
            Op::Expire { given, deadline } if !self.has_same(&parsed(given), now) => {
                let key = parsed(given).key();
                if done.iter().any(|op| op.wrote(key))
                    && let Some(own) = entries(self.body()).find(|entry| entry.is(VALUE, key))
                {
                    let entry = own.with_deadline(*deadline);
                    self.put(&entry);
                }
            }
            Op::BindUser(change) => {
                let current = self.header.user_bytes();
                if current != change.over && current != change.user {
                    return contention("another request bound another user");
                }
                self.apply(op);
            }
            _ => self.apply(op),
        }
        Ok(())
    }

    /// Whether the live entry under the key of `other` holds the same value.
    fn has_same(&self, other: &RawEntry<'_>, now: Timestamp) -> bool {
        entries(self.body()).any(|entry| {
            entry.order() == other.order()
                && (entry.codec(), entry.value()) == (other.codec(), other.value())
                && entry.is_live(|| now)
        })
    }

    /// Puts an entry in its place in the order, over the one with the same key.
    pub(crate) fn put(&mut self, entry: &[u8]) {
        let new = parsed(entry);
        self.special |= new.is_special();
        let mut at = self.entries_at;
        let mut old = 0;
        for entry in entries(self.body()) {
            match entry.order().cmp(&new.order()) {
                std::cmp::Ordering::Less => at += entry.whole.len(),
                std::cmp::Ordering::Equal => {
                    old = entry.whole.len();
                    break;
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        splice(self.own(), at..at + old, entry);
    }

    fn drop_if(&mut self, gone: impl Fn(&RawEntry<'_>) -> bool) {
        let (mut kept, mut at) = (self.entries_at, self.entries_at);
        let data = self.own();
        while let Ok(entry) = RawEntry::parse(&data[at..]) {
            let (len, gone) = (entry.whole.len(), gone(&entry));
            if !gone {
                data.copy_within(at..at + len, kept);
                kept += len;
            }
            at += len;
        }
        data.truncate(kept);
    }
}

fn splice(data: &mut Vec<u8>, range: Range<usize>, new: &[u8]) {
    let (len, end) = (data.len(), range.start + new.len());
    if end > range.end {
        data.resize(len + end - range.end, 0);
    }
    if end != range.end {
        data.copy_within(range.end..len, end);
    }
    data.truncate(len + end - range.end);
    data[range.start..end].copy_from_slice(new);
}

/// An entry that this process encoded, or that was checked when the table was parsed.
pub(crate) fn parsed(entry: &[u8]) -> RawEntry<'_> {
    RawEntry::parse(entry).expect("entries are checked when a table is parsed, and encoded by this crate")
}
