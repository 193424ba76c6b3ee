//! The layout of a session record's data.
//!
//! Version 1, all numbers little-endian. A tombstone is the four bytes 1, 2, 4, 0. A session is a header and entries:
//!
//! | offset | length | header |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | kind: 1 session, 2 tombstone, 3 index, 4 user |
//! | 2 | 2 | length of the header, where the entries begin |
//! | 4 | 4 | zero |
//! | 8 | 8 | created, ms since the Unix epoch |
//! | 16 | 8 | updated |
//! | 24 | 8 | started: created, or the last rotation; the absolute lifetime counts from here |
//! | 32 | 8 | absolute deadline; 2^64 - 1 for none |
//! | 40 | 8 | idle timeout in ms |
//! | 48 | 8 | absolute lifetime in ms; 2^64 - 1 for none |
//! | 56 | 8 | user epoch, 0 for none |
//! | 64 | 1 + n | client network: n, then prefix length in bits and 4 or 16 address bytes (n = 0, 5 or 17) |
//! | | 1 + n | user agent: n, then the first 16 bytes of its SHA-256 (n = 0 or 16) |
//! | | 1 + n | user: n, then its name |
//! | | | whatever a later release adds, kept as it is |
//!
//! | offset | length | entry |
//! |---|---|---|
//! | 0 | 1 | class: 0 value, 1 flash; others are kept as they are |
//! | 1 | 1 | codec: 1 MessagePack, 2 JSON, 3 bincode; others are kept as they are |
//! | 2 | 1 | flags: 1 a deadline is there, 2 an id is there |
//! | 3 | 1 | length of the extras |
//! | 4 | 2 | length of the key |
//! | 6 | 2 | zero |
//! | 8 | 4 | length of the value |
//! | 12 | | extras: deadline (8), id (8), whatever a later release adds; then key, then value |
//!
//! Entries are sorted by class and key, so that equal sessions have equal bytes.

use std::time::Duration;

use bytes::Bytes;
use session_core::{Timestamp, is_live};

use crate::check::{Agent, Network};

pub(crate) const VALUE: u8 = 0;
pub(crate) const FLASH: u8 = 1;

const VERSION: u8 = 1;
const SESSION: u8 = 1;
const TOMBSTONE: u8 = 2;
const FIXED: usize = 64;
const NONE: u64 = u64::MAX;
const ENTRY_FIXED: usize = 12;
const HAS_DEADLINE: u8 = 1;
const HAS_ID: u8 = 2;
/// Where `updated` stands, so that a commit can set it in bytes that it has compared already.
const UPDATED_AT: usize = 16;

/// The data of the tombstone that a rotation leaves under the old key.
pub(crate) const TOMBSTONE_DATA: [u8; 4] = [VERSION, TOMBSTONE, 4, 0];

/// The data is not a table of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What a record's data is.
pub(crate) enum Content {
    Session(Table),
    Tombstone,
}

/// A session as it is stored: nothing but the header has been decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) header: Header,
    /// The whole data; empty for a session that is not stored yet.
    pub(crate) data: Bytes,
    /// Where the entries begin in it.
    pub(crate) entries_at: usize,
}

impl Table {
    /// Reads the header and checks that the entries are whole; decodes no value.
    pub(crate) fn parse(data: Bytes) -> Result<Content, Malformed> {
        let content = Self::parse_own(data)?;
        if let Content::Session(table) = &content {
            let mut rest = table.body();
            while !rest.is_empty() {
                rest = &rest[RawEntry::parse(rest)?.whole.len()..];
            }
        }
        Ok(content)
    }

    /// [`parse`](Self::parse) of what this process has just encoded: its entries are whole.
    pub(crate) fn parse_own(data: Bytes) -> Result<Content, Malformed> {
        match data[..] {
            [VERSION, TOMBSTONE, 4, 0] => return Ok(Content::Tombstone),
            [VERSION, SESSION, ..] if data.len() >= FIXED => {}
            _ => return Err(Malformed),
        }
        let entries_at = usize::from(u16::from_le_bytes([data[2], data[3]]));
        // Views keep offsets in 32 bits.
        let too_long = u32::try_from(data.len()).is_err();
        if too_long || data[4..8] != [0; 4] || entries_at > data.len() || entries_at < FIXED {
            return Err(Malformed);
        }
        let header = Header::parse(&data, entries_at)?;
        Ok(Content::Session(Self { header, data, entries_at }))
    }

    fn body(&self) -> &[u8] {
        &self.data[self.entries_at..]
    }

    /// The entries, in their order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = RawEntry<'_>> {
        let mut rest = self.body();
        std::iter::from_fn(move || {
            let entry = RawEntry::parse(rest).ok()?;
            rest = &rest[entry.whole.len()..];
            Some(entry)
        })
    }
}

/// The fixed part of a session, which the session's own keys cannot reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) started: Timestamp,
    pub(crate) absolute: Option<Timestamp>,
    pub(crate) idle: Duration,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) epoch: u64,
    /// What most sessions do without, apart, for a header is moved and copied a lot.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    network: Option<Network>,
    agent: Option<Agent>,
    /// UTF-8, checked when it was read.
    user: Bytes,
    extra: Bytes,
}

impl Header {
    pub(crate) fn new(idle: Duration, lifetime: Option<Duration>) -> Self {
        Self { idle, lifetime, ..Self::default() }
    }

    fn parse(data: &Bytes, end: usize) -> Result<Self, Malformed> {
        let word =
            |at: usize| u64::from_le_bytes(*data[at..].first_chunk().expect("the fixed part is there"));
        let mut at = FIXED;
        let mut part = || {
            let len = usize::from(*data[..end].get(at).ok_or(Malformed)?);
            let from = at + 1;
            at = from + len;
            if at > end { Err(Malformed) } else { Ok(from..at) }
        };
        let network = Network::from_bytes(&data[part()?])?;
        let agent = Agent::from_bytes(&data[part()?])?;
        let user = part()?;
        std::str::from_utf8(&data[user.clone()]).map_err(|_| Malformed)?;
        Ok(Self {
            created: Timestamp::from_millis(word(8)),
            updated: Timestamp::from_millis(word(UPDATED_AT)),
            started: Timestamp::from_millis(word(24)),
            absolute: (word(32) != NONE).then(|| Timestamp::from_millis(word(32))),
            idle: Duration::from_millis(word(40)),
            lifetime: (word(48) != NONE).then(|| Duration::from_millis(word(48))),
            epoch: word(56),
            // Three lengths of nothing, and nothing behind them.
            rare: (end > FIXED + 3).then(|| {
                // Slices share the record's bytes.
                Box::new(Rare { network, agent, user: data.slice(user), extra: data.slice(at..end) })
            }),
        })
    }

    /// Writes the header; the entries follow it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, SESSION, 0, 0, 0, 0, 0, 0]);
        for word in [
            self.created.as_millis(),
            self.updated.as_millis(),
            self.started.as_millis(),
            self.absolute.map_or(NONE, Timestamp::as_millis),
            millis(self.idle),
            self.lifetime.map_or(NONE, millis),
            self.epoch,
        ] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let Some(rare) = &self.rare else {
            out.extend_from_slice(&[0; 3]);
            out[2..4].copy_from_slice(&(FIXED as u16 + 3).to_le_bytes());
            return;
        };
        Network::write(rare.network.as_ref(), out);
        Agent::write(rare.agent.as_ref(), out);
        out.push(u8::try_from(rare.user.len()).expect("bind_user refuses a name over 255 bytes"));
        out.extend_from_slice(&rare.user);
        out.extend_from_slice(&rare.extra);
        // 64 fixed bytes, three parts of at most 256 bytes, and what was read from a header of at most 65,535: only
        // the last can make it too long, together with a longer user name; then what is unknown is dropped.
        let len = u16::try_from(out.len()).unwrap_or_else(|_| {
            out.truncate(out.len() - rare.extra.len());
            out.len() as u16
        });
        out[2..4].copy_from_slice(&len.to_le_bytes());
    }

    /// When the session ends if it is used at `now` and then no more.
    pub(crate) fn deadline(&self, now: Timestamp) -> Timestamp {
        let idle = now.saturating_add(self.idle);
        self.absolute.map_or(idle, |absolute| absolute.min(idle))
    }

    /// Counts the absolute lifetime from `started`.
    pub(crate) fn set_lifetime(&mut self, lifetime: Option<Duration>) {
        self.lifetime = lifetime;
        self.absolute = lifetime.map(|lifetime| self.started.saturating_add(lifetime));
    }

    pub(crate) fn user(&self) -> Option<&str> {
        std::str::from_utf8(&self.rare.as_ref()?.user).ok().filter(|user| !user.is_empty())
    }

    /// The user's name as bytes, empty for none.
    pub(crate) fn user_bytes(&self) -> Bytes {
        self.rare.as_ref().map_or_else(Bytes::new, |rare| rare.user.clone())
    }

    pub(crate) fn set_user(&mut self, user: Bytes) {
        self.rare.get_or_insert_default().user = user;
    }

    pub(crate) fn network(&self) -> Option<Network> {
        self.rare.as_ref()?.network
    }

    pub(crate) fn agent(&self) -> Option<Agent> {
        self.rare.as_ref()?.agent
    }

    pub(crate) fn bind_to(&mut self, network: Option<Network>, agent: Option<Agent>) {
        if network.is_some() || agent.is_some() || self.rare.is_some() {
            let rare = self.rare.get_or_insert_default();
            (rare.network, rare.agent) = (network, agent);
        }
    }

    /// What a later release has added.
    #[cfg(test)]
    pub(crate) fn extra(&self) -> Bytes {
        self.rare.as_ref().map_or_else(Bytes::new, |rare| rare.extra.clone())
    }

    /// How many bytes [`write`](Self::write) appends.
    pub(crate) fn len(&self) -> usize {
        FIXED + 3 + self.rare.as_ref().map_or(0, |rare| 17 + 16 + rare.user.len() + rare.extra.len())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Sets `updated` in encoded data.
pub(crate) fn stamp_updated(data: &mut [u8], now: Timestamp) {
    data[UPDATED_AT..UPDATED_AT + 8].copy_from_slice(&now.as_millis().to_le_bytes());
}

/// One entry, still encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawEntry<'a> {
    pub(crate) whole: &'a [u8],
    pub(crate) class: u8,
    pub(crate) codec: u8,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) id: u64,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> RawEntry<'a> {
    /// The entry at the beginning of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let head: &[u8; ENTRY_FIXED] = bytes.first_chunk().ok_or(Malformed)?;
        let [class, codec, flags, extras_len, k0, k1, _, _, v0, v1, v2, v3] = *head;
        let rest = &bytes[ENTRY_FIXED..];
        let (extras, rest) = rest.split_at_checked(usize::from(extras_len)).ok_or(Malformed)?;
        let (key, rest) =
            rest.split_at_checked(usize::from(u16::from_le_bytes([k0, k1]))).ok_or(Malformed)?;
        let value_len = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        let value = rest.get(..value_len).ok_or(Malformed)?;
        let mut words = extras
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(*word.first_chunk().expect("chunks_exact gives eight bytes")));
        let deadline = match flags & HAS_DEADLINE {
            0 => None,
            _ => Some(Timestamp::from_millis(words.next().ok_or(Malformed)?)),
        };
        let id = if flags & HAS_ID == 0 { 0 } else { words.next().ok_or(Malformed)? };
        let whole = &bytes[..ENTRY_FIXED + extras.len() + key.len() + value_len];
        Ok(Self { whole, class, codec, deadline, id, key, value })
    }

    pub(crate) fn is_live(&self, now: impl FnOnce() -> Timestamp) -> bool {
        self.deadline.is_none() || is_live(self.deadline, now())
    }

    /// The same entry with another deadline.
    pub(crate) fn with_deadline(&self, deadline: Option<Timestamp>) -> Vec<u8> {
        let key_len = (self.key.len() as u16).to_le_bytes();
        let value_len = (self.value.len() as u32).to_le_bytes();
        let (flags, extras) = if deadline.is_some() { (HAS_DEADLINE, 8) } else { (0, 0) };
        let mut out = Vec::with_capacity(ENTRY_FIXED + 8 + self.key.len() + self.value.len());
        out.extend_from_slice(&[self.class, self.codec, flags, extras, key_len[0], key_len[1], 0, 0]);
        out.extend_from_slice(&value_len);
        if let Some(deadline) = deadline {
            out.extend_from_slice(&deadline.as_millis().to_le_bytes());
        }
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
        out
    }

    pub(crate) fn order(&self) -> (u8, &'a [u8]) {
        (self.class, self.key)
    }
}

/// The parts of a new entry, all but its value.
pub(crate) struct NewEntry<'a> {
    pub(crate) class: u8,
    pub(crate) codec: u8,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) id: Option<u64>,
    pub(crate) key: &'a str,
}

impl NewEntry<'_> {
    /// Encodes the entry with the value that `fill` appends. `None` where key or value are too long for the layout.
    pub(crate) fn encode<E>(
        &self,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Option<Vec<u8>>, E> {
        let Ok(key_len) = u16::try_from(self.key.len()) else { return Ok(None) };
        let [k0, k1] = key_len.to_le_bytes();
        let flags = if self.deadline.is_some() { HAS_DEADLINE } else { 0 }
            | if self.id.is_some() { HAS_ID } else { 0 };
        let extras = 8 * u8::from(self.deadline.is_some()) + 8 * u8::from(self.id.is_some());
        let mut out = Vec::with_capacity(ENTRY_FIXED + usize::from(extras) + self.key.len() + 48);
        out.extend_from_slice(&[self.class, self.codec, flags, extras, k0, k1, 0, 0, 0, 0, 0, 0]);
        if let Some(deadline) = self.deadline {
            out.extend_from_slice(&deadline.as_millis().to_le_bytes());
        }
        if let Some(id) = self.id {
            out.extend_from_slice(&id.to_le_bytes());
        }
        out.extend_from_slice(self.key.as_bytes());
        let value_at = out.len();
        fill(&mut out)?;
        let Ok(len) = u32::try_from(out.len() - value_at) else { return Ok(None) };
        out[8..12].copy_from_slice(&len.to_le_bytes());
        Ok(Some(out))
    }
}
