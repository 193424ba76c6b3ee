//! The stored values.

use crate::args::Args;
use crate::draw::Random;

/// The key of the only value of a record that is not a session's.
pub const PAGE_KEY: &str = "page";
/// The key that requests read; each session has it.
pub const READ_KEY: &str = "part-0";
/// The key of the number that a saving request changes; each session has it.
pub const COUNT_KEY: &str = "count";

/// The values of a session: [`Args::size`] bytes of text in as many parts as [`Args::values`] says, under the keys
/// `part-0`, `part-1` and so on. The count is stored beside them.
#[must_use]
pub fn parts(args: &Args) -> Vec<(String, String)> {
    let size = args.size / args.values;
    let part = |number| (format!("part-{number}"), Payload::new(size).stamped(number as u64).to_owned());
    (0..args.values).map(part).collect()
}

/// A value that differs at each use, because SQLite skips writes of equal bytes.
#[derive(Clone, Debug)]
pub struct Payload(String);

impl Payload {
    /// Printable text of `size` bytes, at least 16.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let mut random = Random::new(3);
        Self((0..size.max(16)).map(|_| char::from(b'a' + (random.word() % 26) as u8)).collect())
    }

    /// The text; its first 16 characters contain `turn`.
    pub fn stamped(&mut self, turn: u64) -> &str {
        let digits: [u8; 16] =
            std::array::from_fn(|place| b"0123456789abcdef"[(turn >> (60 - 4 * place)) as usize & 15]);
        let digits = std::str::from_utf8(&digits).unwrap_or("0000000000000000");
        self.0.replace_range(..16, digits);
        &self.0
    }
}

/// The turn in a payload.
#[must_use]
pub fn stamp(value: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(value.get(..16)?).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_has_its_own_bytes_and_the_same_length() {
        let mut payload = Payload::new(1_024);
        let first = payload.stamped(1).to_owned();
        assert_eq!(first.len(), 1_024);
        assert!(first.starts_with("0000000000000001"));
        assert_ne!(payload.stamped(2), first);
        assert_eq!(stamp(payload.stamped(u64::MAX - 1).as_bytes()), Some(u64::MAX - 1));
        assert_eq!(stamp(b"0123"), None);
    }
}
