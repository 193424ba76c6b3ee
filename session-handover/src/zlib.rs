//! Compression with zlib.
#![allow(dead_code, reason = "each system uses a part")]

use std::cell::RefCell;

use zlib_rs::{DeflateConfig, Inflate, InflateFlush, Status, compress_bound, compress_slice};

use crate::{Bounds, Error, ErrorKind};

thread_local! {
    /// To allocate a state takes as long as to inflate a short session. 48 KiB for each thread that inflates, with up to
    /// 32 KiB of what it has inflated last.
    static STATE: RefCell<Inflate> = RefCell::new(Inflate::new(true, 15));
}

/// Inflates zlib data up to the size that is allowed. Bytes behind it are ignored.
pub(crate) fn inflate(bytes: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Error> {
    STATE.with_borrow_mut(|state| inflate_with(state, bytes, bounds))
}

fn inflate_with(state: &mut Inflate, bytes: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Error> {
    // Text shrinks to a third or a quarter.
    let mut room = bytes.len().saturating_mul(4).max(256).min(bounds.size);
    loop {
        let mut plain = vec![0; room];
        state.reset(true);
        let inflated = state.decompress(bytes, &mut plain, InflateFlush::Finish);
        let len = usize::try_from(state.total_out()).unwrap_or(usize::MAX);
        match inflated {
            Ok(Status::StreamEnd) => {
                plain.truncate(len);
                return Ok(plain);
            }
            Ok(_) if len == room && room < bounds.size => room = room.saturating_mul(8).min(bounds.size),
            Ok(_) if len == room => {
                return Err(Error::new(ErrorKind::TooLarge, 0, "inflated data is larger than allowed"));
            }
            _ => return Err(Error::new(ErrorKind::Malformed, 0, "compressed data")),
        }
    }
}

/// Deflates to zlib data, with zlib's usual effort.
pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; compress_bound(bytes.len())];
    let len = compress_slice(&mut packed, bytes, DeflateConfig::default()).0.len();
    packed.truncate(len);
    packed
}
