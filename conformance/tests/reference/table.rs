//! The table of a session, taken apart and put together with one thing changed. The layout is that of
//! `session-manager/src/table.rs`, written a second time, so that neither can drift alone.

use std::time::Duration;

use bytes::Bytes;
use session_core::{Condition, Timestamp};

use super::Defect;

/// Whether this is the tombstone that a rotation leaves under the old key.
pub(super) fn is_tombstone(data: &[u8]) -> bool {
    data.starts_with(&[1, 2])
}

const HOUR: u64 = 3_600_000;
const VALUE: u8 = 0;
const FLASH: u8 = 1;
const HAS_DEADLINE: u8 = 1;

struct Table {
    fixed: Vec<u8>,
    /// The network, the user agent and the user.
    parts: [Vec<u8>; 3],
    extra: Vec<u8>,
    entries: Vec<Entry>,
}

struct Entry {
    class: u8,
    codec: u8,
    flags: u8,
    extras: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// A session without values.
pub(super) fn empty(now: Timestamp) -> Bytes {
    let mut fixed = vec![1, 1, 0, 0, 0, 0, 0, 0];
    let now = now.as_millis();
    let words = [now, now, now, now + 24 * HOUR, 2 * HOUR, 24 * HOUR, 0];
    fixed.extend(words.into_iter().flat_map(u64::to_le_bytes));
    Table { fixed, parts: [const { Vec::new() }; 3], extra: Vec::new(), entries: Vec::new() }.encode()
}

/// The table as a defect changes it; `None` if it changes nothing.
pub(super) fn altered(data: &Bytes, defect: Defect, when: Condition, now: Timestamp) -> Option<Bytes> {
    let mut table = Table::parse(data)?;
    match defect {
        Defect::AgesFlash if !matches!(when, Condition::Revision(_)) => return None,
        Defect::StripsFlash | Defect::AgesFlash => table.entries.retain(|entry| entry.class != FLASH),
        Defect::SharesFlashIds => {
            for entry in table.entries.iter_mut().filter(|entry| entry.class == FLASH) {
                let at = entry.extras.len() - 8;
                entry.extras[at..].copy_from_slice(&7_u64.to_le_bytes());
            }
        }
        Defect::StripsUnknown => {
            table.entries.retain(|entry| entry.class <= FLASH && (1..=4).contains(&entry.codec));
        }
        Defect::RenumbersCodecs => {
            for entry in table.entries.iter_mut().filter(|entry| entry.codec == 4) {
                entry.codec = 1;
            }
        }
        Defect::StripsBindings => table.parts[..2].iter_mut().for_each(Vec::clear),
        Defect::InventsBindings if table.parts[0].is_empty() => table.parts[0] = vec![32, 10, 9, 8, 7],
        Defect::StripsUser => table.parts[2].clear(),
        Defect::StripsValueDeadlines => table.each_deadline(|_| None),
        Defect::ExtendsValueDeadlines => table.each_deadline(|at| at.map(|at| at + HOUR)),
        Defect::SpreadsValueDeadlines => {
            let earliest = table.entries.iter().filter_map(Entry::deadline).min();
            table.each_deadline(|at| at.or(earliest));
        }
        Defect::ResetsTimes => {
            let started = table.word(24);
            table.set_word(32, started + 24 * HOUR);
            table.set_word(40, 2 * HOUR);
            table.set_word(48, 24 * HOUR);
        }
        Defect::RestartsLifetime => {
            let absolute = now.saturating_add(Duration::from_millis(table.word(48)));
            table.set_word(24, now.as_millis());
            table.set_word(32, absolute.as_millis());
        }
        Defect::StripsPersistence => table.extra.clear(),
        Defect::InventsPersistence if table.extra.is_empty() => table.extra.push(2),
        Defect::FlipsLastByte => {
            let value = &mut table.entries.last_mut()?.value;
            *value.last_mut()? ^= 1;
        }
        _ => return None,
    }
    Some(table.encode())
}

impl Table {
    fn parse(data: &[u8]) -> Option<Self> {
        let [1, 1, low, high, ..] = data else { return None };
        let (mut header, mut rest) = data.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
        let fixed = take(&mut header, 64)?;
        let mut part = || {
            let len = take(&mut header, 1)?[0];
            take(&mut header, usize::from(len))
        };
        let parts = [part()?, part()?, part()?];
        let mut entries = Vec::new();
        while !rest.is_empty() {
            entries.push(Entry::parse(&mut rest)?);
        }
        Some(Self { fixed, parts, extra: header.to_vec(), entries })
    }

    fn encode(&self) -> Bytes {
        let mut data = self.fixed.clone();
        for part in &self.parts {
            data.push(part.len() as u8);
            data.extend_from_slice(part);
        }
        data.extend_from_slice(&self.extra);
        let len = data.len() as u16;
        data[2..4].copy_from_slice(&len.to_le_bytes());
        self.entries.iter().for_each(|entry| entry.write(&mut data));
        data.into()
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.fixed[at..at + 8].try_into().unwrap())
    }

    fn set_word(&mut self, at: usize, word: u64) {
        self.fixed[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    fn each_deadline(&mut self, change: impl Fn(Option<u64>) -> Option<u64>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.class == VALUE) {
            let (old, mut extras) = (entry.deadline(), entry.extras.clone());
            if old.is_some() {
                extras.drain(..8);
            }
            let new = change(old);
            entry.flags = entry.flags & !HAS_DEADLINE | u8::from(new.is_some());
            entry.extras = [new.map_or_else(Vec::new, |at| at.to_le_bytes().to_vec()), extras].concat();
        }
    }
}

impl Entry {
    fn parse(rest: &mut &[u8]) -> Option<Self> {
        let head = take(rest, 12)?;
        let extras = take(rest, usize::from(head[3]))?;
        let key = take(rest, usize::from(u16::from_le_bytes([head[4], head[5]])))?;
        let value = take(rest, u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize)?;
        Some(Self { class: head[0], codec: head[1], flags: head[2], extras, key, value })
    }

    fn write(&self, data: &mut Vec<u8>) {
        data.extend_from_slice(&[self.class, self.codec, self.flags, self.extras.len() as u8]);
        data.extend_from_slice(&(self.key.len() as u16).to_le_bytes());
        data.extend_from_slice(&[0, 0]);
        data.extend_from_slice(&(self.value.len() as u32).to_le_bytes());
        data.extend_from_slice(&self.extras);
        data.extend_from_slice(&self.key);
        data.extend_from_slice(&self.value);
    }

    fn deadline(&self) -> Option<u64> {
        let word = self.extras.first_chunk()?;
        (self.flags & HAS_DEADLINE != 0).then(|| u64::from_le_bytes(*word))
    }
}

fn take(bytes: &mut &[u8], len: usize) -> Option<Vec<u8>> {
    let (part, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(part.to_vec())
}
