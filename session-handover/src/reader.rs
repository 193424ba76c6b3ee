//! Bounds and a bounded reader.

use crate::{Error, ErrorKind};

/// Limits of one decoding. The input may come from a browser.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Bounds {
    /// Levels of nesting. Each level takes about one KiB of stack, and up to three KiB in Storable.
    pub depth: usize,
    /// Bytes of text beyond the input: inflated, copied or decoded. A file of a cache counts once.
    pub size: usize,
    /// Values. In PHP's formats a key counts as one.
    pub count: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: 64, size: 4 << 20, count: 100_000 }
    }
}

/// Input with an offset and what is left of the bounds.
#[derive(Debug)]
#[allow(dead_code, reason = "each format uses a part")]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    depth: usize,
    count: usize,
    size: usize,
}

#[allow(dead_code, reason = "each format uses a part")]
impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], bounds: &Bounds) -> Self {
        Self { bytes, offset: 0, depth: bounds.depth, count: bounds.count, size: bounds.size }
    }

    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Fails where bytes are left.
    pub(crate) fn end(&self) -> Result<(), Error> {
        match self.remaining() {
            0 => Ok(()),
            _ => Err(Error::new(ErrorKind::Trailing, self.offset, "bytes follow the value")),
        }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        let byte =
            self.peek().ok_or_else(|| Error::new(ErrorKind::Truncated, self.offset, "input ends early"))?;
        self.offset += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        if length > self.remaining() {
            return Err(Error::new(ErrorKind::Truncated, self.offset, "input ends early"));
        }
        let taken = &self.bytes[self.offset..self.offset + length];
        self.offset += length;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Goes one level deeper.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), Error> {
        self.depth = self
            .depth
            .checked_sub(1)
            .ok_or_else(|| Error::new(ErrorKind::TooDeep, self.offset, "values nest too deeply"))?;
        Ok(())
    }

    #[inline]
    pub(crate) fn leave(&mut self) {
        self.depth += 1;
    }

    /// Counts a value.
    #[inline]
    pub(crate) fn count_item(&mut self) -> Result<(), Error> {
        self.count_items(1)
    }

    /// Counts values.
    #[inline]
    pub(crate) fn count_items(&mut self, items: usize) -> Result<(), Error> {
        self.count = self
            .count
            .checked_sub(items)
            .ok_or_else(|| Error::new(ErrorKind::TooMany, self.offset, "more values than allowed"))?;
        Ok(())
    }

    /// Counts bytes of memory.
    #[inline]
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        self.size = self
            .size
            .checked_sub(bytes)
            .ok_or_else(|| Error::new(ErrorKind::TooLarge, self.offset, "more bytes than allowed"))?;
        Ok(())
    }
}
