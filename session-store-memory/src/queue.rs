//! Which records may have expired: four bytes a record.

use crate::row::NEVER;

/// Tags of records in buckets by deadline. Finds expired records without a look at the others.
///
/// A radix queue. `last` is the moment that the queue has reached. Bucket 0 holds the tags that are due. A later
/// deadline is in the bucket of the highest bit in which it differs from `last`, so buckets are in the order of time.
/// When time reaches the start of a bucket, its tags are due; the shard looks each of them up and files it again if
/// its record is still live. A tag moves at most once per bit.
///
/// The invariant: each record's tag is in a bucket that starts no later than the record's deadline. So a deadline that
/// moves later needs no work here. Tags of removed records stay until their bucket is due, or until the shard rebuilds
/// its queues because more than half of the tags are useless.
///
/// Rejected: a sorted tree moves a tag at each touch and needs ten times the memory.
pub(crate) struct Queue {
    last: u64,
    buckets: Vec<Vec<u32>>,
    len: usize,
}

impl Queue {
    pub(crate) fn new(now: u64) -> Self {
        Self { last: now.min(NEVER - 1), buckets: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, due: u64, tag: u32) {
        let bucket = self.bucket_mut(due);
        if bucket.len() == bucket.capacity() {
            // Doubling would leave a quarter of the memory empty on average.
            bucket.reserve_exact(bucket.len() / 8 + 4);
        }
        bucket.push(tag);
        self.len += 1;
    }

    /// Takes the tag out if it was among the last that were filed for this deadline. This keeps sessions that live for
    /// one request from filling the queue.
    pub(crate) fn forget(&mut self, due: u64, tag: u32) {
        let bucket = self.bucket_mut(due);
        let recent = bucket.len().saturating_sub(4);
        if let Some(place) = bucket[recent..].iter().position(|other| *other == tag) {
            bucket.swap_remove(recent + place);
            self.len -= 1;
        }
    }

    /// Takes out a tag that may be due at `now`. `now` is not before [`last`](Self::last).
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<u32> {
        // A record that never expires is never due.
        let now = now.min(NEVER - 1);
        if self.buckets.first().is_none_or(Vec::is_empty) && now > self.last {
            let reached = bucket_of(self.last, now);
            self.last = now;
            let due: Vec<u32> = self.buckets.iter_mut().take(reached + 1).flat_map(std::mem::take).collect();
            if let Some(first) = self.buckets.first_mut() {
                *first = due;
            }
        }
        let due = self.buckets.first_mut()?;
        let tag = due.pop()?;
        if due.is_empty() {
            *due = Vec::new();
        }
        self.len -= 1;
        Some(tag)
    }

    /// No record's deadline is before this moment.
    pub(crate) fn earliest(&self) -> u64 {
        match self.buckets.iter().position(|bucket| !bucket.is_empty()) {
            None => u64::MAX,
            Some(0) => 0,
            Some(number) => (self.last >> (number - 1) | 1) << (number - 1),
        }
    }

    /// Where the clock was set back behind this moment, the shard must rebuild its queues.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// All tags, roughly in the order of time; a tag may be there twice.
    pub(crate) fn tags(&self) -> impl Iterator<Item = u32> + '_ {
        self.buckets.iter().flatten().copied()
    }

    fn bucket_mut(&mut self, due: u64) -> &mut Vec<u32> {
        let number = bucket_of(self.last, due);
        if self.buckets.len() <= number {
            self.buckets.reserve_exact(number + 1 - self.buckets.len());
            self.buckets.resize_with(number + 1, Vec::new);
        }
        &mut self.buckets[number]
    }
}

fn bucket_of(last: u64, due: u64) -> usize {
    if due <= last { 0 } else { (last ^ due).ilog2() as usize + 1 }
}
