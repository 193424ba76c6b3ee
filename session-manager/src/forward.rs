//! The forwarder that a timed renewal leaves under the old key.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use session_core::{Key, Prefix, SessionId};
use sha2::Sha256;

use crate::entry::Malformed;

/// The first bytes of a forwarder's data.
pub(crate) const FORWARDER_HEAD: [u8; 8] = [1, 2, 75, 0, 0, 0, 0, 0];
/// How many forwarders are followed one after another. A renewed id is not renewed before it is in use, so two are rare.
pub(crate) const MOVES: u32 = 4;

/// Whether a record's data is a forwarder.
pub(crate) fn is_forwarder(data: &[u8]) -> bool {
    data.starts_with(&FORWARDER_HEAD)
}

/// The length of the part of a session's key that follows `session:`.
const HASH: usize = 43;
const LEN: usize = FORWARDER_HEAD.len() + HASH + SessionId::BYTES;
/// So that the key gives no other value. MUST NOT change.
const TAG: &[u8] = b"session-kit:forwarder:v1:";

/// Says where a session is after a timed renewal: its new key, and its new id, sealed.
///
/// The pad for the new id is the HMAC-SHA256, under the old id, of a tag and the new key. Only who has the old id can
/// open it. Each new id has another key, so no pad is used twice, and an opened id is genuine if it has that key.
#[derive(Clone)]
pub(crate) struct Forwarder {
    pub(crate) to: Key,
    sealed: [u8; SessionId::BYTES],
}

impl Forwarder {
    pub(crate) fn new(old: SessionId, new: SessionId) -> Self {
        let to = new.key();
        let sealed = padded(new.to_bytes(), old, &to);
        Self { to, sealed }
    }

    pub(crate) fn parse(data: &[u8]) -> Result<Self, Malformed> {
        if data.len() != LEN {
            return Err(Malformed);
        }
        let (hash, sealed) = data[FORWARDER_HEAD.len()..].split_at(HASH);
        let hash = std::str::from_utf8(hash).map_err(|_| Malformed)?;
        let to = Key::new(&Prefix::SESSION, hash).map_err(|_| Malformed)?;
        Ok(Self { to, sealed: sealed.try_into().map_err(|_| Malformed)? })
    }

    pub(crate) fn data(&self) -> Bytes {
        [&FORWARDER_HEAD, self.to.id().as_bytes(), &self.sealed].concat().into()
    }

    /// The new id; `None` if the forwarder is damaged.
    pub(crate) fn open(&self, old: SessionId) -> Option<SessionId> {
        let id = SessionId::from_bytes(padded(self.sealed, old, &self.to));
        (id.key() == self.to).then_some(id)
    }
}

/// Seals an id, or opens it.
fn padded(mut id: [u8; SessionId::BYTES], old: SessionId, to: &Key) -> [u8; SessionId::BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&old.to_bytes()).expect("HMAC takes keys of every length");
    mac.update(TAG);
    mac.update(to.id().as_bytes());
    id.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(byte, pad)| *byte ^= pad);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_old_id_opens_a_forwarder() {
        let [old, new, other] = [1, 2, 3].map(|byte| SessionId::from_bytes([byte; 24]));
        let forwarder = Forwarder::new(old, new);
        let data = forwarder.data();
        // Made with Python's hmac and hashlib.
        assert_eq!(data, include_bytes!("../golden/forwarder-v1.bin")[..]);
        let parsed = Forwarder::parse(&data).unwrap();
        assert_eq!((parsed.to.clone(), parsed.open(old), parsed.open(other)), (new.key(), Some(new), None));
        let again = Forwarder::new(old, other).data();
        assert_ne!(data[LEN - 24..], again[LEN - 24..]);
        for at in 0..LEN {
            let mut bent = data.to_vec();
            bent[at] ^= 1;
            let opened = Forwarder::parse(&bent).ok().and_then(|bent| bent.open(old));
            assert_eq!(opened, (at < FORWARDER_HEAD.len()).then_some(new), "{at}");
        }
        assert!((0..LEN).all(|len| Forwarder::parse(&data[..len]).is_err()));
    }
}
