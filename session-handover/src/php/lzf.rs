//! LZF, the compression `redis.session.compression = lzf` of the extension `redis`. It has no header.

use crate::{Bounds, Error, ErrorKind, Reader};

/// Decompresses data.
///
/// # Errors
/// `Truncated` or `Malformed` for damaged data, `TooLarge` beyond the bounds.
pub fn decompress(bytes: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Error> {
    let mut input = Reader::new(bytes, bounds);
    let mut out = Vec::new();
    while input.remaining() > 0 {
        let control = usize::from(input.byte()?);
        if control < 32 {
            input.grow(control + 1)?;
            out.extend_from_slice(input.take(control + 1)?);
            continue;
        }
        let mut len = control >> 5;
        if len == 7 {
            len += usize::from(input.byte()?);
        }
        let back = ((control & 31) << 8 | usize::from(input.byte()?)) + 1;
        let Some(start) = out.len().checked_sub(back) else {
            return Err(Error::new(ErrorKind::Malformed, input.offset(), "reference before the beginning"));
        };
        input.grow(len + 2)?;
        // The copied part may overlap itself.
        for at in start..start + len + 2 {
            out.push(out[at]);
        }
    }
    Ok(out)
}
