//! Random bytes from the operating system.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

const BLOCK: usize = 512;

/// How long a thread trusts that its process is the one that read the block. A fork takes longer (the fastest of 2,000
/// forks of a process without memory took 42 µs), so a child checks before its first draw.
const TRUST: Duration = Duration::from_micros(10);

struct Block {
    bytes: [u8; BLOCK],
    used: usize,
    process: u32,
    /// When the process was last checked.
    checked: Option<Instant>,
}

thread_local! {
    static LEFT: RefCell<Block> =
        const { RefCell::new(Block { bytes: [0; BLOCK], used: BLOCK, process: 0, checked: None }) };
}

/// Returns eight random bytes. Each thread reads blocks of 512 bytes, because one system call per change would cost as
/// much as the rest of a commit.
///
/// A forked child reads a new block. Otherwise two processes would use the same revisions, and each would take the
/// other's write for its own. The process id costs a system call, so a busy thread does not ask for it each time.
///
/// # Errors
/// `Entropy` if the operating system returns no random bytes.
pub fn eight_bytes() -> Result<[u8; 8]> {
    #[expect(clippy::disallowed_methods, reason = "a stopwatch, not the time of day")]
    let now = Instant::now();
    LEFT.with_borrow_mut(|block| block.draw(now, std::process::id))
}

impl Block {
    fn draw(&mut self, now: Instant, process: impl FnOnce() -> u32) -> Result<[u8; 8]> {
        if self.checked.is_none_or(|checked| now - checked >= TRUST) {
            let process = process();
            if self.process != process {
                self.used = BLOCK;
                self.process = process;
            }
            self.checked = Some(now);
        }
        if self.used + 8 > BLOCK {
            // A failure leaves the block used up, so the next call tries again.
            fill(&mut self.bytes)?;
            self.used = 0;
        }
        let at = self.used;
        self.used += 8;
        Ok(*self.bytes[at..].first_chunk().expect("a block holds eight more bytes here"))
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
    use std::time::Instant;

    use super::{BLOCK, Block, TRUST};

    #[test]
    fn blocks_do_not_repeat() {
        let drawn: HashSet<_> = (0..1_000).map(|_| super::eight_bytes().unwrap()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn forked_child_draws_other_bytes() {
        let start = Instant::now();
        let mut parent = Block { bytes: [0; BLOCK], used: BLOCK, process: 0, checked: None };
        parent.draw(start, || 1).unwrap();
        let (used, process, checked) = (parent.used, parent.process, parent.checked);
        let mut child = Block { bytes: parent.bytes, used, process, checked };
        let next = parent.draw(start + TRUST / 2, || unreachable!("the process was just checked")).unwrap();
        assert_ne!(child.draw(start + TRUST, || 2).unwrap(), next);
        assert_eq!(parent.draw(start + TRUST, || 1).unwrap(), parent.bytes[16..24]);
    }
}
