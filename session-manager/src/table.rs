//! The layout of a session record's data.
//!
//! Version 1, all numbers little-endian. What a session leaves under an old key has one of three forms:
//!
//! - The bytes 1, 2, 4, 0: a tombstone without data, which every rotation but a login leaves.
//! - The bytes 1, 2, 8, 0, 0, 0, 0, 0, then a whole session without a user: a login leaves the data of the anonymous
//!   session that it replaced.
//! - The bytes 1, 2, 75, 0, 0, 0, 0, 0, then the 43 characters of the new key, then the 24 bytes of the new id, sealed:
//!   the forwarder of a timed renewal.
//!
//! A session is a header and entries:
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
//! | | 0 or 1 | how long the client keeps the id: 1 until it closes, 2 until the deadline; others, and none, as configured |
//! | | 0 or 1 + n | timed renewal: n, then when the session got its id, and until a request has the id, the 43 characters of the key before (n = 0, 8 or 51) |
//! | | | additions of later releases, kept unchanged |
//!
//! | offset | length | entry |
//! |---|---|---|
//! | 0 | 1 | class: 0 value, 1 flash, 2 label (UTF-8 with an empty key and codec 0); others are kept unchanged |
//! | 1 | 1 | codec: 1 MessagePack in the binary forms of serde (no longer written), 2 JSON, 3 bincode, 4 MessagePack in the readable forms; others are kept unchanged |
//! | 2 | 1 | flags: 1 has a deadline, 2 has an id |
//! | 3 | 1 | length of the extras |
//! | 4 | 2 | length of the key |
//! | 6 | 2 | zero |
//! | 8 | 4 | length of the value |
//! | 12 | | extras: deadline (8), id (8), additions of later releases; then key, then value |
//!
//! Entries are sorted by class and key, so equal sessions have equal bytes.
//!
//! The data of a user, under `user:`, has the same layout with kind 4. An entry of class 3 with a deadline says that a
//! value was merged; its key is the hexadecimal SHA-256 of the session's key, a zero byte and the value's entry.

use std::time::Duration;

use bytes::Bytes;
use session_core::{Key, Persistence, Prefix, Timestamp};

use crate::client::{Agent, Network};
use crate::entry::{Entries, Malformed, RawEntry};
use crate::forward::{FORWARDER_HEAD, Forwarder};

const VERSION: u8 = 1;
const SESSION: u8 = 1;
const TOMBSTONE: u8 = 2;
const USER: u8 = 4;
const FIXED: usize = 64;
/// The length of the shortest header, without rare fields: its three last parts are empty.
pub(crate) const PLAIN: usize = FIXED + 3;
/// The offset of `updated`.
const UPDATED_AT: usize = 16;
const NONE: u64 = u64::MAX;
/// The byte of [`Persistence::Browser`].
const BROWSER: u8 = 1;
/// The byte of [`Persistence::Session`].
const DEADLINE: u8 = 2;

/// How long the tombstone stays under the old key: longer than any request that began with the old id.
pub(crate) const TOMBSTONE_TIME: Duration = Duration::from_secs(60);

/// A time that is farther ahead was written by a clock that was wrong. Twice what the clocks of hosts may differ by.
pub(crate) const CLOCK_DIFFERENCE: Duration = Duration::from_secs(10);

/// The data of the tombstone that a rotation leaves under the old key, unless it is a login.
pub(crate) const TOMBSTONE_DATA: [u8; 4] = [VERSION, TOMBSTONE, 4, 0];

/// What precedes the anonymous session in the tombstone of a login.
const TOMBSTONE_HEAD: [u8; 8] = [VERSION, TOMBSTONE, 8, 0, 0, 0, 0, 0];

/// Whether a record's data is a tombstone or a forwarder.
pub(crate) fn is_tombstone(data: &[u8]) -> bool {
    data.starts_with(&[VERSION, TOMBSTONE])
}

/// A record's data.
pub(crate) enum Content {
    Session(Table),
    /// The tombstone of a login may hold the anonymous session that the login replaced.
    Tombstone(Option<Box<Table>>),
    /// A timed renewal has moved the session.
    Forwarder(Forwarder),
}

#[cold]
fn parse_tombstone(data: &Bytes) -> Result<Content, Malformed> {
    if data[..] == TOMBSTONE_DATA {
        return Ok(Content::Tombstone(None));
    }
    if data.starts_with(&FORWARDER_HEAD) {
        return Forwarder::parse(data).map(Content::Forwarder);
    }
    if !data.starts_with(&TOMBSTONE_HEAD) {
        return Err(Malformed);
    }
    let left = Table::parse_session(data.slice(TOMBSTONE_HEAD.len()..))?;
    if left.header.user().is_some() {
        return Err(Malformed);
    }
    Ok(Content::Tombstone(Some(Box::new(left))))
}

/// A session as it is stored. Only the header is decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) header: Header,
    /// The whole data; empty for a session that is not stored yet.
    data: Bytes,
    /// The offset of the entries in `data`.
    entries_at: usize,
    /// Whether an entry needs a look at each commit: it has a deadline, or it is a flash value.
    special: bool,
}

impl Table {
    pub(crate) const EMPTY: Self =
        Self { header: Header::EMPTY, data: Bytes::new(), entries_at: 0, special: false };

    /// A session that is not stored yet.
    pub(crate) fn unstored(header: Header) -> Self {
        Self { header, ..Self::EMPTY }
    }

    /// Decodes the header and checks that all entries are complete. Decodes no value.
    #[inline]
    pub(crate) fn parse(data: Bytes) -> Result<Content, Malformed> {
        match data[..] {
            [VERSION, TOMBSTONE, ..] => parse_tombstone(&data),
            _ => Self::parse_session(data).map(Content::Session),
        }
    }

    #[inline]
    fn parse_session(data: Bytes) -> Result<Self, Malformed> {
        if data.len() < FIXED || data[..2] != [VERSION, SESSION] {
            return Err(Malformed);
        }
        let entries_at = usize::from(u16::from_le_bytes([data[2], data[3]]));
        if data[4..8] != [0; 4] || entries_at > data.len() || entries_at < FIXED {
            return Err(Malformed);
        }
        let header = Header::parse(&data, entries_at)?;
        let mut rest = &data[entries_at..];
        let mut special = false;
        while !rest.is_empty() {
            let entry = RawEntry::parse(rest)?;
            special |= entry.is_special();
            rest = &rest[entry.whole.len()..];
        }
        Ok(Self { header, data, entries_at, special })
    }

    /// Decodes the data of a user.
    pub(crate) fn parse_user(data: &[u8]) -> Result<Self, Malformed> {
        if data.get(..2) != Some(&[VERSION, USER][..]) {
            return Err(Malformed);
        }
        match Self::parse([&[VERSION, SESSION], &data[2..]].concat().into())? {
            Content::Session(table) => Ok(table),
            _ => Err(Malformed),
        }
    }

    /// The table as the data of a user.
    pub(crate) fn as_user(&self) -> Bytes {
        [&[VERSION, USER], &self.data[2..]].concat().into()
    }

    pub(crate) fn data(&self) -> &Bytes {
        &self.data
    }

    /// The data of the tombstone of a login over this session, of up to `most` bytes, without the entries that the login
    /// has taken. A session with a user leaves none of its data.
    pub(crate) fn tombstone(&self, most: Option<u64>, taken: impl Fn(&RawEntry<'_>) -> bool) -> Bytes {
        let len = TOMBSTONE_HEAD.len() + self.data.len();
        if self.header.user().is_some() || most.is_some_and(|most| len as u64 > most) {
            return Bytes::from_static(&TOMBSTONE_DATA);
        }
        let mut data = Vec::with_capacity(len);
        data.extend_from_slice(&TOMBSTONE_HEAD);
        data.extend_from_slice(&self.data[..self.entries_at]);
        Entries(self.body())
            .filter(|entry| !taken(entry))
            .for_each(|entry| data.extend_from_slice(entry.whole));
        data.into()
    }

    pub(crate) fn entries_at(&self) -> usize {
        self.entries_at
    }

    /// All entries, still encoded.
    pub(crate) fn body(&self) -> &[u8] {
        &self.data[self.entries_at..]
    }

    pub(crate) fn is_special(&self) -> bool {
        self.special
    }
}

/// A table that is ready to be stored, except for its time of change.
pub(crate) struct Draft {
    pub(crate) header: Header,
    data: Vec<u8>,
    entries_at: usize,
    special: bool,
}

impl Draft {
    /// Encodes the header and the entries that `keep` selects.
    pub(crate) fn filtered(header: Header, entries: &[u8], keep: impl Fn(&RawEntry<'_>) -> bool) -> Self {
        let mut data = Vec::with_capacity(header.len() + entries.len());
        header.write(&mut data);
        let entries_at = data.len();
        Entries(entries).filter(keep).for_each(|entry| data.extend_from_slice(entry.whole));
        Self { header, data, entries_at, special: true }
    }

    /// Writes the header before the entries at `entries_at`, in place if it has the same length.
    pub(crate) fn over(header: Header, mut data: Vec<u8>, old: usize) -> Self {
        let mut entries_at = old;
        if header.rare.is_none() && entries_at == PLAIN {
            data[..PLAIN].copy_from_slice(&header.plain());
            return Self { header, data, entries_at, special: false };
        }
        let mut head = Vec::with_capacity(header.len());
        header.write(&mut head);
        if head.len() == entries_at {
            data[..entries_at].copy_from_slice(&head);
        } else {
            entries_at = head.len();
            head.extend_from_slice(&data[old..]);
            data = head;
        }
        Self { header, data, entries_at, special: false }
    }

    pub(crate) fn has_entries(&self) -> bool {
        self.data.len() > self.entries_at
    }

    /// Whether `table` holds the same already.
    pub(crate) fn equals(&self, table: &Table) -> bool {
        self.data == table.data
    }

    /// The table, changed at `now`.
    pub(crate) fn stamped(self, now: Timestamp) -> Table {
        let Self { mut header, mut data, entries_at, special } = self;
        header.updated = now;
        data[UPDATED_AT..UPDATED_AT + 8].copy_from_slice(&now.as_millis().to_le_bytes());
        Table { header, data: data.into(), entries_at, special }
    }
}

/// The fixed part of a session. The session's own keys cannot reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) started: Timestamp,
    pub(crate) absolute: Option<Timestamp>,
    pub(crate) idle: Duration,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) epoch: u64,
    /// Rarely used fields, boxed because headers are copied often.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    network: Option<Network>,
    agent: Option<Agent>,
    /// UTF-8, checked when it was read.
    user: Bytes,
    /// The persistence, the renewal, and what follows them.
    extra: Bytes,
}

impl Header {
    const EMPTY: Self = Self {
        created: Timestamp::from_millis(0),
        updated: Timestamp::from_millis(0),
        started: Timestamp::from_millis(0),
        absolute: None,
        idle: Duration::ZERO,
        lifetime: None,
        epoch: 0,
        rare: None,
    };

    pub(crate) fn new(idle: Duration, lifetime: Option<Duration>) -> Self {
        Self { idle, lifetime, ..Self::EMPTY }
    }

    fn parse(data: &Bytes, end: usize) -> Result<Self, Malformed> {
        let word = |at: usize| {
            u64::from_le_bytes(*data[at..].first_chunk().expect("the caller has checked the length"))
        };
        let fixed = |rare| Self {
            created: Timestamp::from_millis(word(8)),
            updated: Timestamp::from_millis(word(UPDATED_AT)),
            started: Timestamp::from_millis(word(24)),
            absolute: (word(32) != NONE).then(|| Timestamp::from_millis(word(32))),
            idle: Duration::from_millis(word(40)),
            lifetime: (word(48) != NONE).then(|| Duration::from_millis(word(48))),
            epoch: word(56),
            rare,
        };
        if end == PLAIN && data[FIXED..PLAIN] == [0; 3] {
            return Ok(fixed(None));
        }
        let mut at = FIXED;
        let mut part = || {
            let len = usize::from(*data[..end].get(at).ok_or(Malformed)?);
            let from = at + 1;
            at = from + len;
            if at > end { Err(Malformed) } else { Ok(from..at) }
        };
        let network = optional(&data[part()?], Network::from_bytes)?;
        let agent = optional(&data[part()?], Agent::from_bytes)?;
        let user = part()?;
        std::str::from_utf8(&data[user.clone()]).map_err(|_| Malformed)?;
        // These slices share the record's bytes.
        let rare = Rare { network, agent, user: data.slice(user), extra: data.slice(at..end) };
        Ok(fixed(Some(Box::new(rare))))
    }

    /// The header, except for its rare fields.
    fn plain(&self) -> [u8; PLAIN] {
        let mut out = [0; PLAIN];
        out[..2].copy_from_slice(&[VERSION, SESSION]);
        out[2..4].copy_from_slice(&(PLAIN as u16).to_le_bytes());
        let words = [
            self.created.as_millis(),
            self.updated.as_millis(),
            self.started.as_millis(),
            self.absolute.map_or(NONE, Timestamp::as_millis),
            millis(self.idle),
            self.lifetime.map_or(NONE, millis),
            self.epoch,
        ];
        for (place, word) in out[8..FIXED].as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        out
    }

    /// Writes the header; the entries follow it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let plain = self.plain();
        let Some(rare) = &self.rare else { return out.extend_from_slice(&plain) };
        out.extend_from_slice(&plain[..FIXED]);
        match rare.network {
            Some(network) => network.write(out),
            None => out.push(0),
        }
        match rare.agent {
            Some(agent) => agent.write(out),
            None => out.push(0),
        }
        out.push(u8::try_from(rare.user.len()).expect("bind_user refuses a name over 255 bytes"));
        out.extend_from_slice(&rare.user);
        out.extend_from_slice(&rare.extra);
        // Only additions that were read from a header of up to 65,535 bytes can make the header too long, together
        // with a longer user name. They are dropped then.
        let len = u16::try_from(out.len()).unwrap_or_else(|_| {
            out.truncate(out.len() - rare.extra.len());
            out.len() as u16
        });
        out[2..4].copy_from_slice(&len.to_le_bytes());
    }

    /// When the session ends if its last use is at `now`.
    pub(crate) fn deadline(&self, now: Timestamp) -> Timestamp {
        let idle = now.saturating_add(self.idle);
        self.absolute.map_or(idle, |absolute| absolute.min(idle))
    }

    /// Whether a clock that was ahead has written these times: they are later than clocks may differ.
    pub(crate) fn is_ahead(&self, now: Timestamp) -> bool {
        self.updated.max(self.started).max(self.issued()) > now.saturating_add(CLOCK_DIFFERENCE)
    }

    /// Moves times that are later than `now`, and counts a lifetime that began later from now. Returns how far ahead the
    /// clock was at the last change.
    pub(crate) fn correct(&mut self, now: Timestamp) -> Duration {
        let ahead = self.updated.saturating_since(now);
        (self.created, self.updated) = (self.created.min(now), self.updated.min(now));
        if self.started > now {
            self.started = now;
            self.set_lifetime(self.lifetime);
        }
        if let Some((_, before)) = self.renewal().filter(|(at, _)| *at > now) {
            self.set_renewal(Some((now, before.as_ref())));
        }
        ahead
    }

    /// Begins a new absolute lifetime: at creation, and with a rotation.
    pub(crate) fn start(&mut self, now: Timestamp) {
        self.started = now;
        self.set_lifetime(self.lifetime);
        self.set_renewal(None);
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

    pub(crate) fn persistence(&self) -> Persistence {
        match self.rare.as_ref().and_then(|rare| rare.extra.first()) {
            Some(&BROWSER) => Persistence::Browser,
            Some(&DEADLINE) => Persistence::Session,
            _ => Persistence::Configured,
        }
    }

    pub(crate) fn set_persistence(&mut self, persistence: Persistence) {
        let byte = match persistence {
            Persistence::Browser => BROWSER,
            Persistence::Session => DEADLINE,
            _ => 0,
        };
        let rare = self.rare.get_or_insert_default();
        rare.extra = [&[byte], rare.extra.get(1..).unwrap_or_default()].concat().into();
    }

    /// When the session got its id, and the key before, until a request has presented the id.
    pub(crate) fn renewal(&self) -> Option<(Timestamp, Option<Key>)> {
        self.rare.as_ref()?;
        let (at, key) = self.renewal_bytes().split_first_chunk()?;
        let key = std::str::from_utf8(key).ok().and_then(|hash| Key::new(&Prefix::SESSION, hash).ok());
        Some((Timestamp::from_millis(u64::from_le_bytes(*at)), key))
    }

    /// Whether a request has presented the id that a renewal gave the session.
    pub(crate) fn is_confirmed(&self) -> bool {
        matches!(self.renewal(), Some((_, None)))
    }

    /// Records a timed renewal, or forgets it.
    pub(crate) fn set_renewal(&mut self, renewal: Option<(Timestamp, Option<&Key>)>) {
        let old = self.renewal_bytes().len();
        if renewal.is_none() && old == 0 {
            return;
        }
        let rare = self.rare.get_or_insert_default();
        let mut extra = vec![rare.extra.first().copied().unwrap_or_default(), 0];
        if let Some((at, key)) = renewal {
            extra.extend_from_slice(&at.as_millis().to_le_bytes());
            key.iter().for_each(|key| extra.extend_from_slice(key.id().as_bytes()));
        }
        extra[1] = (extra.len() - 2) as u8;
        extra.extend_from_slice(rare.extra.get(2 + old..).unwrap_or_default());
        rare.extra = extra.into();
    }

    fn renewal_bytes(&self) -> &[u8] {
        let extra = self.rare.as_ref().map_or(&[][..], |rare| &rare.extra);
        let len = extra.get(1).map_or(0, |len| usize::from(*len));
        extra.get(2..2 + len).unwrap_or_default()
    }

    /// When the session got its id.
    pub(crate) fn issued(&self) -> Timestamp {
        self.renewal().map_or(self.started, |(at, _)| at)
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

    /// The additions of a later release.
    #[cfg(test)]
    pub(crate) fn extra(&self) -> Bytes {
        self.rare.as_ref().map_or_else(Bytes::new, |rare| rare.extra.clone())
    }

    /// How many bytes [`write`](Self::write) appends at most.
    pub(crate) fn len(&self) -> usize {
        PLAIN + self.rare.as_ref().map_or(0, |rare| 17 + 16 + rare.user.len() + rare.extra.len())
    }
}

fn optional<T>(bytes: &[u8], parse: fn(&[u8]) -> Option<T>) -> Result<Option<T>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    parse(bytes).map(Some).ok_or(Malformed)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
