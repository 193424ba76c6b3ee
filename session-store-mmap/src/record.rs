//! A record in the file: a head, two blocks of which one counts, the key, the data.
//!
//! This is not the framing of `session_core::frame`, which has one block for the deadline and the revision: a touch
//! that is killed half-way through rewriting it would leave neither the old nor the new. Here a touch writes the block
//! that does not count, and one word says which one does.

use session_core::{Revision, Timestamp};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::layout::record::{
    BLOCK_WORDS, BLOCKS, BODY_CHECK, DATA_LEN, HASH, HEAD_CHECK, HEAD_WORDS, MAGIC, NO_DEADLINE, SHAPE, TURN,
    USED,
};
use crate::layout::{WORD, doubled, undoubled, units_for};
use crate::map::Span;
use crate::protocol::{Words, prepare, publish};

/// What may change of a record without its being written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) expires: Option<Timestamp>,
    pub(crate) revision: Revision,
}

impl State {
    pub(crate) fn deadline(&self) -> u64 {
        // A deadline at the last millisecond of time is none.
        self.expires.map_or(NO_DEADLINE, Timestamp::as_millis)
    }
}

/// The head of a record, which is what its check says it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) units: u64,
    pub(crate) key_len: usize,
    pub(crate) data_len: usize,
    pub(crate) body_check: u64,
    pub(crate) hash: u64,
    pub(crate) used: u64,
    check: u64,
    turn: u32,
    /// `None` where turn or block are damaged.
    pub(crate) state: Option<State>,
}

impl Head {
    /// Reads the first words of a span as the head of a record at `unit`; `None` if they are none.
    #[inline]
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
        let turn = undoubled(words.get_acquire(TURN));
        let state = turn.and_then(|turn| {
            let block = BLOCKS + (turn & 1) as usize * BLOCK_WORDS;
            let (deadline, revision) = (words.get(block), words.get(block + 1));
            (block_check(seed, check, deadline, revision, turn) == words.get(block + 2)).then(|| State {
                expires: (deadline != NO_DEADLINE).then(|| Timestamp::from_millis(deadline)),
                revision: Revision::from_bytes(revision.to_ne_bytes()),
            })
        });
        let used = words.get(USED);
        Some(Self { units, key_len, data_len, body_check, hash, used, check, turn: turn.unwrap_or(0), state })
    }

    /// Where the data begins, in words.
    pub(crate) fn data_at(&self) -> usize {
        HEAD_WORDS + self.key_len.div_ceil(WORD as usize)
    }

    /// Whether `data` is what was written with this head.
    #[inline]
    pub(crate) fn fits(&self, data: &[u8]) -> bool {
        body_check(self.hash, data) == self.body_check
    }

    /// Copies the record from one place to another, at `unit`, where nobody can reach it yet. Nothing of it is judged:
    /// what is damaged stays so.
    pub(crate) fn copy(&self, from: &Span<'_>, to: &Span<'_>, seed: u64, unit: u64) {
        let key = from.copy_out(HEAD_WORDS, self.key_len);
        let data = from.copy_out(self.data_at(), self.data_len);
        let nothing = State { expires: None, revision: Revision::from_bytes([0; 8]) };
        let draft = Draft {
            key: &key,
            hash: self.hash,
            data: &data,
            body_check: self.body_check,
            units: self.units,
            state: self.state.unwrap_or(nothing),
        };
        draft.write(to, seed, unit, self.used);
        if self.state.is_none() {
            // No number with its complement.
            to.set(TURN, 0);
        }
    }

    /// Gives the record another state: the block that does not count is written, then one word makes it count.
    /// The caller holds the lock of the shard, and moves the stamp on afterwards.
    pub(crate) fn touch(&self, words: &impl Words, seed: u64, state: &State) {
        let turn = self.turn.wrapping_add(1);
        prepare(words);
        write_block(words, seed, self.check, state, turn);
        publish(words, TURN, doubled(turn));
    }
}

/// What a record is to be, before it has a place.
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
    /// `None` where the data is too long for any file.
    pub(crate) fn new(key: &'a [u8], hash: u64, data: &'a [u8], state: State) -> Option<Self> {
        let units = units_for(key.len(), data.len()).filter(|&units| units <= u64::from(u32::MAX))?;
        Some(Self { key, hash, data, body_check: body_check(hash, data), units, state })
    }

    /// Writes the record at `unit`, which nobody can reach yet.
    pub(crate) fn write(&self, span: &Span<'_>, seed: u64, unit: u64, used: u64) {
        prepare(span);
        let shape = MAGIC | (self.key.len() as u64) << 16 | self.units << 32;
        let data_len = self.data.len() as u64;
        let check = head_check(seed, unit, [shape, data_len, self.body_check, self.hash]);
        span.set(SHAPE, shape);
        span.set(DATA_LEN, data_len);
        span.set(BODY_CHECK, self.body_check);
        span.set(HASH, self.hash);
        span.set(HEAD_CHECK, check);
        span.set(TURN, doubled(0));
        span.set(USED, used);
        span.set(USED + 1, 0);
        write_block(span, seed, check, &self.state, 0);
        span.copy_in(HEAD_WORDS, self.key);
        span.copy_in(HEAD_WORDS + self.key.len().div_ceil(WORD as usize), self.data);
    }
}

/// Marks a record that nothing leads to any more, so that no damaged pointer can bring it back.
#[inline]
pub(crate) fn bury(words: &impl Words) {
    prepare(words);
    words.set(SHAPE, 0);
}

fn write_block(words: &impl Words, seed: u64, check: u64, state: &State, turn: u32) {
    let block = BLOCKS + (turn & 1) as usize * BLOCK_WORDS;
    let (deadline, revision) = (state.deadline(), u64::from_ne_bytes(state.revision.to_bytes()));
    words.set(block, deadline);
    words.set(block + 1, revision);
    words.set(block + 2, block_check(seed, check, deadline, revision, turn));
    words.set(block + 3, 0);
}

/// The place is part of it: a pointer that was damaged finds no record, not another one.
fn head_check(seed: u64, unit: u64, words: [u64; 4]) -> u64 {
    xxh3_64_with_seed(&bytes_of(words), seed ^ unit)
}

fn block_check(seed: u64, check: u64, deadline: u64, revision: u64, turn: u32) -> u64 {
    xxh3_64_with_seed(&bytes_of([check, deadline, revision, u64::from(turn)]), seed)
}

/// The hash of the key is part of it, so key and data belong together.
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
