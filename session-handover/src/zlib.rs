//! Compression with zlib.
#![allow(dead_code, reason = "each system uses a part")]

use zlib_rs::{DeflateConfig, InflateConfig, ReturnCode, compress_bound, compress_slice, decompress_slice};

use crate::{Bounds, Error, ErrorKind};

/// Inflates zlib data up to the size that is allowed.
///
/// In one piece: a stream allocates and clears a window, which takes longer than to inflate a session.
pub(crate) fn inflate(bytes: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Error> {
    // Text shrinks to a third or a quarter.
    let mut room = bytes.len().saturating_mul(4).max(256).min(bounds.size);
    loop {
        let mut plain = vec![0; room];
        let (inflated, code) = decompress_slice(&mut plain, bytes, InflateConfig::default());
        let len = inflated.len();
        match code {
            ReturnCode::Ok => {
                plain.truncate(len);
                return Ok(plain);
            }
            ReturnCode::BufError if room < bounds.size => {
                room = room.saturating_mul(8).min(bounds.size);
            }
            ReturnCode::BufError => {
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
