//! Which records expire next, in four bytes a record.

/// Tags of records in buckets by deadline, so that the next ones due are found without looking at the others.
///
/// A radix queue: `last` is a moment that the queue has reached, and a deadline after it stands in the bucket given by
/// the highest pair of bits in which the two differ, and by that pair's value. Buckets in the order of their numbers
/// are in the order of time, and each is four times as long as those of the level below. When `last` reaches the
/// start of a bucket, its tags go one by one to lower ones; a tag moves at most once a level in its life.
///
/// A deadline that moves later leaves its tag where it is: the tag is filed anew when its bucket is due. So the rule
/// is that a bucket never starts after the deadline of what it holds, and most touches cost nothing here. A sorted
/// tree would move the tag at each touch and take ten times the memory.
///
/// It knows tags only. Whoever calls it keeps bucket and position with the record.
#[derive(Debug)]
pub(crate) struct Queue {
    last: u64,
    /// The bucket whose start `last` is, while tags are left in it.
    draining: u8,
    buckets: Vec<Vec<u32>>,
    /// What never expires.
    never: Vec<u32>,
}

/// The number of the bucket of what never expires.
const NEVER: u8 = u8::MAX;
/// Bits of a deadline to a level.
const BITS: u32 = 2;

impl Queue {
    pub(crate) fn new(now: u64) -> Self {
        Self { last: now, draining: 0, buckets: Vec::new(), never: Vec::new() }
    }

    /// Files a tag and says where.
    pub(crate) fn push(&mut self, deadline: Option<u64>, tag: u32) -> (u8, u32) {
        let number = self.bucket_of(deadline);
        let bucket = if number == NEVER {
            &mut self.never
        } else {
            let index = usize::from(number);
            if self.buckets.len() <= index {
                self.buckets.reserve_exact(index + 1 - self.buckets.len());
                self.buckets.resize_with(index + 1, Vec::new);
            }
            &mut self.buckets[index]
        };
        if bucket.len() == bucket.capacity() {
            // Grown by a quarter: doubling would leave a quarter of all this memory empty on average.
            bucket.reserve_exact(bucket.len() / 4 + 4);
        }
        // 2^32 tags of one shard would be terabytes of records.
        let position = bucket.len() as u32;
        bucket.push(tag);
        (number, position)
    }

    /// Takes the tag at this place out. Where another one moves into the gap, its tag and its old place are
    /// returned, so that the caller can tell its record.
    pub(crate) fn take(&mut self, (number, position): (u8, u32)) -> Option<(u32, (u8, u32))> {
        let bucket = self.bucket_mut(number)?;
        let index = position as usize;
        if index >= bucket.len() {
            debug_assert!(false, "a record was not where the queue has it");
            return None;
        }
        bucket.swap_remove(index);
        let from = bucket.len() as u32;
        let moved = bucket.get(index).map(|tag| (*tag, (number, from)));
        if bucket.is_empty() {
            *bucket = Vec::new();
        } else if bucket.capacity() > 64 && bucket.len() < bucket.capacity() / 4 {
            bucket.shrink_to(bucket.len() * 2);
        }
        moved
    }

    /// The last tag of the bucket that is due first, and its place; `None` if nothing can have expired at `now`.
    ///
    /// The caller takes it out, and pushes it again if its record is still live. `now` is not before what an earlier
    /// call was given: see [`is_behind`](Self::is_behind).
    pub(crate) fn due(&mut self, now: u64) -> Option<(u32, (u8, u32))> {
        let number = self.front()?;
        let start = self.start_of(number);
        if start > now {
            return None;
        }
        if start > self.last {
            self.last = start;
            self.draining = number;
        }
        self.nth_back(number, 0)
    }

    /// A tag of the first bucket that holds anything, and its place: the same one for the same number.
    pub(crate) fn pick(&self, random: usize) -> Option<(u32, (u8, u32))> {
        let number = self.front().unwrap_or(NEVER);
        self.nth_back(number, random % self.bucket(number)?.len().max(1))
    }

    fn nth_back(&self, number: u8, back: usize) -> Option<(u32, (u8, u32))> {
        let bucket = self.bucket(number)?;
        let index = bucket.len().checked_sub(back + 1)?;
        bucket.get(index).map(|tag| (*tag, (number, index as u32)))
    }

    /// The first bucket that holds anything, not counting what never expires.
    fn front(&self) -> Option<u8> {
        // Its number stands for another time once `last` has left it.
        if self.holds(self.draining) && self.start_of(self.draining) <= self.last {
            return Some(self.draining);
        }
        (0..self.buckets.len() as u8).find(|number| self.holds(*number))
    }

    /// No deadline in the queue is before this moment.
    pub(crate) fn earliest(&self) -> u64 {
        self.front().map_or(u64::MAX, |number| match self.start_of(number) {
            // What was filed late is due now, whatever its deadline.
            start if start <= self.last => 0,
            start => start,
        })
    }

    /// Whether the clock was set back behind what the queue has reached, so that it must be [`reset`](Self::reset).
    pub(crate) fn is_behind(&self, now: u64) -> bool {
        now < self.last
    }

    /// Empties the queue and starts it at `now`. All tags with their places are returned.
    pub(crate) fn reset(&mut self, now: u64) -> Vec<(u32, (u8, u32))> {
        let all = std::mem::replace(self, Self::new(now));
        let numbered = all.buckets.into_iter().zip(0..).chain([(all.never, NEVER)]);
        let places = numbered.flat_map(|(tags, number)| {
            tags.into_iter().zip(0..).map(move |(tag, position)| (tag, (number, position)))
        });
        places.collect()
    }

    /// All tags, in no order.
    pub(crate) fn tags(&self) -> impl Iterator<Item = u32> + '_ {
        self.buckets.iter().chain([&self.never]).flatten().copied()
    }

    /// The bucket where a deadline belongs now.
    pub(crate) fn bucket_of(&self, deadline: Option<u64>) -> u8 {
        let Some(deadline) = deadline else { return NEVER };
        let Some(highest) = (deadline.max(self.last) ^ self.last).checked_ilog2() else {
            return digit(self.last, 0);
        };
        let level = highest / BITS;
        (level << BITS) as u8 + digit(deadline, level)
    }

    /// The first moment of a bucket. Not after `last` for the one being drained and the one due at once.
    fn start_of(&self, number: u8) -> u64 {
        let level = u32::from(number) >> BITS;
        let below = (level + 1) * BITS;
        let prefix = if below >= u64::BITS { 0 } else { self.last >> below << below };
        prefix | (u64::from(number & 3) << (level * BITS))
    }

    fn holds(&self, number: u8) -> bool {
        self.bucket(number).is_some_and(|bucket| !bucket.is_empty())
    }

    fn bucket(&self, number: u8) -> Option<&Vec<u32>> {
        if number == NEVER { Some(&self.never) } else { self.buckets.get(usize::from(number)) }
    }

    fn bucket_mut(&mut self, number: u8) -> Option<&mut Vec<u32>> {
        if number == NEVER { Some(&mut self.never) } else { self.buckets.get_mut(usize::from(number)) }
    }

    #[cfg(test)]
    pub(crate) fn at(&self, (number, position): (u8, u32)) -> Option<u32> {
        self.bucket(number)?.get(position as usize).copied()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.tags().count()
    }
}

fn digit(moment: u64, level: u32) -> u8 {
    ((moment >> (level * BITS)) & 3) as u8
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A queue with the records that a table would keep: tag to deadline and place.
    struct Model {
        queue: Queue,
        records: BTreeMap<u32, (Option<u64>, (u8, u32))>,
    }

    impl Model {
        fn insert(&mut self, tag: u32, deadline: Option<u64>) {
            let place = self.queue.push(deadline, tag);
            assert!(self.records.insert(tag, (deadline, place)).is_none());
        }

        fn remove(&mut self, tag: u32) {
            let (_, place) = self.records.remove(&tag).unwrap();
            if let Some((other, from)) = self.queue.take(place) {
                let moved = self.records.get_mut(&other).unwrap();
                assert_eq!(moved.1, from);
                moved.1 = place;
            }
        }

        /// Purges at `now`; returns how many tags were looked at, and which were expired.
        fn purge(&mut self, now: u64) -> (usize, Vec<u32>) {
            if self.queue.is_behind(now) {
                for (tag, _) in self.queue.reset(now) {
                    let deadline = self.records[&tag].0;
                    self.records.insert(tag, (deadline, self.queue.push(deadline, tag)));
                }
            }
            let (mut visits, mut expired) = (0, Vec::new());
            while let Some((tag, place)) = self.queue.due(now) {
                visits += 1;
                let (deadline, known) = self.records[&tag];
                assert_eq!(known, place);
                self.remove(tag);
                if deadline.is_some_and(|deadline| deadline <= now) {
                    expired.push(tag);
                } else {
                    self.insert(tag, deadline);
                }
            }
            (visits, expired)
        }

        fn check(&self) {
            assert_eq!(self.queue.len(), self.records.len());
            for (tag, (deadline, (number, position))) in &self.records {
                let bucket = if *number == NEVER {
                    &self.queue.never
                } else {
                    &self.queue.buckets[usize::from(*number)]
                };
                assert_eq!(bucket[*position as usize], *tag);
                let start = if *number == NEVER { u64::MAX } else { self.queue.start_of(*number) };
                assert!(start <= self.queue.last || start <= deadline.unwrap_or(u64::MAX));
            }
            let earliest = self.records.values().filter_map(|(deadline, _)| *deadline).min();
            assert!(self.queue.earliest() <= earliest.unwrap_or(u64::MAX));
        }
    }

    fn next(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }

    #[test]
    fn it_finds_exactly_the_expired_whatever_happens_to_deadlines_and_clock() {
        for start in [0, 3, 1_700_000_000_000, u64::MAX - 100_000] {
            let (mut now, mut seed) = (start, start ^ 0x5eed);
            let mut model = Model { queue: Queue::new(now), records: BTreeMap::new() };
            for step in 0..20_000_u32 {
                let random = next(&mut seed);
                let span = 1_u64 << (random % 34);
                let tag = model.records.keys().nth(random as usize % 97).copied();
                match (next(&mut seed) % 10, tag) {
                    (0..=3, _) => {
                        let late = now.saturating_add(next(&mut seed) % span);
                        let deadline = match random % 17 {
                            0 => None,
                            1 => Some(now.saturating_sub(random % 50)),
                            2 => Some(u64::MAX),
                            _ => Some(late),
                        };
                        model.insert(step, deadline);
                    }
                    (4..=5, Some(tag)) => model.remove(tag),
                    (6, Some(tag)) => {
                        // A touch to a later moment leaves the tag where it is.
                        let record = model.records.get_mut(&tag).unwrap();
                        record.0 = record.0.map(|deadline| deadline.saturating_add(span));
                    }
                    (7..=8, _) => now = now.saturating_add(random % 5_000),
                    (9, _) => {
                        if random.is_multiple_of(16) {
                            now = now.saturating_sub(random % 20_000);
                        }
                        let due = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= now);
                        let expected: Vec<u32> = model
                            .records
                            .iter()
                            .filter(|(_, record)| due(record.0))
                            .map(|(tag, _)| *tag)
                            .collect();
                        let (_, mut expired) = model.purge(now);
                        expired.sort_unstable();
                        assert_eq!(expired, expected, "at step {step}");
                    }
                    _ => {}
                }
                if step % 64 == 0 {
                    model.check();
                }
            }
            model.check();
        }
    }

    #[test]
    fn looking_for_the_expired_costs_a_few_visits_each_and_nothing_for_the_rest() {
        let mut model = Model { queue: Queue::new(0), records: BTreeMap::new() };
        for tag in 0..100_000 {
            let deadline =
                if tag % 100 == 0 { 1_000 + u64::from(tag) / 100 } else { 7_200_000 + u64::from(tag) };
            model.insert(tag, Some(deadline));
        }
        assert_eq!(model.purge(999).1.len(), 0);
        let (visits, expired) = model.purge(2_000);
        assert_eq!(expired.len(), 1_000);
        // At most one visit for each of the five levels below the first 1,024 ms, and the one that removes.
        assert!(visits <= 7_000, "{visits}");
        assert_eq!(model.purge(3_000), (0, Vec::new()));
    }
}
