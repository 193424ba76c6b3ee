//! The name of a session for people.

use std::fmt;
use std::str::FromStr;

use session_core::{Key, Prefix, SessionId};

use crate::error::{Error, ErrorKind};

/// A name of a session for an administrator's form or a list of devices. It is not a session id and
/// cannot be turned into one. [`Sessions::end`](crate::Sessions::end) and
/// [`Sessions::find_one`](crate::Sessions::find_one) take it. A rotation changes it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Handle(pub(crate) Key);

impl Handle {
    /// The text, of letters, digits, `-` and `_`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.id()
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(…)")
    }
}

impl FromStr for Handle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let valid = text.len() == 43
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let key = Some(text).filter(|_| valid).and_then(|text| Key::new(&Prefix::SESSION, text).ok());
        key.map(Self).ok_or_else(|| Error::new(ErrorKind::Name).with_detail("not a session handle"))
    }
}

/// The name of the session with this id, whether or not the session exists.
impl From<SessionId> for Handle {
    fn from(id: SessionId) -> Self {
        Self(id.key())
    }
}
