//! A shard: its header, its lock, and how a key is found in its table.

use std::ops::Deref;

use bytes::Bytes;
use session_core::{Found, Record, Timestamp};

use crate::error::Fault;
use crate::file::SessionFile;
use crate::layout::record::{HEAD_WORDS, NO_DEADLINE};
use crate::layout::{SHARD_BYTES, TableWord, WORD, doubled, hash, shard, undoubled};
use crate::map::{Held, Span};
use crate::protocol::{Words, bump};
use crate::record::{Head, LARGE, State};
use crate::table::{EMPTY, Table, tag, tag_of, unit_of};

/// A shard without its lock: enough for reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard<'a> {
    pub(crate) file: &'a SessionFile,
    pub(crate) number: u32,
    pub(crate) head: Span<'a>,
}

/// A shard with its lock, made by [`Shard::lock`].
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    shard: Shard<'a>,
    _held: Held<'a>,
}

/// The result of a search for a key.
#[derive(Debug)]
pub(crate) enum Lookup<'a> {
    /// No record. The key may go into this slot.
    Missing(Option<usize>),
    Found(Located<'a>),
    /// The slot leads to a damaged record.
    Damaged(usize),
}

impl Lookup<'_> {
    /// In the words of the rule of a change.
    #[inline]
    pub(crate) fn at(&self, now: Timestamp) -> Found {
        match self {
            Self::Missing(_) => Found::Nothing,
            Self::Found(record) => Found::at(record.state.deadline, record.state.revision, now),
            Self::Damaged(_) => Found::Damaged,
        }
    }
}

/// A record in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located<'a> {
    pub(crate) slot: usize,
    pub(crate) head: Head,
    pub(crate) state: State,
    pub(crate) span: Span<'a>,
}

impl Located<'_> {
    /// Copies the record out. Large data is not copied in place, but on a worker thread.
    pub(crate) fn record(&self, in_place: bool) -> Result<Record, Fault> {
        if in_place && self.head.data_len > LARGE {
            return Err(Fault::NeedsThread);
        }
        let data = self.span.copy_out(self.head.data_at(), self.head.data_len);
        if !self.head.fits(&data) {
            return Err(Fault::Damaged("the data of the record"));
        }
        let State { deadline, revision } = self.state;
        Ok(Record { data: Bytes::from(data), expires: deadline, revision })
    }

    /// The key, if it is undamaged.
    pub(crate) fn key(&self, seed: u64) -> Option<Vec<u8>> {
        let key = self.span.copy_out(HEAD_WORDS, self.head.key_len);
        (hash(seed, &key) == self.head.hash).then_some(key)
    }

    fn holds(&self, key: &[u8], hash: u64) -> bool {
        self.head.hash == hash && self.head.key_len == key.len() && self.span.holds(HEAD_WORDS, key)
    }
}

impl SessionFile {
    pub(crate) fn shard(&self, number: u32) -> Shard<'_> {
        let head = self.fixed(self.geometry.shard_at(number), SHARD_BYTES / WORD);
        Shard { file: self, number, head }
    }

    pub(crate) fn shard_of(&self, hash: u64) -> Shard<'_> {
        self.shard(hash as u32 & (self.geometry.shards - 1))
    }

    pub(crate) fn table(&self, word: TableWord) -> Option<Table<'_>> {
        let capacity = self.geometry.capacity(word.run);
        let span = self.extents(word.first, word.run)?;
        (capacity > 0).then(|| Table::new(span, capacity))
    }
}

impl<'a> Shard<'a> {
    /// Takes the lock. [`shard::DIRTY`] is set where the last owner was killed; [`Shard::lock`] repairs that.
    #[inline(always)]
    pub(crate) fn lock_as_it_is(self) -> Result<Locked<'a>, Fault> {
        let (held, owner_died) = self.file.map.lock(self.file.geometry.shard_at(self.number))?;
        if owner_died {
            // In the file, so that the next owner repairs if this thread dies first.
            self.head.set(shard::DIRTY, 1);
            held.make_consistent();
        }
        Ok(Locked { shard: self, _held: held })
    }

    /// The table, if the shard has one yet.
    #[inline]
    pub(crate) fn table(&self) -> Result<Option<Table<'a>>, Fault> {
        let word = self.head.get_acquire(shard::TABLE);
        if word == 0 {
            return Ok(None);
        }
        let table = TableWord::unpack(word).and_then(|word| self.file.table(word));
        table.map(Some).ok_or(Fault::Damaged("the table of a shard"))
    }

    /// Searches for `key`. The result holds while the lock is held, or if the stamp has not moved.
    #[inline]
    pub(crate) fn look(&self, key: &[u8], hash: u64) -> Result<Lookup<'a>, Fault> {
        let Some(table) = self.table()? else { return Ok(Lookup::Missing(None)) };
        let tag = tag(hash);
        let (mut free, mut damaged) = (None, None);
        for slot in table.home(tag)..table.len() {
            let word = table.get(slot);
            if word == EMPTY {
                free = free.or(Some(slot));
                break;
            }
            let Some(unit) = unit_of(word) else {
                free = free.or(Some(slot));
                continue;
            };
            if tag_of(word) != tag {
                continue;
            }
            // Head, key and the first of the data at once. Otherwise each would be a cache miss of its own.
            self.file.map.prefetch(self.file.geometry.unit_at(unit), 20);
            match self.locate(slot, unit) {
                Some(record) if record.holds(key, hash) => return Ok(Lookup::Found(record)),
                Some(record) if record.head.hash != hash || record.key(self.file.seed).is_some() => {}
                // The head is damaged and half of the hash is this key's, or the hash is and the key is damaged.
                _ => damaged = Some(slot),
            }
        }
        Ok(damaged.map_or(Lookup::Missing(free), Lookup::Damaged))
    }

    /// The record at `unit`, to which `slot` leads.
    #[inline(always)]
    pub(crate) fn locate(&self, slot: usize, unit: u64) -> Option<Located<'a>> {
        let (head, span) = self.file.head(unit)?;
        let state = head.state?;
        Some(Located { slot, head, state, span })
    }

    /// Whether keys with this hash belong to this shard.
    pub(crate) fn owns(&self, hash: u64) -> bool {
        hash as u32 & (self.file.geometry.shards - 1) == self.number
    }

    /// Whether a record may have expired. `DUE` is written before the record, so it is never later than any deadline,
    /// whichever process was killed. `DUE` later than `FRESH` means a damaged word.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let due = self.head.get(shard::DUE);
        due <= now.as_millis() || due > self.head.get(shard::FRESH)
    }

    /// Whether the shard never had a record. `COUNT` does not show this: it is one too small after some crashes.
    pub(crate) fn is_unused(&self) -> bool {
        self.head.get_acquire(shard::TABLE) == 0
    }

    pub(crate) fn count(&self) -> u32 {
        undoubled(self.head.get(shard::COUNT)).unwrap_or(0)
    }
}

impl<'a> Deref for Locked<'a> {
    type Target = Shard<'a>;

    fn deref(&self) -> &Shard<'a> {
        &self.shard
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        #[cfg(test)]
        if crate::crash::is_dead() {
            return;
        }
        if std::thread::panicking() {
            self.head.set(shard::DIRTY, 1);
        }
    }
}

impl Locked<'_> {
    /// Moves the stamp: everything that was replaced before may be overwritten from here on.
    pub(crate) fn bump(&self) {
        bump(&self.head, shard::STAMP);
    }

    /// Notes where a record is about to be written (`NEW`) or dropped (`OLD`). The repair after a killed owner looks
    /// there: a whole record without a slot would be taken for a lost one.
    pub(crate) fn note_unit(&self, word: usize, unit: u64) {
        self.head.set(word, unit + 1);
    }

    /// The change is complete. A shard that needs a repair keeps its notes for that.
    pub(crate) fn clear_notes(&self) {
        if self.head.get(shard::DIRTY) == 0 {
            self.head.set(shard::NEW, 0);
            self.head.set(shard::OLD, 0);
        }
    }

    pub(crate) fn note_use(&self, record: &Located<'_>, now: Timestamp) {
        record.span.set(crate::layout::record::LAST_USED, now.as_millis());
    }

    pub(crate) fn note_deadline(&self, deadline: u64) {
        if deadline != NO_DEADLINE {
            for word in [shard::DUE, shard::FRESH] {
                if deadline < self.head.get(word) {
                    self.head.set(word, deadline);
                }
            }
        }
    }

    pub(crate) fn set_count(&self, count: u32) {
        self.head.set(shard::COUNT, doubled(count));
    }

    pub(crate) fn raise(&self, word: usize, by: u64) {
        self.head.set(word, self.head.get(word).saturating_add(by));
    }

    pub(crate) fn lower(&self, word: usize, by: u64) {
        self.head.set(word, self.head.get(word).saturating_sub(by));
    }
}
