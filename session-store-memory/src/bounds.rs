//! The bounds of a store, and how much of them is used.

use std::sync::atomic::{AtomicU64, Ordering};

/// The share of a record in `max_bytes` beside its data: key, deadline, revision, its place in the table and in
/// the expiry queue. The heap it takes is about 100 bytes for data of up to 512 bytes and 160 for larger data.
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
    /// The share of a record with a key and data of these lengths.
    pub(crate) fn of(key: usize, data: usize) -> Self {
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
    pub(crate) fn reserve(&self, amount: Amount) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_reservation_takes_nothing_and_no_sum_wraps() {
        let amount = |entries, bytes| Amount { entries, bytes };
        for most in [100, u64::MAX - 1] {
            let usage = Usage::new(Some(2), Some(most));
            assert!(usage.reserve(amount(1, 60)));
            assert!(!usage.reserve(amount(1, most - 59)) && !usage.reserve(amount(2, 1)));
            assert!(!usage.reserve(amount(1, u64::MAX)));
            assert_eq!(usage.used(), amount(1, 60));
            assert!(usage.reserve(amount(1, most - 60)));
            usage.release(amount(2, most));
            assert_eq!(usage.used(), Amount::default());
        }
    }
}
