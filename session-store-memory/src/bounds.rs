//! The bounds of a store, and how much of them is used.

use std::sync::atomic::{AtomicU64, Ordering};

use session_core::Key;

/// The share of a record in `max_bytes` beside its data: key, deadline, revision, its place in the table and in
/// the expiry queue. The heap it takes is about 75 bytes for data of up to 512 bytes and 150 for larger data.
pub const OVERHEAD: u64 = 160;

/// Keys up to this length are part of the overhead: the length of a session's key.
const USUAL_KEY: usize = 51;

/// A number of records and of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Amount {
    /// The share of a record with this key and `data` bytes of data.
    pub(crate) fn of(key: &Key, data: usize) -> Self {
        Self::of_lengths(key.as_bytes().len(), data)
    }

    pub(crate) fn of_lengths(key: usize, data: usize) -> Self {
        let key = if key > USUAL_KEY { key } else { 0 };
        Self { entries: 1, bytes: OVERHEAD.saturating_add((key + data) as u64) }
    }

    /// What `self` needs beyond `other`.
    pub(crate) fn beyond(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// How much is used, and how much may be. A store without bounds counts nothing, so that its writers share no cache
/// line.
#[derive(Debug)]
pub(crate) struct Usage {
    most: Option<Amount>,
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Usage {
    pub(crate) fn new(max_entries: Option<u64>, max_bytes: Option<u64>) -> Self {
        let most = (max_entries.is_some() || max_bytes.is_some()).then(|| Amount {
            entries: max_entries.unwrap_or(u64::MAX),
            bytes: max_bytes.unwrap_or(u64::MAX),
        });
        Self { most, entries: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Whether an empty store could hold so much.
    pub(crate) fn could_hold(&self, amount: Amount) -> bool {
        self.most.is_none_or(|most| amount.bytes <= most.bytes)
    }

    /// Takes `amount` if it is free.
    fn reserve(&self, amount: Amount) -> bool {
        let Some(most) = self.most else { return true };
        if !take(&self.entries, amount.entries, most.entries) {
            return false;
        }
        let taken = take(&self.bytes, amount.bytes, most.bytes);
        if !taken {
            self.entries.fetch_sub(amount.entries, Ordering::Relaxed);
        }
        taken
    }

    /// Gives `amount` back.
    pub(crate) fn release(&self, amount: Amount) {
        if self.most.is_some() && amount != Amount::default() {
            self.entries.fetch_sub(amount.entries, Ordering::Relaxed);
            self.bytes.fetch_sub(amount.bytes, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> Amount {
        Amount { entries: self.entries.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

fn take(counter: &AtomicU64, amount: u64, most: u64) -> bool {
    let sum = |used: u64| used.checked_add(amount).filter(|sum| *sum <= most);
    amount == 0 || counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
}

/// What one store call has reserved and not yet used: reserved before the record is inserted, so that no moment is
/// over the bound. Dropping it gives the rest back.
pub(crate) struct Reserved<'a> {
    usage: &'a Usage,
    amount: Amount,
}

impl<'a> Reserved<'a> {
    pub(crate) fn nothing(usage: &'a Usage) -> Self {
        Self { usage, amount: Amount::default() }
    }

    /// Takes the rest of `need`, or nothing.
    pub(crate) fn grow_to(&mut self, need: Amount) -> bool {
        let missing = need.beyond(self.amount);
        let taken = missing == Amount::default() || self.usage.reserve(missing);
        if taken {
            self.amount.entries += missing.entries;
            self.amount.bytes += missing.bytes;
        }
        taken
    }

    /// `amount` of it is now in the store.
    pub(crate) fn spend(&mut self, amount: Amount) {
        self.amount = self.amount.beyond(amount);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.usage.release(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(entries: u64, bytes: u64) -> Amount {
        Amount { entries, bytes }
    }

    #[test]
    fn a_failed_or_dropped_reservation_leaves_nothing() {
        let usage = Usage::new(Some(2), Some(100));
        let mut reserved = Reserved::nothing(&usage);
        assert!(reserved.grow_to(amount(1, 60)));
        assert!(!reserved.grow_to(amount(1, 101)) && !reserved.grow_to(amount(3, 60)));
        assert_eq!(usage.used(), amount(1, 60));
        assert!(reserved.grow_to(amount(2, 100)));
        reserved.spend(amount(1, 30));
        drop(reserved);
        assert_eq!(usage.used(), amount(1, 30));
        usage.release(amount(1, 30));
        assert_eq!(usage.used(), amount(0, 0));
    }

    #[test]
    fn amounts_near_the_largest_number_do_not_wrap() {
        let usage = Usage::new(None, Some(u64::MAX - 1));
        assert!(usage.reserve(amount(1, 1)));
        assert!(!usage.reserve(amount(1, u64::MAX - 1)));
        assert_eq!(usage.used(), amount(1, 1));
    }
}
