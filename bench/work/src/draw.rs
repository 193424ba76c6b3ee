//! The keys and the order in which they are used.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// A small generator with the same numbers in every run (Vigna's SplitMix64). Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let word = self.word().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        bytes
    }

    /// A number in `0..1`.
    pub fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let numerator = (self.word() >> 11) as f64;
        numerator / 9_007_199_254_740_992.0
    }
}

/// The id part of the key of record `index`: 32 bytes in base64url without padding, like the hash of a session id. A
/// driver may store such keys in a shorter form than other text.
#[must_use]
pub fn text_id(index: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bytes = Random::new(0x5e55_1011 ^ ((index as u64) << 20)).bytes::<32>();
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let digit = |place: usize| (0..6).fold(0, |sum, offset| sum << 1 | usize::from(bit(place * 6 + offset)));
    (0..43).map(|place| char::from(ALPHABET[digit(place)])).collect()
}

/// A long list of record numbers drawn by Zipf's law with exponent 0.99, as in YCSB. The popular numbers are spread over
/// the whole range.
#[derive(Clone, Debug)]
pub(crate) struct Draws(Vec<u32>);

impl Draws {
    pub(crate) const COUNT: usize = 1 << 18;

    /// Draws from `records` records.
    #[must_use]
    pub(crate) fn new(records: usize) -> Self {
        let mut random = Random::new(7);
        let mut places: Vec<u32> = (0..u32::try_from(records).unwrap_or(u32::MAX)).collect();
        for last in (1..places.len()).rev() {
            let other = random.word() as usize % (last + 1);
            places.swap(last, other);
        }
        #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^53")]
        let weights = places.iter().enumerate().map(|(rank, _)| 1.0 / ((rank + 1) as f64).powf(0.99));
        let mut total = 0.0;
        let sums: Vec<f64> = weights
            .map(|weight| {
                total += weight;
                total
            })
            .collect();
        let draw = |_| {
            let at = random.unit() * total;
            let rank = sums.partition_point(|sum| *sum <= at);
            places[rank.min(places.len() - 1)]
        };
        Self((0..Self::COUNT).map(draw).collect())
    }

    /// The part of the list that belongs to task `task` of `tasks`.
    pub(crate) fn of(&self, task: usize, tasks: usize) -> impl Iterator<Item = usize> + '_ {
        let each = (Self::COUNT / tasks).max(1);
        self.0.iter().skip(each * task).take(each).map(|record| *record as usize)
    }
}

/// Writes the keys of `records` records, one per line, and the drawn order as line numbers, for a subject in another
/// language.
///
/// # Errors
/// A file cannot be written.
pub fn write_lists(records: usize, keys: &Path, draws: &Path) -> io::Result<()> {
    let write = |path, lines: &mut dyn Iterator<Item = String>| {
        let mut file = BufWriter::new(File::create(path)?);
        for line in lines {
            writeln!(file, "{line}")?;
        }
        file.flush()
    };
    write(keys, &mut (0..records).map(|record| format!("session:{}", text_id(record))))?;
    write(draws, &mut Draws::new(records).of(0, 1).map(|record| record.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_records_get_most_of_the_draws_and_all_are_in_range() {
        let draws = Draws::new(1_000);
        let mut hits = vec![0_usize; 1_000];
        for record in (0..8).flat_map(|task| draws.of(task, 8)) {
            hits[record] += 1;
        }
        hits.sort_unstable_by(|a, b| b.cmp(a));
        let top: usize = hits.iter().take(100).sum();
        assert!(top * 10 > Draws::COUNT * 6, "the top tenth got {top}");
        assert!(hits.iter().filter(|count| **count > 0).count() > 950);
    }

    #[test]
    fn ids_are_43_characters_and_differ() {
        let ids: std::collections::HashSet<String> = (0..10_000).map(text_id).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 43));
        // 43 digits of six bits hold 256 bits; the last two bits are zero.
        assert!(ids.iter().all(|id| "AEIMQUYcgkosw048".contains(&id[42..])));
    }
}
