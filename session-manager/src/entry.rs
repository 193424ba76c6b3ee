//! One entry of a session: see the layout in `table.rs`.

use session_core::{Timestamp, is_live};

pub(crate) const VALUE: u8 = 0;
pub(crate) const FLASH: u8 = 1;
pub(crate) const LABEL: u8 = 2;
pub(crate) const MERGED: u8 = 3;

/// The length of the shortest entry.
pub(crate) const ENTRY_FIXED: usize = 12;
const HAS_DEADLINE: u8 = 1;
const HAS_ID: u8 = 2;

/// The data is not a table of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The entries in `bytes`, in order.
pub(crate) fn entries(bytes: &[u8]) -> Entries<'_> {
    Entries(bytes)
}

pub(crate) struct Entries<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = RawEntry<'a>;

    fn next(&mut self) -> Option<RawEntry<'a>> {
        let entry = RawEntry::parse(self.0).ok()?;
        self.0 = &self.0[entry.whole.len()..];
        Some(entry)
    }
}

/// One entry, still encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawEntry<'a> {
    pub(crate) whole: &'a [u8],
    key_at: usize,
    value_at: usize,
}

impl<'a> RawEntry<'a> {
    /// The entry at the beginning of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let head: &[u8; ENTRY_FIXED] = bytes.first_chunk().ok_or(Malformed)?;
        let [_, _, flags, extras_len, k0, k1, _, _, v0, v1, v2, v3] = *head;
        if u32::from(extras_len) < 8 * (flags & (HAS_DEADLINE | HAS_ID)).count_ones() {
            return Err(Malformed);
        }
        let key_at = ENTRY_FIXED + usize::from(extras_len);
        let value_at = key_at + usize::from(u16::from_le_bytes([k0, k1]));
        let end = value_at.checked_add(u32::from_le_bytes([v0, v1, v2, v3]) as usize).ok_or(Malformed)?;
        Ok(Self { whole: bytes.get(..end).ok_or(Malformed)?, key_at, value_at })
    }

    pub(crate) fn class(&self) -> u8 {
        self.whole[0]
    }

    pub(crate) fn codec(&self) -> u8 {
        self.whole[1]
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        (self.whole[2] & HAS_DEADLINE != 0).then(|| Timestamp::from_millis(self.word(ENTRY_FIXED)))
    }

    /// The id, or 0.
    pub(crate) fn id(&self) -> u64 {
        match self.whole[2] & (HAS_DEADLINE | HAS_ID) {
            HAS_ID => self.word(ENTRY_FIXED),
            0 | HAS_DEADLINE => 0,
            _ => self.word(ENTRY_FIXED + 8),
        }
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(*self.whole[at..].first_chunk().expect("`parse` has checked the extras"))
    }

    pub(crate) fn key(&self) -> &'a [u8] {
        &self.whole[self.key_at..self.value_at]
    }

    pub(crate) fn value(&self) -> &'a [u8] {
        &self.whole[self.value_at..]
    }

    pub(crate) fn is_live(&self, now: impl FnOnce() -> Timestamp) -> bool {
        self.deadline().is_none_or(|deadline| is_live(Some(deadline), now()))
    }

    pub(crate) fn is(&self, class: u8, key: &[u8]) -> bool {
        self.class() == class && self.key() == key
    }

    /// What entries are sorted by.
    pub(crate) fn order(&self) -> (u8, &'a [u8]) {
        (self.class(), self.key())
    }

    /// Whether a commit may have to drop it.
    pub(crate) fn is_special(&self) -> bool {
        self.whole[2] & HAS_DEADLINE != 0 || self.class() == FLASH
    }

    /// Replaces the deadline of an entry that has one.
    pub(crate) fn set_deadline(whole: &mut [u8], deadline: Timestamp) {
        whole[ENTRY_FIXED..ENTRY_FIXED + 8].copy_from_slice(&deadline.as_millis().to_le_bytes());
    }

    /// The same entry with another deadline.
    pub(crate) fn with_deadline(&self, deadline: Timestamp) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.whole.len() + 8);
        out.extend_from_slice(&self.whole[..ENTRY_FIXED]);
        out[2..4].copy_from_slice(&[HAS_DEADLINE, 8]);
        out.extend_from_slice(&deadline.as_millis().to_le_bytes());
        out.extend_from_slice(&self.whole[self.key_at..]);
        out
    }
}

/// The parts of a new entry, except for its value.
pub(crate) struct NewEntry<'a> {
    pub(crate) class: u8,
    pub(crate) codec: u8,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) id: Option<u64>,
    pub(crate) key: &'a str,
}

impl NewEntry<'_> {
    /// Encodes the entry with the value that `fill` appends. `None` if key or value are too long for the layout.
    pub(crate) fn encode<E>(
        &self,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Option<Vec<u8>>, E> {
        let Ok(key_len) = u16::try_from(self.key.len()) else { return Ok(None) };
        let [k0, k1] = key_len.to_le_bytes();
        let flags = if self.deadline.is_some() { HAS_DEADLINE } else { 0 }
            | if self.id.is_some() { HAS_ID } else { 0 };
        let extras = 8 * flags.count_ones() as u8;
        let mut out = Vec::with_capacity(ENTRY_FIXED + usize::from(extras) + self.key.len() + 48);
        out.extend_from_slice(&[self.class, self.codec, flags, extras, k0, k1, 0, 0, 0, 0, 0, 0]);
        for word in [self.deadline.map(Timestamp::as_millis), self.id].into_iter().flatten() {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(self.key.as_bytes());
        let value_at = out.len();
        fill(&mut out)?;
        let Ok(len) = u32::try_from(out.len() - value_at) else { return Ok(None) };
        out[8..12].copy_from_slice(&len.to_le_bytes());
        Ok(Some(out))
    }
}
