//! A shard: how a key is found in it, without its lock and with it, and the changes to one record.

use std::ops::Deref;

use bytes::Bytes;
use session_core::{Record, Timestamp};

use crate::area::Area;
use crate::error::Fault;
use crate::extent::Spare;
use crate::layout::record::{HEAD_WORDS, NO_DEADLINE};
use crate::layout::{SHARD_BYTES, TableWord, Use, WORD, doubled, hash, shard, undoubled};
use crate::map::{Held, Span};
use crate::protocol::{Words, prepare, publish, read, retire};
use crate::record::{Draft, Head, State, bury};
use crate::table::{self, NOTHING, REMOVED, Table, tag, tag_of, unit_of};

/// How often a reader tries without the lock. A try fails only if somebody changed the shard meanwhile.
const TRIES: usize = 32;

/// A shard without its lock: enough for reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard<'a> {
    pub(crate) area: &'a Area,
    pub(crate) number: u32,
    pub(crate) head: Span<'a>,
}

/// A shard with its lock.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    shard: Shard<'a>,
    _held: Held<'a>,
}

/// What a search found.
#[derive(Debug)]
pub(crate) enum Look<'a> {
    /// The key is not here, and could go into this slot.
    Missing(Option<usize>),
    Found(Place<'a>),
    /// What the slot leads to is damaged.
    Damaged(usize),
}

/// A record that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) slot: usize,
    pub(crate) head: Head,
    pub(crate) state: State,
    pub(crate) span: Span<'a>,
}

impl Place<'_> {
    /// Copies the data out. `None` if it is not what was written.
    fn data(&self) -> Option<Vec<u8>> {
        let data = self.span.copy_out(self.head.data_at(), self.head.data_len);
        self.head.fits(&data).then_some(data)
    }

    /// The key, if it is what was written.
    pub(crate) fn key(&self, seed: u64) -> Option<Vec<u8>> {
        let key = self.span.copy_out(HEAD_WORDS, self.head.key_len);
        (hash(seed, &key) == self.head.hash).then_some(key)
    }

    fn holds(&self, key: &[u8], hash: u64) -> bool {
        self.head.hash == hash && self.head.key_len == key.len() && self.span.holds(HEAD_WORDS, key)
    }
}

impl Area {
    pub(crate) fn shard(&self, number: u32) -> Shard<'_> {
        let head = self.fixed(self.geometry.shard_at(number), SHARD_BYTES / WORD);
        Shard { area: self, number, head }
    }

    pub(crate) fn shard_of(&self, hash: u64) -> Shard<'_> {
        self.shard(hash as u32 & (self.geometry.shards - 1))
    }
}

impl<'a> Shard<'a> {
    /// Takes the lock, repairing first what a dead owner may have left half done. Who works in place leaves the
    /// repair to others.
    #[inline]
    pub(crate) fn lock(self) -> Result<Locked<'a>, Fault> {
        let area = self.area;
        let (held, died) = area.map.lock(area.geometry.shard_at(self.number), area.patience)?;
        if died {
            // Whoever comes next if this thread dies, or panics, before the repair is done.
            self.head.set(shard::DIRTY, 1);
            held.make_consistent();
        }
        let locked = Locked { shard: self, _held: held };
        if self.head.get(shard::DIRTY) != 0 {
            if area.is_in_place() {
                return Err(Fault::Long);
            }
            locked.repair()?;
        }
        Ok(locked)
    }

    /// The live or expired record of `key`, without a lock as a rule.
    pub(crate) fn read(self, key: &[u8], hash: u64) -> Result<Option<(Record, u64)>, Fault> {
        for _ in 0..TRIES {
            let seen = read(&self.head, shard::STAMP, || self.look(key, hash).map(|look| self.take(look)));
            if let Some(seen) = seen {
                return seen?;
            }
            std::hint::spin_loop();
        }
        let locked = self.lock()?;
        let look = locked.look(key, hash)?;
        locked.take(look)
    }

    fn take(&self, look: Look<'_>) -> Result<Option<(Record, u64)>, Fault> {
        match look {
            Look::Missing(_) => Ok(None),
            Look::Damaged(_) => Err(Fault::Damaged("the head of the record")),
            Look::Found(place) => Ok(Some((self.record(&place)?, place.head.used))),
        }
    }

    pub(crate) fn record(&self, place: &Place<'_>) -> Result<Record, Fault> {
        let data = Bytes::from(place.data().ok_or(Fault::Damaged("the data of the record"))?);
        let State { expires, revision } = place.state;
        Ok(Record { data, expires, revision })
    }

    /// The table, if the shard has one yet.
    #[inline]
    pub(crate) fn table(&self) -> Result<Option<Table<'a>>, Fault> {
        let word = self.head.get_acquire(shard::TABLE);
        if word == 0 {
            return Ok(None);
        }
        let table = TableWord::unpack(word).and_then(|word| self.area.table(word));
        table.map(Some).ok_or(Fault::Damaged("the table of a shard"))
    }

    /// Looks for `key`. What it finds is only as true as the lock, or the stamp, says.
    #[inline]
    pub(crate) fn look(&self, key: &[u8], hash: u64) -> Result<Look<'a>, Fault> {
        let Some(table) = self.table()? else { return Ok(Look::Missing(None)) };
        let tag = tag(hash);
        let (mut free, mut damaged) = (None, None);
        for slot in table.home(tag)..table.len() {
            let word = table.get(slot);
            if word == NOTHING {
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
            // Head, key and the first of the data at once: each would be waited for otherwise.
            self.area.map.prefetch(self.area.geometry.unit_at(unit), 20);
            match self.place(slot, unit) {
                Some(place) if place.holds(key, hash) => return Ok(Look::Found(place)),
                Some(place) if place.head.hash != hash || place.key(self.area.seed).is_some() => {}
                // Half the hash says that it is this key, and nothing else can be said of it; or all of the hash does,
                // and the key is bent.
                _ => damaged = Some(slot),
            }
        }
        Ok(damaged.map_or(Look::Missing(free), Look::Damaged))
    }

    /// The record at `unit`, to which `slot` leads.
    #[inline]
    pub(crate) fn place(&self, slot: usize, unit: u64) -> Option<Place<'a>> {
        let (head, span) = self.area.head(unit)?;
        let state = head.state?;
        Some(Place { slot, head, state, span })
    }

    /// Whether keys of this hash belong here.
    pub(crate) fn owns(&self, hash: u64) -> bool {
        hash as u32 & (self.area.geometry.shards - 1) == self.number
    }

    /// Whether a record may have expired here. A deadline is noted before its record is there, so that this is no
    /// later than any of them, whoever was killed; and never later than `FRESH`, unless a bit has flipped.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let due = self.head.get(shard::DUE);
        due <= now.as_millis() || due > self.head.get(shard::FRESH)
    }

    /// Whether there was never a record here. How many there are says nothing of it: whoever is killed leaves a number
    /// that is one too small, and it may be damaged.
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
        if crate::death::is_dead() {
            return;
        }
        if std::thread::panicking() {
            self.head.set(shard::DIRTY, 1);
        }
    }
}

impl<'a> Locked<'a> {
    /// Writes a record where `look` has found its key, or room for it. `false` if there is no room; nothing has
    /// changed then.
    pub(crate) fn put(&self, look: &Look<'_>, draft: &Draft<'_>, used: u64) -> Result<bool, Fault> {
        let slot = match look {
            Look::Found(Place { slot, .. }) | Look::Damaged(slot) => *slot,
            Look::Missing(free) => match self.slot_for(draft.hash, *free)? {
                Some(slot) => slot,
                None => return Ok(false),
            },
        };
        let mut unit = self.allocate(draft.units, Spare::Leave)?;
        if let (None, Look::Found(place)) = (unit, look)
            && draft.units <= place.head.units
        {
            // In a full file a record can still be replaced by one of its size: what is taken is given back at once.
            unit = self.allocate(draft.units, Spare::Take)?;
        }
        let Some(unit) = unit else { return Ok(false) };
        let Some(span) = self.area.units(unit, draft.units) else {
            self.head.set(shard::DIRTY, 1);
            return Err(Fault::Damaged("the extents of a shard"));
        };
        self.note_deadline(draft.state.deadline());
        self.note_unit(shard::NEW, unit);
        draft.write(&span, self.area.seed, unit, used);
        let Some(table) = self.table()? else { return Err(Fault::Damaged("the table of a shard")) };
        // Making room may have moved the old record, but not its slot.
        let old = table.get(slot);
        if let Some(old) = unit_of(old) {
            self.note_unit(shard::OLD, old);
        }
        let (words, index) = table.word(slot);
        publish(words, index, table::slot(tag(draft.hash), unit));
        self.retire();
        match look {
            Look::Missing(_) => {
                self.set_count(self.count() + 1);
                if old == REMOVED {
                    self.lower(shard::TOMBS, 1);
                }
            }
            Look::Found(place) => self.free_old(old, place.head.units),
            Look::Damaged(_) => self.free_damaged(),
        }
        self.note_nothing();
        Ok(true)
    }

    /// Removes what `slot` leads to.
    pub(crate) fn delete(&self, slot: usize, units: Option<u64>) -> Result<(), Fault> {
        let Some(table) = self.table()? else { return Err(Fault::Damaged("the table of a shard")) };
        let old = table.get(slot);
        if let Some(old) = unit_of(old) {
            self.note_unit(shard::OLD, old);
        }
        // Before, so that whoever counts after a crash finds one too many and not one too few.
        self.set_count(self.count().saturating_sub(1));
        let (words, index) = table.word(slot);
        if slot + 1 < table.len() && table.get(slot + 1) == NOTHING {
            publish(words, index, NOTHING);
            // Tombs in front of an empty slot stop nobody.
            let mut before = slot;
            while before > 0 && table.get(before - 1) == REMOVED {
                before -= 1;
                publish(words, index - (slot - before), NOTHING);
                self.lower(shard::TOMBS, 1);
            }
        } else {
            publish(words, index, REMOVED);
            self.raise(shard::TOMBS, 1);
        }
        self.retire();
        match units {
            Some(units) => self.free_old(old, units),
            None => self.free_damaged(),
        }
        self.note_nothing();
        Ok(())
    }

    /// Moves the deadline of a record.
    pub(crate) fn touch(&self, place: &Place<'_>, state: &State, used: u64) {
        self.note_deadline(state.deadline());
        place.head.touch(&place.span, self.area.seed, state);
        self.retire();
        self.note_use(place, used);
    }

    /// Says, before it is done, where a record is written or given up: whoever finds this thread dead looks there. A
    /// record that nothing leads to must not stay whole, or a salvage would bring it back.
    pub(crate) fn note_unit(&self, word: usize, unit: u64) {
        self.head.set(word, unit + 1);
    }

    /// The change has come to its end. What was written over a damaged record leaves that to a repair.
    pub(crate) fn note_nothing(&self) {
        if self.head.get(shard::DIRTY) == 0 {
            self.head.set(shard::NEW, 0);
            self.head.set(shard::OLD, 0);
        }
    }

    pub(crate) fn note_use(&self, place: &Place<'_>, used: u64) {
        place.span.set(crate::layout::record::USED, used);
    }

    /// Moves the stamp on: what was unpublished before may be written over from here on.
    pub(crate) fn retire(&self) {
        retire(&self.head, shard::STAMP);
    }

    fn free_old(&self, old: u64, units: u64) {
        let Some(unit) = unit_of(old) else { return };
        if let Some(span) = self.area.units(unit, 2) {
            bury(&span);
        }
        self.free(unit, units);
    }

    /// Nobody knows how long it was: the next one to lock counts anew what is in use.
    fn free_damaged(&self) {
        self.head.set(shard::DIRTY, 1);
    }

    fn note_deadline(&self, deadline: u64) {
        if deadline != NO_DEADLINE {
            for word in [shard::DUE, shard::FRESH] {
                if deadline < self.head.get(word) {
                    self.head.set(word, deadline);
                }
            }
        }
    }

    /// A slot for a new key: `free`, unless the table is too full.
    pub(crate) fn slot_for(&self, hash: u64, free: Option<usize>) -> Result<Option<usize>, Fault> {
        if let (Some(slot), Some(table)) = (free, self.table()?) {
            let taken = u64::from(self.count()) + self.head.get(shard::TOMBS);
            if (taken + 1) * 4 <= table.capacity() as u64 * 3 {
                return Ok(Some(slot));
            }
            if !self.remake_table()? {
                // A crowded table is slower, and still right.
                return Ok(Some(slot));
            }
        } else if !self.remake_table()? {
            return Ok(None);
        }
        let Some(table) = self.table()? else { return Ok(None) };
        let mut slots = table.home(tag(hash))..table.len();
        Ok(slots.find(|&slot| unit_of(table.get(slot)).is_none()))
    }

    /// Makes a new table with room for twice the records there are, and flips the pointer to it. `false` if there are
    /// no extents for it.
    fn remake_table(&self) -> Result<bool, Fault> {
        let old = self.table()?;
        let old_word = TableWord::unpack(self.head.get(shard::TABLE));
        let mut run = self.area.run_for(u64::from(self.count()) + 1);
        // Probing that found no end calls for a larger one even if few slots are taken.
        for _ in 0..4 {
            let Some(first) = self.area.claim(Use::Table, self.number, run, Spare::Leave)? else {
                return Ok(false);
            };
            let generation = old_word.map_or(0, |word| word.generation.wrapping_add(1));
            let word = TableWord { first, run, generation };
            let Some(table) = self.area.table(word) else {
                return Err(Fault::Damaged("the extents of a shard"));
            };
            prepare(&self.head);
            table.clear();
            table.label(self.number, word);
            let mut slots = old.iter().flat_map(|old| (0..old.len()).map(|slot| old.get(slot)));
            if slots.all(|value| unit_of(value).is_none() || table.fill(value)) {
                publish(&self.head, shard::TABLE, word.pack());
                self.retire();
                self.head.set(shard::TOMBS, 0);
                if let (Some(old), Some(word)) = (&old, old_word) {
                    old.bury();
                    self.area.release(word.first, word.run);
                }
                return Ok(true);
            }
            // Nor must it be taken for one when the pointer to the old one is damaged.
            table.bury();
            self.area.release(first, run);
            match TableWord::larger(run) {
                Some(larger) => run = larger,
                None => break,
            }
        }
        Ok(false)
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

impl Area {
    pub(crate) fn table(&self, word: TableWord) -> Option<Table<'_>> {
        let capacity = self.geometry.capacity(word.run);
        let span = self.extents(word.first, word.run)?;
        (capacity > 0).then(|| Table::new(span, capacity))
    }

    /// How many extents a table takes in which `count` records fill less than half of the slots.
    pub(crate) fn run_for(&self, count: u64) -> u32 {
        let bytes = (count * 2 + (crate::layout::table::SLOTS + crate::layout::table::TAIL) as u64) * WORD;
        bytes.div_ceil(self.geometry.extent_bytes).min(u64::from(TableWord::MOST)) as u32
    }
}
