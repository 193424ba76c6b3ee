//! Session ids with a signature, checked before any store call.

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use session_core::SessionId;
use sha2::Sha256;

use crate::keys::KeyRing;

/// Half of the hash, the shortest that RFC 2104 §5 recommends.
const MAC_BYTES: usize = 16;
/// Its base64url text.
const MAC_CHARS: usize = 22;

/// A keyed HMAC is two states of SHA-256, which are overwritten when it is dropped.
const _: fn() = overwrites_keys::<Sha256>;
const fn overwrites_keys<T: zeroize::ZeroizeOnDrop>() {}

/// Signs and verifies ids. The value is the id's 32 characters, a dot, and 22 characters of HMAC-SHA-256.
#[derive(Clone)]
pub(crate) struct Signer {
    /// The newest first, with the key already in them.
    macs: Vec<Hmac<Sha256>>,
}

impl Signer {
    /// The length of a value.
    pub(crate) const CHARS: usize = SessionId::CHARS + 1 + MAC_CHARS;

    pub(crate) fn new(ring: &KeyRing, name: &str) -> Self {
        let keyed = |key: &[u8; 32]| Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        Self { macs: ring.derive(&["signed-id", name], keyed) }
    }

    /// The value for an id, signed by the newest key.
    pub(crate) fn value(&self, id: &SessionId) -> String {
        let id = id.reveal();
        let mut value = String::with_capacity(Self::CHARS);
        value.push_str(id.as_str());
        value.push('.');
        if let Some(mac) = self.macs.first() {
            let whole = mac.clone().chain_update(id.as_str()).finalize().into_bytes();
            URL_SAFE_NO_PAD.encode_append(&whole[..MAC_BYTES], &mut value);
        }
        value
    }

    /// The id of a value with a valid signature. An id without one is malformed, so no client can go back to unsigned ids.
    pub(crate) fn verify(&self, value: &[u8]) -> Option<SessionId> {
        let (id, rest) = value.split_at_checked(SessionId::CHARS)?;
        let text = rest.strip_prefix(b".").filter(|text| text.len() == MAC_CHARS)?;
        let mac = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
        let parsed = SessionId::parse(id)?;
        let verifies =
            |key: &&Hmac<Sha256>| (*key).clone().chain_update(id).verify_truncated_left(&mac).is_ok();
        self.macs.iter().find(verifies).map(|_| parsed)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("keys", &self.macs.len()).finish_non_exhaustive()
    }
}
