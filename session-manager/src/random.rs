//! Random revisions and flash ids, drawn in blocks.

use std::cell::RefCell;

use session_core::{Operation, Result, Revision, StoreError, StoreErrorKind};

const BLOCK: usize = 512;

struct Pool {
    bytes: [u8; BLOCK],
    used: usize,
    process: u32,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; BLOCK], used: BLOCK, process: 0 }) };
}

/// Eight random bytes from the operating system, of which a thread fetches a block at a time: a call of its own for
/// every change costs as much as the rest of a commit.
///
/// A child made by `fork` draws a block of its own, or two processes would use the same revisions and each take the
/// other's write for its own.
pub(crate) fn bytes() -> Result<[u8; 8]> {
    POOL.with_borrow_mut(|pool| {
        let process = std::process::id();
        if pool.used + 8 > BLOCK || pool.process != process {
            getrandom::fill(&mut pool.bytes).map_err(|cause| {
                StoreError::new(StoreErrorKind::Unavailable, Operation::Store)
                    .with_detail("no randomness")
                    .with_source(cause)
            })?;
            pool.used = 0;
            pool.process = process;
        }
        let at = pool.used;
        pool.used += 8;
        Ok(*pool.bytes[at..].first_chunk().expect("a block holds eight more bytes here"))
    })
}

pub(crate) fn revision() -> Result<Revision> {
    bytes().map(Revision::from_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn blocks_do_not_repeat() {
        let drawn: HashSet<_> = (0..1_000).map(|_| super::bytes().unwrap()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
