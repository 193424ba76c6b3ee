//! Where the record of a key stands: `<shard>/<subdirectory>/<SHA-256 of the key>`.
//!
//! The hash keeps every byte of a key out of the path, spreads the records evenly, and lets a traversal check that a
//! file holds the key that its name stands for. 64 shards (each with a lock) of 64 subdirectories: a million records
//! are 244 files in each directory.

use session_core::Key;
use sha2::{Digest as _, Sha256};

/// How many shards there are, and how many subdirectories each of them has.
pub(crate) const FAN_OUT: usize = 64;
/// How many subdirectories there are in all.
pub(crate) const FOLDERS: usize = FAN_OUT * FAN_OUT;
/// What the names of files begin with that are not published yet, or no longer.
pub(crate) const TEMPORARY: &str = ".new-";

const NAME_LEN: usize = 64;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The hash of a key.
pub(crate) type Hash = [u8; 32];

/// One of the subdirectories, counted through all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Folder(pub(crate) u16);

impl Folder {
    pub(crate) fn of(hash: &Hash) -> Self {
        Self((u16::from(hash[0]) << 4) | (u16::from(hash[1]) >> 4))
    }

    pub(crate) fn shard(self) -> usize {
        usize::from(self.0) / FAN_OUT
    }

    pub(crate) fn sub(self) -> usize {
        usize::from(self.0) % FAN_OUT
    }

    /// `<shard>/<subdirectory>`.
    pub(crate) fn path(self) -> String {
        format!("{:02x}/{:02x}", self.shard(), self.sub())
    }
}

/// The place of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) folder: Folder,
    /// `<shard>/<subdirectory>/<name>`.
    text: [u8; 6 + NAME_LEN],
}

impl Place {
    pub(crate) fn of(key: &Key) -> Self {
        Self::at(&hash(key))
    }

    pub(crate) fn at(hash: &Hash) -> Self {
        let folder = Folder::of(hash);
        let mut text = [b'/'; 6 + NAME_LEN];
        text[..2].copy_from_slice(&digits(folder.shard() as u8));
        text[3..5].copy_from_slice(&digits(folder.sub() as u8));
        for (pair, byte) in text[6..].chunks_exact_mut(2).zip(hash) {
            pair.copy_from_slice(&digits(*byte));
        }
        Self { folder, text }
    }

    /// The path below the root.
    pub(crate) fn below_root(&self) -> &[u8] {
        &self.text
    }

    /// The path below the shard.
    pub(crate) fn below_shard(&self) -> &[u8] {
        &self.text[3..]
    }

    /// The name of the subdirectory.
    pub(crate) fn sub(&self) -> &[u8] {
        &self.text[3..5]
    }

    /// The name of the file.
    pub(crate) fn name(&self) -> &[u8] {
        &self.text[6..]
    }
}

pub(crate) fn hash(key: &Key) -> Hash {
    Sha256::digest(key.as_bytes()).into()
}

/// The hash that a file name spells, if it is one.
pub(crate) fn parse_name(name: &[u8]) -> Option<Hash> {
    if name.len() != NAME_LEN {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(name.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(hash)
}

/// Whether a name is one that this driver gives to files that are not published: `.new-<16 digits>-<number>` beside
/// records, `.new-<32 digits>` beside the layout. Whatever else begins so is somebody else's.
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

/// The number of a directory of either level, from its name.
pub(crate) fn parse_directory(name: &[u8]) -> Option<usize> {
    let [high, low] = name else { return None };
    let number = usize::from((digit(*high)? << 4) | digit(*low)?);
    (number < FAN_OUT).then_some(number)
}

fn digits(byte: u8) -> [u8; 2] {
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

fn digit(character: u8) -> Option<u8> {
    // Capitals are no spelling of ours: one record has one name.
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
    fn the_place_of_a_key_is_fixed_for_ever() {
        let place = Place::of(&Key::parse("user:alice").unwrap());
        let text = std::str::from_utf8(place.below_root()).unwrap();
        assert_eq!(text, "36/2b/dabd1db8d35ab13106274f61f1bf977812cce4f477b15014cf38fb796c50a4c4");
    }

    #[test]
    fn only_names_of_this_driver_are_temporary() {
        let unique = "0123456789abcdef";
        for (name, expected) in [
            (format!(".new-{unique}-0"), true),
            (format!(".new-{unique}-{unique}"), true),
            (format!(".new-{unique}{unique}"), true),
            (".new-".into(), false),
            (".new-notes.txt".into(), false),
            (format!(".new-{unique}"), false),
            (format!(".new-{unique}-"), false),
            (format!(".new-{unique}-{unique}0"), false),
            (format!(".new-{unique}-g"), false),
            (format!(".new-{unique}-A"), false),
            (format!(".new-{unique}{unique}0"), false),
            (format!("new-{unique}-0"), false),
            (format!(".new-{unique}é-0"), false),
        ] {
            assert_eq!(is_temporary(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn a_name_leads_back_to_its_hash_and_folder() {
        for first in 0..=u8::MAX {
            let mut hash = [7; 32];
            hash[0] = first;
            hash[1] = first.wrapping_mul(31);
            let place = Place::at(&hash);
            assert_eq!(parse_name(place.name()), Some(hash));
            assert_eq!(Folder::of(&hash), place.folder);
            assert!(usize::from(place.folder.0) < FOLDERS);
            assert_eq!(parse_directory(place.sub()), Some(place.folder.sub()));
            assert!(place.below_root().starts_with(place.folder.path().as_bytes()));
        }
        assert_eq!(parse_name(&[b'A'; 64]), None);
        assert_eq!(parse_name(&[b'a'; 63]), None);
        assert_eq!(
            (parse_directory(b"3f"), parse_directory(b"40"), parse_directory(b"3F")),
            (Some(63), None, None)
        );
    }
}
