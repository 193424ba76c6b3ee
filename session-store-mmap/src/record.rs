//! A record in the file: a head, two state blocks, the key, the data.
//!
//! `session_core::frame` has one place for deadline and revision, so a touch that is killed in the middle of it would
//! leave neither the old nor the new ones. Here a touch writes the unused block, and then one word selects it.

use session_core::{Revision, Timestamp};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::layout::record::{
    BLOCK_WORDS, BLOCKS, BODY_CHECK, DATA_LEN, HASH, HEAD_CHECK, HEAD_WORDS, LAST_USED, MAGIC, NO_DEADLINE,
    SHAPE, TOUCHES,
};
use crate::layout::{WORD, doubled, undoubled, units_for};
use crate::map::Span;
use crate::protocol::{Words, prepare, publish};

/// Larger data is copied on a worker thread, because copying it takes a good part of a millisecond.
pub(crate) const LARGE: usize = 256 << 10;

/// The part of a record that a touch changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) revision: Revision,
}

impl State {
    /// The deadline as it stands in the file. The last millisecond of time means no deadline.
    pub(crate) fn deadline_word(&self) -> u64 {
        self.deadline.map_or(NO_DEADLINE, Timestamp::as_millis)
    }
}

/// The head of a record, after its check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) units: u64,
    pub(crate) key_len: usize,
    pub(crate) data_len: usize,
    pub(crate) body_check: u64,
    pub(crate) hash: u64,
    pub(crate) last_used: u64,
    check: u64,
    touches: u32,
    /// `None` where the touch count or the block is damaged.
    pub(crate) state: Option<State>,
}

impl Head {
    /// Reads the first words of a span as the head of a record at `unit`.
    // Not inlined, the head would be copied through memory.
    #[inline(always)]
    pub(crate) fn read(words: &impl Words, seed: u64, unit: u64) -> Option<Self> {
        let shape = words.get(SHAPE);
        if shape & 0xffff != MAGIC {
            return None;
        }
        let (data_len, body_check, hash) = (words.get(DATA_LEN), words.get(BODY_CHECK), words.get(HASH));
        let check = words.get(HEAD_CHECK);
        if head_check(seed, unit, [shape, data_len, body_check, hash]) != check {
            return None;
        }
        let (key_len, units) = ((shape >> 16 & 0xffff) as usize, shape >> 32);
        let data_len = usize::try_from(data_len).ok()?;
        if units_for(key_len, data_len) != Some(units) {
            return None;
        }
        let touches = undoubled(words.get_acquire(TOUCHES));
        let state = match touches {
            Some(touches) => read_block(words, seed, check, touches),
            None => None,
        };
        let (last_used, touches) = (words.get(LAST_USED), touches.unwrap_or(0));
        Some(Self { units, key_len, data_len, body_check, hash, last_used, check, touches, state })
    }

    /// Where the data begins, in words.
    pub(crate) fn data_at(&self) -> usize {
        HEAD_WORDS + self.key_len.div_ceil(WORD as usize)
    }

    /// Whether `data` was written with this head.
    #[inline]
    pub(crate) fn fits(&self, data: &[u8]) -> bool {
        body_check(self.hash, data) == self.body_check
    }

    /// Copies the record to `unit`, where no reader can see it yet. A damaged record stays damaged.
    pub(crate) fn copy(&self, from: &Span<'_>, to: &Span<'_>, seed: u64, unit: u64) {
        let key = from.copy_out(HEAD_WORDS, self.key_len);
        let data = from.copy_out(self.data_at(), self.data_len);
        let nothing = State { deadline: None, revision: Revision::from_bytes([0; 8]) };
        let draft = Draft {
            key: &key,
            hash: self.hash,
            data: &data,
            body_check: self.body_check,
            units: self.units,
            state: self.state.unwrap_or(nothing),
        };
        draft.write(to, seed, unit, self.last_used);
        if self.state.is_none() {
            // No number beside its complement.
            to.set(TOUCHES, 0);
        }
    }

    /// Gives the record another state: writes the unused block, then selects it with one word. The caller holds the
    /// lock of the shard and moves the stamp afterwards.
    pub(crate) fn touch(&self, words: &impl Words, seed: u64, state: &State) {
        let touches = self.touches.wrapping_add(1);
        prepare(words);
        write_block(words, seed, self.check, state, touches);
        publish(words, TOUCHES, doubled(touches));
    }
}

/// A record before it has a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) hash: u64,
    pub(crate) data: &'a [u8],
    pub(crate) body_check: u64,
    pub(crate) units: u64,
    pub(crate) state: State,
}

impl<'a> Draft<'a> {
    /// `None` if the data is too long for any file.
    pub(crate) fn new(key: &'a [u8], hash: u64, data: &'a [u8], state: State) -> Option<Self> {
        let units = units_for(key.len(), data.len()).filter(|&units| units <= u64::from(u32::MAX))?;
        Some(Self { key, hash, data, body_check: body_check(hash, data), units, state })
    }

    /// Writes the record at `unit`, where no reader can see it yet.
    pub(crate) fn write(&self, span: &Span<'_>, seed: u64, unit: u64, last_used: u64) {
        prepare(span);
        let shape = MAGIC | (self.key.len() as u64) << 16 | self.units << 32;
        let data_len = self.data.len() as u64;
        let check = head_check(seed, unit, [shape, data_len, self.body_check, self.hash]);
        span.set(SHAPE, shape);
        span.set(DATA_LEN, data_len);
        span.set(BODY_CHECK, self.body_check);
        span.set(HASH, self.hash);
        span.set(HEAD_CHECK, check);
        span.set(TOUCHES, doubled(0));
        span.set(LAST_USED, last_used);
        span.set(LAST_USED + 1, 0);
        write_block(span, seed, check, &self.state, 0);
        span.copy_in(HEAD_WORDS, self.key);
        span.copy_in(HEAD_WORDS + self.key.len().div_ceil(WORD as usize), self.data);
    }
}

/// Makes a record that no slot leads to unrecognisable, so that no damaged slot brings it back.
#[inline]
pub(crate) fn invalidate(words: &impl Words) {
    prepare(words);
    words.set(SHAPE, 0);
}

/// The state in the block that `touches` selects, if it is undamaged.
#[inline(always)]
fn read_block(words: &impl Words, seed: u64, check: u64, touches: u32) -> Option<State> {
    let block = BLOCKS + (touches & 1) as usize * BLOCK_WORDS;
    let (deadline, revision) = (words.get(block), words.get(block + 1));
    if block_check(seed, check, deadline, revision, touches) != words.get(block + 2) {
        return None;
    }
    let deadline = (deadline != NO_DEADLINE).then(|| Timestamp::from_millis(deadline));
    Some(State { deadline, revision: Revision::from_bytes(revision.to_ne_bytes()) })
}

fn write_block(words: &impl Words, seed: u64, check: u64, state: &State, touches: u32) {
    let block = BLOCKS + (touches & 1) as usize * BLOCK_WORDS;
    let (deadline, revision) = (state.deadline_word(), u64::from_ne_bytes(state.revision.to_bytes()));
    words.set(block, deadline);
    words.set(block + 1, revision);
    words.set(block + 2, block_check(seed, check, deadline, revision, touches));
    words.set(block + 3, 0);
}

/// Includes the place, so that a damaged slot finds no record instead of another one.
fn head_check(seed: u64, unit: u64, words: [u64; 4]) -> u64 {
    xxh3_64_with_seed(&bytes_of(words), seed ^ unit)
}

fn block_check(seed: u64, check: u64, deadline: u64, revision: u64, touches: u32) -> u64 {
    xxh3_64_with_seed(&bytes_of([check, deadline, revision, u64::from(touches)]), seed)
}

/// Includes the hash of the key, so that key and data belong together.
fn body_check(hash: u64, data: &[u8]) -> u64 {
    xxh3_64(data) ^ hash
}

fn bytes_of(words: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *chunk = word.to_ne_bytes();
    }
    bytes
}
