//! The session as a request sees it: the loaded entries with the request's log applied.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use session_core::Timestamp;

use crate::config::Limits;
use crate::entry::{Entries, FLASH, RawEntry, VALUE, entries};
use crate::error::{Error, ErrorKind};
use crate::op::{Op, parsed};
use crate::table::{Header, Table};

/// The session as the request sees it: the loaded table with the log applied.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) header: Header,
    data: Data,
    entries_at: usize,
    special: bool,
    /// How many entries were visited one after the other, and how many bytes were moved, in steps of 256. Changed by reads
    /// too.
    visits: AtomicUsize,
}

/// The entries. The flat forms are laid out as a table, so that a commit needs no copy. The header in them is stale.
#[derive(Debug)]
enum Data {
    Own(Vec<u8>),
    /// A commit has stored these bytes, or tries to.
    Shared(Bytes),
    /// The same after many reads: the offset of each entry, in the order of classes and keys.
    Indexed(Bytes, Box<[u32]>),
    /// After many changes: each entry under its class and key, and the length of all. A change of the flat forms costs a
    /// walk over the entries, so many changes of many entries would cost the product of both numbers.
    Tree(Tree, usize),
}

type Tree = BTreeMap<Box<[u8]>, Bytes>;

/// How many visits of entries a view makes before it keeps them in a tree: some 0.2 ms of work.
pub(crate) const MOST_VISITS: usize = 1 << 16;

fn order_key((class, key): (u8, &[u8])) -> Box<[u8]> {
    [&[class], key].concat().into()
}

/// The entries of a view, in order.
pub(crate) enum ViewEntries<'a> {
    Flat(Entries<'a>),
    Tree(std::collections::btree_map::Values<'a, Box<[u8]>, Bytes>),
}

impl<'a> Iterator for ViewEntries<'a> {
    type Item = RawEntry<'a>;

    fn next(&mut self) -> Option<RawEntry<'a>> {
        match self {
            Self::Flat(entries) => entries.next(),
            Self::Tree(entries) => entries.next().map(|entry| parsed(entry)),
        }
    }
}

impl View {
    pub(crate) fn new(table: &Table) -> Self {
        // With room for one more entry, because a view is made for a change.
        let mut data = Vec::with_capacity(table.data().len() + 64);
        data.extend_from_slice(table.data());
        let (header, data) = (table.header.clone(), Data::Own(data));
        Self { header, data, entries_at: table.entries_at(), special: table.is_special(), visits: 0.into() }
    }

    /// A view without changes, for many reads. `None` if the entries are not sorted, as a later release may leave them.
    #[cold]
    pub(crate) fn indexed(table: &Table) -> Option<Self> {
        let (data, entries_at) = (table.data().clone(), table.entries_at());
        let mut index = Vec::new();
        let (mut at, mut last) = (entries_at, None);
        for entry in entries(table.body()) {
            if last.is_some_and(|last| last >= entry.order()) {
                return None;
            }
            last = Some(entry.order());
            index.push(u32::try_from(at).ok()?);
            at += entry.whole.len();
        }
        let (header, data) = (table.header.clone(), Data::Indexed(data, index.into()));
        Some(Self { header, data, entries_at, special: table.is_special(), visits: 0.into() })
    }

    /// All entries.
    pub(crate) fn entries(&self) -> ViewEntries<'_> {
        match &self.data {
            Data::Own(data) => ViewEntries::Flat(entries(&data[self.entries_at..])),
            Data::Shared(data) | Data::Indexed(data, _) => {
                ViewEntries::Flat(entries(&data[self.entries_at..]))
            }
            Data::Tree(tree, _) => ViewEntries::Tree(tree.values()),
        }
    }

    /// All entries, still encoded, in one piece.
    pub(crate) fn body(&mut self) -> &[u8] {
        if matches!(self.data, Data::Tree(..)) {
            self.own();
        }
        match &self.data {
            Data::Own(data) => &data[self.entries_at..],
            Data::Shared(data) | Data::Indexed(data, _) => &data[self.entries_at..],
            Data::Tree(..) => unreachable!("the entries were copied above"),
        }
    }

    pub(crate) fn find(&self, class: u8, key: &[u8]) -> Option<RawEntry<'_>> {
        match &self.data {
            Data::Tree(tree, _) => tree.get(&order_key((class, key))).map(|entry| parsed(entry)),
            Data::Indexed(data, index) => {
                let entry = |at: u32| parsed(&data[at as usize..]);
                let found = index.binary_search_by(|at| entry(*at).order().cmp(&(class, key))).ok()?;
                Some(entry(index[found]))
            }
            _ => {
                let mut visits = 0;
                let found = self.entries().inspect(|_| visits += 1).find(|entry| entry.is(class, key));
                self.visit(visits);
                found
            }
        }
    }

    /// Notes visits of entries. Only the thread with the session's lock does it, so no atomic addition is needed.
    fn visit(&self, count: usize) {
        self.visits.store(self.visits.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn visits_so_far(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }

    /// The length of all entries.
    pub(crate) fn len(&self) -> usize {
        match &self.data {
            Data::Own(data) => data.len() - self.entries_at,
            Data::Shared(data) | Data::Indexed(data, _) => data.len() - self.entries_at,
            Data::Tree(_, len) => *len,
        }
    }

    /// The number of entries.
    pub(crate) fn count(&mut self) -> usize {
        if let Some((tree, _)) = self.tree() {
            return tree.len();
        }
        let count = self.entries().count();
        self.visit(count);
        count
    }

    #[cold]
    pub(crate) fn admit(&mut self, entry: &[u8], limits: Limits) -> Result<(), Error> {
        let (class, key) = parsed(entry).order();
        let count = self.count();
        let old = self.find(class, key).map(|old| old.whole.len());
        let len = self.len() + entry.len() - old.unwrap_or(0);
        if count + usize::from(old.is_none()) > limits.keys || len > limits.bytes {
            return Err(Error::new(ErrorKind::TooLarge));
        }
        Ok(())
    }

    fn own(&mut self) -> &mut Vec<u8> {
        match &self.data {
            Data::Own(_) => {}
            Data::Shared(data) | Data::Indexed(data, _) => self.data = Data::Own(data.to_vec()),
            Data::Tree(tree, len) => {
                let mut data = Vec::with_capacity(self.entries_at + len);
                data.resize(self.entries_at, 0);
                tree.values().for_each(|entry| data.extend_from_slice(entry));
                self.data = Data::Own(data);
            }
        }
        match &mut self.data {
            Data::Own(data) => data,
            _ => unreachable!("the data was copied above"),
        }
    }

    /// The tree, after many visits.
    #[inline]
    fn tree(&mut self) -> Option<(&mut Tree, &mut usize)> {
        if *self.visits.get_mut() >= MOST_VISITS {
            self.grow();
        }
        match &mut self.data {
            Data::Tree(tree, len) => Some((tree, len)),
            _ => None,
        }
    }

    /// Prepares a read: after many visits the entries move into a tree.
    #[inline]
    pub(crate) fn arrange(&mut self) {
        let _ = self.tree();
    }

    #[cold]
    fn grow(&mut self) {
        let data = match &mut self.data {
            Data::Own(data) => Bytes::from(std::mem::take(data)),
            Data::Shared(data) | Data::Indexed(data, _) => std::mem::take(data),
            Data::Tree(..) => return,
        };
        let (mut tree, mut count, mut len) = (Tree::new(), 0, 0);
        for entry in entries(&data[self.entries_at..]) {
            tree.insert(order_key(entry.order()), data.slice_ref(entry.whole));
            (count, len) = (count + 1, len + entry.whole.len());
        }
        let is_whole = tree.len() == count;
        // A later release may have several entries of one class and key, which only the flat form can hold.
        if is_whole {
            self.data = Data::Tree(tree, len);
        } else {
            (self.data, self.visits) = (Data::Shared(data), 0.into());
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
            Op::Remove(key) => self.remove((VALUE, key.as_bytes())),
            Op::Update { .. } => {}
            Op::Take(entry) => self.remove(parsed(entry).order()),
            Op::Clear => self.drop_if(|entry| entry.class() == VALUE),
            Op::Expire { given, deadline } => self.put(&parsed(given).with_deadline(*deadline)),
            Op::FlashDrop(ids) => {
                self.drop_if(|entry| entry.class() == FLASH && ids.binary_search(&entry.id()).is_ok())
            }
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

    /// Applies an operation on another record than the one it was recorded on. `put` tells which
    /// entries the log before it has put.
    pub(crate) fn replay(
        &mut self,
        put: impl FnOnce((u8, &[u8])) -> bool,
        op: &Op,
        now: Timestamp,
    ) -> Result<(), Error> {
        let contention = |detail| Err(Error::new(ErrorKind::Contention).with_detail(detail));
        match op {
            Op::Update { rerun, key } => {
                let current = self.find(VALUE, key.as_bytes()).filter(|entry| entry.is_live(|| now));
                let entry = rerun(current.map(|entry| (entry.codec(), entry.value())))?;
                self.put(&entry);
            }
            Op::Take(entry) if !self.has_same(&parsed(entry), now) => {
                return contention("a taken value was taken or changed");
            }
            Op::Expire { given, deadline } if !self.has_same(&parsed(given), now) => {
                let key = parsed(given).key();
                if put((VALUE, key))
                    && let Some(own) = self.find(VALUE, key)
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
        let (class, key) = other.order();
        self.find(class, key).is_some_and(|entry| {
            (entry.codec(), entry.value()) == (other.codec(), other.value()) && entry.is_live(|| now)
        })
    }

    /// Puts an entry in its place in the order, over the one with the same key.
    pub(crate) fn put(&mut self, entry: &[u8]) {
        let new = parsed(entry);
        self.special |= new.is_special();
        if let Some((tree, len)) = self.tree() {
            let old = tree.insert(order_key(new.order()), Bytes::copy_from_slice(entry));
            *len = *len + entry.len() - old.map_or(0, |old| old.len());
            return;
        }
        let mut at = self.entries_at;
        let (mut old, mut visits) = (0, 0);
        for entry in self.entries() {
            visits += 1;
            match entry.order().cmp(&new.order()) {
                std::cmp::Ordering::Less => at += entry.whole.len(),
                std::cmp::Ordering::Equal => {
                    old = entry.whole.len();
                    break;
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        self.visit(visits + (self.len() + self.entries_at - at) / 256);
        splice(self.own(), at..at + old, entry);
    }

    fn remove(&mut self, order: (u8, &[u8])) {
        match self.tree() {
            Some((tree, len)) => *len -= tree.remove(&order_key(order)).map_or(0, |old| old.len()),
            None => self.drop_if(|entry| entry.order() == order),
        }
    }

    fn drop_if(&mut self, gone: impl Fn(&RawEntry<'_>) -> bool) {
        if let Some((tree, len)) = self.tree() {
            tree.retain(|_, entry| {
                let gone = gone(&parsed(entry));
                *len -= if gone { entry.len() } else { 0 };
                !gone
            });
            return;
        }
        let (mut kept, mut at, mut visits) = (self.entries_at, self.entries_at, 0);
        let data = self.own();
        while let Ok(entry) = RawEntry::parse(&data[at..]) {
            visits += 1;
            let (len, gone) = (entry.whole.len(), gone(&entry));
            if !gone {
                data.copy_within(at..at + len, kept);
                kept += len;
            }
            at += len;
        }
        data.truncate(kept);
        self.visit(visits);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::NewEntry;
    use crate::table::Table;

    fn entry(class: u8, number: usize, value: u64) -> Vec<u8> {
        let key = format!("key-{number:08}");
        let parts = NewEntry { class, codec: 1, deadline: None, id: Some(value), key: &key };
        let entry = parts.encode(|out| {
            out.extend_from_slice(&value.to_le_bytes());
            Ok::<_, Error>(())
        });
        entry.unwrap().unwrap()
    }

    /// A few kinds of operations on random keys, as many as there are keys.
    fn ops(keys: usize, random: &mut fastrand::Rng) -> Vec<Op> {
        let key = |number: usize| format!("key-{number:08}").into_boxed_str();
        (0..keys)
            .map(|number| {
                let at = random.usize(..keys);
                match random.u8(..6) {
                    0 => Op::Remove(key(at)),
                    1 => Op::Take(entry(VALUE, at, 1).into()),
                    2 => {
                        Op::Expire { given: entry(VALUE, at, 2).into(), deadline: Timestamp::from_millis(9) }
                    }
                    3 => Op::FlashSet(entry(FLASH, at, 3)),
                    _ => Op::Insert(entry(VALUE, number, 4)),
                }
            })
            .collect()
    }

    /// Work is counted, not timed: the visits of entries one after the other. The tree itself costs a logarithm.
    #[test]
    fn visits_do_not_grow_with_the_product_of_keys_and_operations() {
        for keys in [1_000, 4_000, 16_000] {
            for upwards in [true, false] {
                let mut view = View::new(&Table::default());
                let numbers = (0..keys).map(|number| if upwards { number } else { keys - 1 - number });
                let mut most = 0;
                for number in numbers.clone().chain(numbers.clone()) {
                    let before = *view.visits.get_mut();
                    let key = format!("key-{number:08}");
                    let _ = view.find(VALUE, key.as_bytes());
                    view.put(&entry(VALUE, number, 1));
                    assert!(view.find(VALUE, key.as_bytes()).is_some());
                    most = most.max(*view.visits.get_mut() - before);
                }
                // The moves of all bytes count too, and no form but the tree is left after so many operations.
                assert!(
                    matches!(view.data, Data::Tree(..)) && most <= 4 * keys,
                    "{keys} keys: {most} at once"
                );
                for number in numbers {
                    view.remove((VALUE, format!("key-{number:08}").as_bytes()));
                }
                // Until the tree grows, each operation visits at most all entries of that time.
                let visits = *view.visits.get_mut();
                assert!(visits <= MOST_VISITS + most, "{keys} keys: {visits} visits");
                assert_eq!((view.count(), view.len()), (0, 0));
            }
        }
    }

    #[test]
    fn indexed_form_is_equal_to_the_flat_one() {
        let mut random = fastrand::Rng::with_seed(11);
        for keys in [0, 1, 3, 50, 400] {
            let mut view = View::new(&Table::default());
            ops(keys, &mut random).iter().for_each(|op| view.apply(op));
            let mut data = vec![1, 1, 67, 0, 0, 0, 0, 0];
            data.resize(67, 0);
            data.extend_from_slice(view.body());
            let Ok(crate::table::Content::Session(table)) = Table::parse(data.into()) else {
                panic!("a table")
            };
            let (mut flat, mut indexed) = (View::new(&table), View::indexed(&table).unwrap());
            assert!(flat.entries().map(|entry| entry.whole).eq(indexed.entries().map(|entry| entry.whole)));
            assert_eq!((flat.len(), flat.count()), (indexed.len(), indexed.count()));
            for number in 0..=keys {
                for class in [VALUE, FLASH, 9] {
                    let key = format!("key-{number:08}");
                    let found =
                        |view: &View| view.find(class, key.as_bytes()).map(|entry| entry.whole.to_vec());
                    assert_eq!(found(&flat), found(&indexed));
                }
            }
            // A change returns to the flat form.
            for op in ops(3, &mut random) {
                for view in [&mut flat, &mut indexed] {
                    view.apply(&op);
                }
            }
            assert_eq!(flat.body(), indexed.body());
        }
    }

    #[test]
    fn unsorted_entries_have_no_index() {
        let mut data = vec![1, 1, 67, 0, 0, 0, 0, 0];
        data.resize(67, 0);
        data.extend_from_slice(&[entry(VALUE, 2, 1), entry(VALUE, 1, 2)].concat());
        let Ok(crate::table::Content::Session(table)) = Table::parse(data.into()) else { panic!("a table") };
        assert!(View::indexed(&table).is_none());
    }

    #[test]
    fn tree_and_flat_forms_are_equal() {
        let mut random = fastrand::Rng::with_seed(7);
        for keys in [1, 3, 50, 400] {
            let (mut flat, mut tree) = (View::new(&Table::default()), View::new(&Table::default()));
            for op in ops(keys, &mut random) {
                tree.visits = MOST_VISITS.into();
                flat.visits = 0.into();
                for view in [&mut flat, &mut tree] {
                    view.replay(|_| true, &op, Timestamp::from_millis(1)).unwrap_or_default();
                }
                assert!(tree.tree().is_some() && flat.tree().is_none());
                assert!(matches!((&flat.data, &tree.data), (Data::Own(_), Data::Tree(..))));
                assert!(flat.entries().map(|entry| entry.whole).eq(tree.entries().map(|entry| entry.whole)));
                assert_eq!((flat.len(), flat.count()), (tree.len(), tree.count()));
            }
            assert_eq!(flat.body(), tree.body());
        }
    }

    #[test]
    fn entries_of_one_key_stay_apart() {
        // A later release may store several entries of one class and key.
        let twice = [entry(9, 1, 1), entry(9, 1, 2)].concat();
        let mut data = vec![1, 1, 67, 0, 0, 0, 0, 0];
        data.resize(67, 0);
        data.extend_from_slice(&twice);
        let Ok(crate::table::Content::Session(table)) = Table::parse(data.into()) else { panic!("a table") };
        let mut view = View::new(&table);
        view.visits = MOST_VISITS.into();
        view.put(&entry(VALUE, 1, 3));
        assert_eq!(view.body(), [entry(VALUE, 1, 3), twice].concat());
    }
}
