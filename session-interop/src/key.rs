//! From the ids of other libraries to keys.

use data_encoding::BASE64URL_NOPAD;
use session_core::{Key, Prefix};
use sha2::{Digest, Sha256};

/// The libraries whose sessions are stored. Each has keys of its own, so that one store can hold the sessions of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    TowerSessions,
    ActixSession,
}

impl Library {
    /// The prefix of the keys, and the first part of what is hashed. MUST NOT change.
    const fn name(self) -> &'static str {
        match self {
            Self::TowerSessions => "tower-sessions",
            Self::ActixSession => "actix-session",
        }
    }

    /// The key of a session: the library's name, and the base64url SHA-256 of `session-interop:NAME:v1:` and the id. A
    /// leaked store opens no session. This format never changes.
    pub(crate) fn key(self, id: &[u8]) -> Key {
        let mut hash = Sha256::new_with_prefix("session-interop:");
        hash.update(self.name());
        hash.update(":v1:");
        hash.update(id);
        let id = BASE64URL_NOPAD.encode(&hash.finalize());
        let prefix = Prefix::new(self.name()).expect("the names are valid prefixes");
        Key::new(&prefix, &id).expect("43 characters are a valid id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_the_golden_file() {
        let keys = [Library::TowerSessions, Library::ActixSession].map(|library| library.key(&[7; 16]));
        let text: String = keys.iter().map(|key| format!("{}\n", key.as_str())).collect();
        assert_eq!(text, include_str!("../golden/keys-of-sevens.txt"));
    }
}
