//! Apache::Session: Storable in base64 (files, and the text columns of databases), or Storable alone.

use super::storable;
use crate::{Bounds, Error, Value, seal};

/// Reads a stored session. Base64 with line breaks and raw Storable are told apart by their first bytes.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(data: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    if matches!(data.first(), Some(4 | 5)) || data.starts_with(b"pst0") {
        return storable::read(data, bounds);
    }
    storable::read(&seal::base64(data)?, bounds)
}
