//! Compression with zlib.
#![allow(dead_code, reason = "each system uses a part")]

use std::io::{Read as _, Write as _};

use crate::{Bounds, Error, ErrorKind};

/// Inflates zlib data up to the size that is allowed.
pub(crate) fn inflate(bytes: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Error> {
    let limit = u64::try_from(bounds.size).unwrap_or(u64::MAX);
    let mut plain = Vec::new();
    flate2::read::ZlibDecoder::new(bytes)
        .take(limit.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|_| Error::new(ErrorKind::Malformed, 0, "compressed data"))?;
    if plain.len() > bounds.size {
        return Err(Error::new(ErrorKind::TooLarge, 0, "inflated data is larger than allowed"));
    }
    Ok(plain)
}

/// Deflates to zlib data.
pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    let written = encoder.write_all(bytes);
    // Writing to memory fails never.
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}
