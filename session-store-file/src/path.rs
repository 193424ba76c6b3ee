//! The path of a record: `<shard>/<folder>/<SHA-256 of the key>`.
//!
//! The hash keeps the bytes of a key out of paths, spreads records evenly, and lets a traversal check that a file holds
//! the key of its name. There are 64 shards, each with a lock and 64 folders: a million records are 244 files in each
//! folder.

use session_core::Key;
use sha2::{Digest as _, Sha256};

/// How many shards there are, and how many folders each shard has.
pub(crate) const FAN_OUT: usize = 64;
/// How many folders there are.
pub(crate) const FOLDERS: usize = FAN_OUT * FAN_OUT;
/// How the names of temporary files begin.
pub(crate) const TEMPORARY: &str = ".new-";

const NAME_LEN: usize = 64;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The SHA-256 of a key.
pub(crate) type KeyHash = [u8; 32];

/// A folder, numbered across all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Folder(pub(crate) u16);

impl Folder {
    pub(crate) fn of(hash: &KeyHash) -> Self {
        Self((u16::from(hash[0]) << 4) | (u16::from(hash[1]) >> 4))
    }

    pub(crate) fn shard(self) -> usize {
        usize::from(self.0) / FAN_OUT
    }

    /// The number within its shard.
    pub(crate) fn sub(self) -> usize {
        usize::from(self.0) % FAN_OUT
    }

    /// `<shard>/<folder>`.
    pub(crate) fn path(self) -> String {
        format!("{:02x}/{:02x}", self.shard(), self.sub())
    }
}

/// The path of a record below the root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordPath {
    pub(crate) folder: Folder,
    text: [u8; 6 + NAME_LEN],
}

impl RecordPath {
    pub(crate) fn of(key: &Key) -> Self {
        Self::at(&hash(key))
    }

    pub(crate) fn at(hash: &KeyHash) -> Self {
        let folder = Folder::of(hash);
        let mut text = [b'/'; 6 + NAME_LEN];
        text[..2].copy_from_slice(&digits(folder.shard() as u8));
        text[3..5].copy_from_slice(&digits(folder.sub() as u8));
        for (pair, byte) in text[6..].chunks_exact_mut(2).zip(hash) {
            pair.copy_from_slice(&digits(*byte));
        }
        Self { folder, text }
    }

    pub(crate) fn below_root(&self) -> &[u8] {
        &self.text
    }

    pub(crate) fn below_shard(&self) -> &[u8] {
        &self.text[3..]
    }

    /// The name of the folder.
    pub(crate) fn sub(&self) -> &[u8] {
        &self.text[3..5]
    }

    /// The name of the file.
    pub(crate) fn name(&self) -> &[u8] {
        &self.text[6..]
    }
}

pub(crate) fn hash(key: &Key) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// The hash that a file name spells.
pub(crate) fn parse_name(name: &[u8]) -> Option<KeyHash> {
    if name.len() != NAME_LEN {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(name.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(hash)
}

/// Whether this driver gives such names to temporary files: `.new-<16 digits>-<number>` for records,
/// `.new-<32 digits>` for the layout file.
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(TEMPORARY.as_bytes()) else { return false };
    let digits = |text: &[u8]| text.iter().all(|&character| digit(character).is_some());
    match rest.split_at_checked(16) {
        Some((unique, [b'-', count @ ..])) => {
            digits(unique) && (1..=16).contains(&count.len()) && digits(count)
        }
        _ => rest.len() == 32 && digits(rest),
    }
}

/// The number of a shard or a folder, from its name.
pub(crate) fn parse_directory(name: &[u8]) -> Option<usize> {
    let [high, low] = name else { return None };
    let number = usize::from((digit(*high)? << 4) | digit(*low)?);
    (number < FAN_OUT).then_some(number)
}

fn digits(byte: u8) -> [u8; 2] {
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

fn digit(character: u8) -> Option<u8> {
    // Lower case only, so that a record has one name.
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_a_key_never_changes() {
        let path = RecordPath::of(&Key::parse("user:alice").unwrap());
        let text = std::str::from_utf8(path.below_root()).unwrap();
        assert_eq!(text, "36/2b/dabd1db8d35ab13106274f61f1bf977812cce4f477b15014cf38fb796c50a4c4");
    }

    #[test]
    fn other_names_are_not_temporary() {
        let unique = "0123456789abcdef";
        for tail in [format!("{unique}-0"), format!("{unique}-{unique}"), format!("{unique}{unique}")] {
            assert!(is_temporary(format!(".new-{tail}").as_bytes()), "{tail}");
        }
        for tail in ["", "-", "-g", "-A", "é-0", &format!("-{unique}0"), &format!("{unique}0")] {
            assert!(!is_temporary(format!(".new-{unique}{tail}").as_bytes()), "{tail}");
        }
        for name in [".new-", ".new-notes.txt", &format!("new-{unique}-0")] {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn name_gives_hash_and_folder() {
        for first in 0..=u8::MAX {
            let mut hash = [7; 32];
            hash[0] = first;
            hash[1] = first.wrapping_mul(31);
            let path = RecordPath::at(&hash);
            assert_eq!(parse_name(path.name()), Some(hash));
            assert_eq!(Folder::of(&hash), path.folder);
            assert!(usize::from(path.folder.0) < FOLDERS);
            assert_eq!(parse_directory(path.sub()), Some(path.folder.sub()));
            assert!(path.below_root().starts_with(path.folder.path().as_bytes()));
        }
        assert_eq!(parse_name(&[b'A'; 64]), None);
        assert_eq!(parse_name(&[b'a'; 63]), None);
        assert_eq!(
            (parse_directory(b"3f"), parse_directory(b"40"), parse_directory(b"3F")),
            (Some(63), None, None)
        );
    }
}
