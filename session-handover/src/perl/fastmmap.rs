//! The file of Cache::FastMmap: pages with a hash table of entries each.
//!
//! | page offset | bytes | content |
//! |---|---|---|
//! | 0 | 4 | `92f7e3b1` |
//! | 4 | 4 | number of slots |
//! | 8 | 24 | free slots, deleted slots, offset of free space, free bytes, reads, hits |
//! | 32 | 4 each | slots: 0 free, 1 deleted, else the offset of an entry |
//!
//! An entry has the time of its last use, its end (seconds since 1970, 0: none), hash, flags, length of the key, length of the
//! value, key and value. Numbers have the byte order of the machine.
//!
//! The processes of the old application map the file and lock each page with `fcntl` while they use it. A reader of a live file
//! takes the same locks; [`find`] and [`removal`] work on the one page that [`page_of`] names.

use super::storable;
use crate::{Bounds, Error, ErrorKind, Reader, Value};

/// One entry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The key: text, or bytes where it is not. Null where a damaged page or entry has no readable key.
    pub key: Value,
    /// The value, or why it cannot be read.
    pub value: Result<Value, Error>,
    /// The end in seconds since 1970, where there is one.
    pub expires: Option<u32>,
}

impl Entry {
    /// Whether the entry has ended at `now`.
    pub fn ended(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| i64::from(expires) <= now)
    }
}

const MAGIC: u32 = 0x92f7_e3b1;

/// How the cache keeps values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Serializer {
    /// Storable of a reference to the value, the default.
    #[default]
    Storable,
    /// `raw_values`, or the empty serializer: text.
    Raw,
}

/// Reads every entry of a file with pages of `page_size` bytes. Without a size it is found from the second page.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(
    file: &[u8],
    page_size: Option<usize>,
    serializer: Serializer,
    bounds: &Bounds,
) -> Result<Vec<Entry>, Error> {
    let page_size = match page_size {
        Some(size) => size,
        None => guess(file)?,
    };
    if page_size < 64 || !file.len().is_multiple_of(page_size) {
        return Err(Error::new(ErrorKind::Malformed, 0, "file is not a multiple of its page size"));
    }
    // Entries are parts of the file: only those that several slots lead to are copies.
    let mut count = Reader::new(file, &Bounds { size: bounds.size.max(file.len()), ..*bounds });
    let mut entries = Vec::new();
    let damaged = |error| Entry { key: Value::Null, value: Err(error), expires: None };
    for (number, page) in file.chunks(page_size).enumerate() {
        // A damaged page or entry loses no other.
        let page = match Page::new(page, number * page_size) {
            Ok(page) => page,
            Err(error) => {
                entries.push(damaged(error));
                continue;
            }
        };
        for slot in 0..page.slots {
            let entry = match page.entry(slot, &mut count) {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(error) if matches!(error.kind(), ErrorKind::TooMany | ErrorKind::TooLarge) => {
                    return Err(error);
                }
                Err(error) => {
                    entries.push(damaged(error));
                    continue;
                }
            };
            let value = match serializer {
                Serializer::Storable => storable::read(entry.value, bounds),
                Serializer::Raw => Ok(text_or_bytes(entry.value, entry.flags & UTF8_VALUE != 0)),
            };
            entries.push(Entry {
                key: text_or_bytes(entry.key, entry.flags & UTF8_KEY != 0),
                value: if entry.flags & UNDEFINED != 0 { Ok(Value::Null) } else { value },
                expires: (entry.expires != 0).then_some(entry.expires),
            });
        }
    }
    Ok(entries)
}

const UTF8_VALUE: u32 = 0x8000_0000;
const UTF8_KEY: u32 = 0x4000_0000;
const UNDEFINED: u32 = 0x2000_0000;

/// An entry that is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found<'f> {
    /// The value as the cache's serializer wrote it.
    pub value: &'f [u8],
    /// The end in seconds since 1970, where there is one.
    pub expires: Option<u32>,
}

/// A change of a page: these bytes at this offset in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patch {
    /// The offset in the page.
    pub offset: usize,
    /// The bytes to write there, in one call.
    pub bytes: Vec<u8>,
}

/// How many bytes of a page [`page_size`] needs.
pub const HEADER: usize = 32;

/// The size of a file's pages in bytes, by the header of any of them.
///
/// # Errors
/// `Version` for other bytes than a header; `Truncated`; `Malformed`.
pub fn page_size(header: &[u8]) -> Result<usize, Error> {
    let little = byte_order(header, 0)?;
    let page = Page { bytes: header, at: 0, little, slots: 0 };
    // The free space is the end of the page.
    let size = page.number(16)?.checked_add(page.number(20)?);
    size.filter(|size| (1024..=1 << 30).contains(size))
        .ok_or_else(|| Error::new(ErrorKind::Malformed, 16, "free space of the page"))
}

/// The number of the page that has a key, in a file of `pages` pages.
pub fn page_of(key: &[u8], pages: u32) -> u32 {
    hash(key).checked_rem(pages).unwrap_or(0)
}

/// Finds the entry of a key in its page, in a file of `pages` pages. An entry without a value is `None`.
///
/// # Errors
/// A kind and the offset of the damage in the page.
pub fn find<'f>(page: &'f [u8], pages: u32, key: &[u8]) -> Result<Option<Found<'f>>, Error> {
    let Some((_, entry)) = Page::new(page, 0)?.probe(pages, key)? else { return Ok(None) };
    let found = Found { value: entry.value, expires: (entry.expires != 0).then_some(entry.expires) };
    Ok(Some(found).filter(|_| entry.flags & UNDEFINED == 0))
}

/// The change that removes a key from its page, as the method `remove` makes it. `None` where the page does not have the key.
///
/// # Errors
/// A kind and the offset of the damage in the page.
pub fn removal(bytes: &[u8], pages: u32, key: &[u8]) -> Result<Option<Patch>, Error> {
    let page = Page::new(bytes, 0)?;
    let Some((slot, _)) = page.probe(pages, key)? else { return Ok(None) };
    let (free, deleted) = (page.word(8)?, page.word(12)?);
    if deleted > free || page.number(8)? >= page.slots {
        return Err(Error::new(ErrorKind::Malformed, 8, "number of free slots"));
    }
    let order = |number: u32| if page.little { number.to_le_bytes() } else { number.to_be_bytes() };
    let (offset, slot) = (8, HEADER + slot * 4);
    let mut bytes = bytes[offset..slot].to_vec();
    bytes[..4].copy_from_slice(&order(free + 1));
    bytes[4..8].copy_from_slice(&order(deleted + 1));
    bytes.extend_from_slice(&order(1));
    Ok(Some(Patch { offset, bytes }))
}

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(MAGIC, |hash, &byte| hash.rotate_left(4).wrapping_add(u32::from(byte)))
}

/// The size of the pages, or the whole file where there is one page.
fn guess(file: &[u8]) -> Result<usize, Error> {
    let little = Page::new(file, 0)?.little;
    if let Some(size) = page_size(file).ok().filter(|&size| file.len().is_multiple_of(size)) {
        return Ok(size);
    }
    let magic = if little { MAGIC.to_le_bytes() } else { MAGIC.to_be_bytes() };
    let mut size = 512;
    while size < file.len() {
        if file.len().is_multiple_of(size) && file.chunks(size).all(|page| page.starts_with(&magic)) {
            return Ok(size);
        }
        size *= 2;
    }
    Ok(file.len())
}

struct Page<'f> {
    bytes: &'f [u8],
    /// Offset of the page in the file.
    at: usize,
    little: bool,
    slots: usize,
}

struct RawEntry<'f> {
    key: &'f [u8],
    value: &'f [u8],
    flags: u32,
    expires: u32,
}

impl<'f> Page<'f> {
    fn new(bytes: &'f [u8], at: usize) -> Result<Self, Error> {
        let little = byte_order(bytes, at)?;
        let mut page = Self { bytes, at, little, slots: 0 };
        page.slots = page.number(4)?;
        if page.slots > bytes.len() / 4 {
            return Err(Error::new(ErrorKind::Malformed, at + 4, "more slots than the page holds"));
        }
        Ok(page)
    }

    /// The slot of a key and its entry, where the hash of the key leads.
    fn probe(&self, pages: u32, key: &[u8]) -> Result<Option<(usize, RawEntry<'f>)>, Error> {
        // One entry is looked at a time, and no value is copied.
        let mut count = Reader::new(self.bytes, &Bounds { depth: 0, size: usize::MAX, count: usize::MAX });
        let bad = || Error::new(ErrorKind::Malformed, 4, "number of slots");
        let first = usize::try_from(hash(key).checked_div(pages).unwrap_or(0)).map_err(|_| bad())?;
        for step in 0..self.slots {
            let slot = (first % self.slots + step) % self.slots;
            if self.word(HEADER + slot * 4)? == 0 {
                break;
            }
            if let Some(entry) = self.entry(slot, &mut count)?.filter(|entry| entry.key == key) {
                return Ok(Some((slot, entry)));
            }
        }
        Ok(None)
    }

    fn word(&self, offset: usize) -> Result<u32, Error> {
        let bytes = offset
            .checked_add(4)
            .and_then(|end| self.bytes.get(offset..end))
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| {
                Error::new(ErrorKind::Truncated, self.at.saturating_add(offset), "entry beyond its page")
            })?;
        Ok(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn number(&self, offset: usize) -> Result<usize, Error> {
        usize::try_from(self.word(offset)?)
            .map_err(|_| Error::new(ErrorKind::Malformed, self.at + offset, "length"))
    }

    fn entry(&self, slot: usize, count: &mut Reader<'_>) -> Result<Option<RawEntry<'f>>, Error> {
        let offset = self.number(HEADER + slot * 4)?;
        if offset < 2 {
            return Ok(None);
        }
        count.count_item()?;
        let beyond =
            || Error::new(ErrorKind::Truncated, self.at.saturating_add(offset), "entry beyond its page");
        let expires = self.word(offset.checked_add(4).ok_or_else(beyond)?)?;
        let flags = self.word(offset.checked_add(12).ok_or_else(beyond)?)?;
        let key_length = self.number(offset + 16)?;
        let value_length = self.number(offset + 20)?;
        let start = offset + 24;
        let middle = start.checked_add(key_length).ok_or_else(beyond)?;
        let end = middle.checked_add(value_length).ok_or_else(beyond)?;
        let key = self.bytes.get(start..middle).ok_or_else(beyond)?;
        let value = self.bytes.get(middle..end).ok_or_else(beyond)?;
        // Slots may all lead to one entry in a damaged page: its bytes are counted each time.
        count.grow(key.len() + value.len())?;
        Ok(Some(RawEntry { key, value, flags, expires }))
    }
}

/// Whether the numbers of a page are little-endian.
fn byte_order(bytes: &[u8], at: usize) -> Result<bool, Error> {
    if bytes.starts_with(&MAGIC.to_le_bytes()) {
        Ok(true)
    } else if bytes.starts_with(&MAGIC.to_be_bytes()) {
        Ok(false)
    } else {
        Err(Error::new(ErrorKind::Version, at, "page does not begin with its magic number"))
    }
}

/// Text where it is marked as UTF-8 or ASCII, else bytes.
fn text_or_bytes(bytes: &[u8], utf8: bool) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if utf8 || text.is_ascii() => Value::Text(text.into()),
        _ => Value::Bytes(bytes.to_vec()),
    }
}
