//! Random bytes from the operating system.

use std::cell::RefCell;

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

const BLOCK: usize = 512;

struct Block {
    bytes: [u8; BLOCK],
    used: usize,
    process: u32,
}

thread_local! {
    static LEFT: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK], used: BLOCK, process: 0 }) };
}

/// Returns eight random bytes. Each thread reads blocks of 512 bytes, because one system call per change would cost as
/// much as the rest of a commit.
///
/// A forked child reads a new block. Otherwise two processes would use the same revisions, and each would take the
/// other's write for its own.
///
/// # Errors
/// `Entropy` if the operating system returns no random bytes.
pub fn eight_bytes() -> Result<[u8; 8]> {
    LEFT.with_borrow_mut(|block| {
        let process = std::process::id();
        if block.used + 8 > BLOCK || block.process != process {
            fill(&mut block.bytes)?;
            block.used = 0;
            block.process = process;
        }
        let at = block.used;
        block.used += 8;
        Ok(*block.bytes[at..].first_chunk().expect("a block holds eight more bytes here"))
    })
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

    #[test]
    fn blocks_do_not_repeat() {
        let drawn: HashSet<_> = (0..1_000).map(|_| super::eight_bytes().unwrap()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
