//! The bounds of a store, and what is used of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a record counts beside its data against `max_bytes`: key, deadline, revision, its place in the table and in
/// the expiry queue. Measured, it is 90 for data of up to 512 bytes and 155 for larger data.
pub const OVERHEAD: u64 = 160;

/// Keys up to this length are in the overhead: as long as a session's.
const USUAL_KEY: usize = 51;

/// What a record with a key and data of these lengths counts.
pub(crate) fn amount(key: usize, data: usize) -> Amount {
    let key = if key > USUAL_KEY { key } else { 0 };
    Amount { entries: 1, bytes: OVERHEAD.saturating_add((key + data) as u64) }
}

/// A number of records and of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Amount {
    /// What `self` needs beyond `other`.
    pub(crate) fn beyond(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// What is used, and how much may be. A store without bounds counts nothing, so that writers share no cache line.
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

    /// Whether something so large could ever be kept.
    pub(crate) fn could_hold(&self, amount: Amount) -> bool {
        self.most.is_none_or(|most| amount.bytes <= most.bytes)
    }

    /// Takes `amount` if it is free. It is taken before anything is inserted, so that no moment is over the bound.
    fn reserve(&self, amount: Amount) -> bool {
        let Some(most) = self.most else { return true };
        if !take(&self.entries, amount.entries, most.entries) {
            return false;
        }
        if take(&self.bytes, amount.bytes, most.bytes) {
            return true;
        }
        self.entries.fetch_sub(amount.entries, Ordering::Relaxed);
        false
    }

    /// Gives back what was taken.
    pub(crate) fn release(&self, amount: Amount) {
        if self.most.is_none() || amount.is_nothing() {
            return;
        }
        self.entries.fetch_sub(amount.entries, Ordering::Relaxed);
        self.bytes.fetch_sub(amount.bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> Amount {
        Amount { entries: self.entries.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

fn take(counter: &AtomicU64, amount: u64, most: u64) -> bool {
    amount == 0
        || counter
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(amount).filter(|sum| *sum <= most)
            })
            .is_ok()
}

/// What one store call has taken and not yet used. Dropped, it gives the rest back.
pub(crate) struct Held<'a> {
    usage: &'a Usage,
    amount: Amount,
}

impl<'a> Held<'a> {
    pub(crate) fn nothing(usage: &'a Usage) -> Self {
        Self { usage, amount: Amount::default() }
    }

    /// Takes what is missing to `need`, or nothing.
    pub(crate) fn grow_to(&mut self, need: Amount) -> bool {
        let missing = need.beyond(self.amount);
        if missing.is_nothing() {
            return true;
        }
        if !self.usage.reserve(missing) {
            return false;
        }
        self.amount.entries += missing.entries;
        self.amount.bytes += missing.bytes;
        true
    }

    /// `amount` of it is now in the store.
    pub(crate) fn spend(&mut self, amount: Amount) {
        self.amount = self.amount.beyond(amount);
    }
}

impl Drop for Held<'_> {
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
    fn a_reservation_that_fails_or_is_dropped_leaves_nothing_behind() {
        let usage = Usage::new(Some(2), Some(100));
        let mut held = Held::nothing(&usage);
        assert!(held.grow_to(amount(1, 60)));
        assert!(!held.grow_to(amount(1, 101)) && !held.grow_to(amount(3, 60)));
        assert_eq!(usage.used(), amount(1, 60));
        assert!(held.grow_to(amount(2, 100)));
        held.spend(amount(1, 30));
        drop(held);
        assert_eq!(usage.used(), amount(1, 30));
        usage.release(amount(1, 30));
        assert_eq!(usage.used(), amount(0, 0));
    }

    #[test]
    fn an_amount_near_the_largest_number_does_not_wrap() {
        let usage = Usage::new(None, Some(u64::MAX - 1));
        assert!(usage.reserve(amount(1, 1)));
        assert!(!usage.reserve(amount(1, u64::MAX - 1)));
        assert_eq!(usage.used(), amount(1, 1));
    }
}
