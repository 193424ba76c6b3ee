//! The seal of a file that its last opener has closed: a check of all that leads to the records.
//!
//! A sealed file needs no look at each record when it is opened: its index is as its last user left it. Each record has
//! checks of its own, which a read makes. The seal says nothing about the disk, so it does not count after a reboot.
//!
//! Every opener breaks the seal. A handle that goes on after its `close`, such as one that a child process inherited,
//! moves a stamp with every change, and stamps are under the seal too.

use xxhash_rust::xxh3::Xxh3;

use crate::error::Fault;
use crate::file::SessionFile;
use crate::layout::{SHARD_BYTES, WORD, shard, superblock};
use crate::map::Span;
use crate::protocol::Words;
use crate::shard::Locked;

/// Words are folded into so many sums, because one multiplication takes as long as several that do not wait for each other.
const LANES: usize = 8;
/// 2^64 divided by the golden ratio, and odd, so that no change of one word goes unnoticed.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl SessionFile {
    /// Seals the file, whose only opener the caller is. No change is under way meanwhile. A shard that cannot be locked
    /// leaves the file unsealed.
    pub(crate) fn seal(&self) {
        let locked: Result<Vec<Locked<'_>>, Fault> =
            (0..self.geometry.shards).map(|number| self.shard(number).lock()).collect();
        if locked.is_ok() {
            self.superblock().set(superblock::SEAL, self.index_check());
        }
    }

    /// Whether the file is as it was when it was sealed, as far as the index goes.
    pub(crate) fn is_sealed(&self) -> bool {
        let seal = self.superblock().get(superblock::SEAL);
        let whole = || (0..self.geometry.shards).all(|number| self.shard(number).head.get(shard::DIRTY) == 0);
        seal != 0 && whole() && seal == self.index_check()
    }

    /// To be called before the first change of a handle.
    pub(crate) fn break_seal(&self) {
        self.superblock().set(superblock::SEAL, 0);
    }

    /// A check of the counters, the words of the extents and the tables. Never 0.
    fn index_check(&self) -> u64 {
        let mut check = Xxh3::with_seed(self.seed);
        let grown = self.grown() as usize;
        check.update(&self.superblock().get(superblock::GROWN).to_ne_bytes());
        add(&mut check, &self.extent_words(), 0..grown);
        for number in 0..self.geometry.shards {
            let shard = self.shard(number);
            add(&mut check, &shard.head, shard::STAMP..(SHARD_BYTES / WORD) as usize);
            let table = shard.find_table().and_then(|table| self.extents(table.first, table.run));
            if let Some(table) = table {
                add(&mut check, &table, 0..table.len());
            }
        }
        check.digest().max(1)
    }
}

/// Folds the words in place: to copy the tables first would take as long again.
fn add(check: &mut Xxh3, span: &Span<'_>, words: std::ops::Range<usize>) {
    let mut lanes: [u64; LANES] = std::array::from_fn(|lane| lane as u64);
    let fold = |sum: u64, word: usize| (sum ^ span.get(word)).wrapping_mul(FACTOR).rotate_left(29);
    let mut first = words.start;
    while first + LANES <= words.end {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum = fold(*sum, first + lane);
        }
        first += LANES;
    }
    for (word, sum) in (first..words.end).zip(&mut lanes) {
        *sum = fold(*sum, word);
    }
    lanes.iter().for_each(|sum| check.update(&sum.to_ne_bytes()));
}
