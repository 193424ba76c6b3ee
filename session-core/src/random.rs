//! Random bytes from the operating system.

use std::cell::RefCell;

use crate::error::{Operation, Result, StoreError, StoreErrorKind};
use crate::process;

const BLOCK: usize = 512;

struct Block {
    bytes: [u8; BLOCK],
    used: usize,
    process: u32,
}

thread_local! {
    static LEFT: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK], used: BLOCK, process: 0 }) };
}

/// Returns `N` random bytes, at most 512, for revisions, nonces and seeds. They stay in the memory of the thread: use
/// [`fill`] for secrets. Each thread reads blocks of 512 bytes,
/// because one system call per change would cost as much as the rest of a commit.
///
/// A forked child reads a new block. Otherwise two processes would use the same revisions, and each would take the
/// other's write for its own.
///
/// # Errors
/// `Entropy` if the operating system returns no random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    const { assert!(N <= BLOCK) };
    LEFT.with_borrow_mut(|block| block.draw(process::id()))
}

impl Block {
    fn draw<const N: usize>(&mut self, process: u32) -> Result<[u8; N]> {
        if self.process != process {
            self.used = BLOCK;
            self.process = process;
        }
        if self.used + N > BLOCK {
            // A failure leaves the block used up, so the next call tries again.
            fill(&mut self.bytes)?;
            self.used = 0;
        }
        let at = self.used;
        self.used += N;
        Ok(*self.bytes[at..].first_chunk().expect("a block holds as many bytes here"))
    }
}

/// Fills `bytes` from the operating system, with one system call.
///
/// # Errors
/// `Entropy` if the operating system returns no random bytes.
pub fn fill(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes)
        .map_err(|cause| StoreError::new(StoreErrorKind::Entropy, Operation::Random).with_source(cause))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{BLOCK, Block};

    #[test]
    fn blocks_do_not_repeat() {
        let drawn: HashSet<_> = (0..1_000).map(|_| super::bytes::<8>().unwrap()).collect();
        assert_eq!(drawn.len(), 1_000);
    }

    #[test]
    fn forked_child_draws_other_bytes() {
        let mut parent = Block { bytes: [0; BLOCK], used: BLOCK, process: 0 };
        parent.draw::<8>(1).unwrap();
        let mut child = Block { bytes: parent.bytes, used: parent.used, process: parent.process };
        let next: [u8; 8] = parent.draw(1).unwrap();
        assert_ne!(child.draw(2).unwrap(), next);
        assert_eq!(parent.draw::<12>(1).unwrap(), parent.bytes[16..28]);
    }
}
