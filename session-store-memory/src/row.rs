//! A record in the table, in the form that suits its size.

use bytes::Bytes;
use session_core::{Key, Prefix, Record, Revision, Timestamp, is_live};

use crate::block::Block;
use crate::large::Large;
use crate::usage::{Amount, amount};

/// The largest data that is copied into a [`Block`], in bytes. Larger data stays in the `Bytes` it came in: copying it
/// would cost more than all the rest of a store.
pub(crate) const COPIED: usize = 512;

/// A record outside of the table: about to go in, or taken out.
pub(crate) enum Row {
    Small(Block),
    Large(Large),
}

impl Row {
    pub(crate) fn new(key: &Key, record: Record) -> Self {
        if record.data.len() > COPIED {
            Self::Large(Large::new(key, record))
        } else {
            Self::Small(Block::new(key, &record))
        }
    }

    pub(crate) fn get(&self) -> Found<'_> {
        match self {
            Self::Small(block) => Found::Small(block),
            Self::Large(large) => Found::Large(large),
        }
    }
}

/// A record in the table.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    Small(&'a Block),
    Large(&'a Large),
}

macro_rules! either {
    ($found:expr, $row:ident => $value:expr) => {
        match $found {
            Found::Small($row) => $value,
            Found::Large($row) => $value,
        }
    };
}

impl Found<'_> {
    pub(crate) fn expires(self) -> Option<Timestamp> {
        either!(self, row => row.expires())
    }

    pub(crate) fn revision(self) -> Revision {
        either!(self, row => row.revision())
    }

    pub(crate) fn is_live(self, now: Timestamp) -> bool {
        is_live(self.expires(), now)
    }

    pub(crate) fn is_session(self) -> bool {
        either!(self, row => row.is_session())
    }

    pub(crate) fn data_len(self) -> usize {
        either!(self, row => row.data_len())
    }

    pub(crate) fn is_in(self, prefix: &Prefix) -> bool {
        self.with_text(|text| {
            let prefix = prefix.as_str().as_bytes();
            text.starts_with(prefix) && text.get(prefix.len()) == Some(&b':')
        })
    }

    /// `None` never, for what was stored under a key can be read as one.
    pub(crate) fn key(self) -> Option<Key> {
        self.with_text(|text| Key::parse(std::str::from_utf8(text).ok()?).ok())
    }

    /// Shows the text of the key.
    pub(crate) fn with_text<T>(self, show: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Small(block) => block.packed().with_text(show),
            Self::Large(large) => show(large.text()),
        }
    }

    /// What this record counts against the bounds.
    pub(crate) fn amount(self) -> Amount {
        self.with_text(|text| amount(text.len(), self.data_len()))
    }

    /// A handle on the data, which costs one reference counted up. What is made of it may allocate: do that after the
    /// lock.
    pub(crate) fn share(self) -> Data {
        match self {
            Self::Small(block) => Data::In(block.clone()),
            Self::Large(large) => Data::Of(large.data().clone()),
        }
    }

    /// Where the expiry queue has this record: bucket and position.
    pub(crate) fn filed(self) -> (u8, u32) {
        either!(self, row => row.filed())
    }

    pub(crate) fn set_filed(self, place: (u8, u32)) {
        either!(self, row => row.set_filed(place));
    }
}

/// The data of a record that was found, on its way out of the lock.
pub(crate) enum Data {
    In(Block),
    Of(Bytes),
}

impl Data {
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::In(block) => block.into_data(),
            Self::Of(data) => data,
        }
    }
}
