//! The sealed form of a session.
//!
//! Version 1, all numbers little-endian:
//!
//! | offset | length | |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 4 | the key's number, derived from the key |
//! | 5 | 12 | nonce, random |
//! | 17 | n | AES-256-GCM-SIV (RFC 8452) of the session |
//! | 17 + n | 16 | its tag |
//!
//! The associated data are a fixed text, the first 5 bytes, the number of cookies, and the cookie's name. The session:
//!
//! | offset | length | |
//! |---|---|---|
//! | 0 | 24 | id |
//! | 24 | 8 | deadline, ms since the Unix epoch; 2^64 - 1 for none |
//! | 32 | 8 | revision |
//! | 40 | | data |
//!
//! AES-GCM-SIV, because it stays secure if a nonce repeats, as after a restored snapshot of a machine: an attacker then
//! learns only whether two sessions are equal. AES-GCM and ChaCha20-Poly1305 would reveal their key stream, and random
//! nonces of 12 bytes repeat after some 2^32 messages.

use aes_gcm_siv::aead::AeadInOut as _;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _, Nonce};
use bytes::Bytes;
use session_core::{Record, Revision, SessionId, Timestamp, random};

use crate::keys::KeyRing;

const VERSION: u8 = 1;
const KEY_AT: usize = 1;
const NONCE_AT: usize = 5;
const BODY_AT: usize = 17;
const TAG: usize = 16;
const FIXED: usize = SessionId::BYTES + 16;
const NONE: u64 = u64::MAX;
const AAD: &[u8] = b"session-kit:sealed-session:v1";

/// The most cookies of one session. A browser sends at most some 8 to 16 KiB of them before servers refuse the request.
pub(crate) const MOST: usize = 4;
/// How much longer a sealed session is than its data, in bytes.
pub(crate) const OVERHEAD: usize = BODY_AT + FIXED + TAG;

/// The cipher overwrites its keys when it is dropped.
const _: fn() = overwrites_keys::<aes::Aes256>;
const fn overwrites_keys<T: zeroize::ZeroizeOnDrop>() {}

#[derive(Clone)]
pub(crate) struct Sealer {
    /// The newest first.
    keys: Vec<SealKey>,
}

#[derive(Clone)]
struct SealKey {
    /// Not secret: it says which key to try.
    number: [u8; 4],
    cipher: Aes256GcmSiv,
    /// The associated data of a session in 1 to 4 cookies.
    associated: [Vec<u8>; MOST],
}

impl Sealer {
    pub(crate) fn new(ring: &KeyRing, name: &str) -> Self {
        let ciphers = ring.derive(&["sealed-session", name], |key| Aes256GcmSiv::new(key.into()));
        let numbers =
            ring.derive(&["sealed-session-key-number", name], |key| [key[0], key[1], key[2], key[3]]);
        let keys = ciphers.into_iter().zip(numbers).map(|(cipher, number)| {
            let associated = std::array::from_fn(|at| {
                [AAD, &[VERSION], &number, &[at as u8 + 1], name.as_bytes()].concat()
            });
            SealKey { number, cipher, associated }
        });
        Self { keys: keys.collect() }
    }

    /// Seals by the newest key into this number of cookies, 1 to [`MOST`].
    pub(crate) fn seal(&self, id: &SessionId, record: &Record, cookies: u8) -> session_core::Result<Vec<u8>> {
        let key = self.keys.first().expect("a ring has a key");
        let mut sealed = Vec::with_capacity(record.data.len() + OVERHEAD);
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.number);
        let nonce: [u8; BODY_AT - NONCE_AT] = random::bytes()?;
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&id.to_bytes());
        let expires = record.expires.map_or(NONE, Timestamp::as_millis);
        sealed.extend_from_slice(&expires.to_le_bytes());
        sealed.extend_from_slice(&record.revision.to_bytes());
        sealed.extend_from_slice(&record.data);
        let body = (&mut sealed[BODY_AT..]).into();
        let tag = key.cipher.encrypt_inout_detached(&Nonce::from(nonce), key.associated(cookies), body);
        sealed.extend_from_slice(&tag.expect("a cookie is shorter than 64 GiB"));
        Ok(sealed)
    }

    /// Opens a session that a key of the ring has sealed for this name and number of cookies. The session is decrypted in
    /// place, so that no further copy of it stays in memory.
    pub(crate) fn open(&self, mut sealed: Vec<u8>, cookies: u8) -> Option<(SessionId, Record)> {
        if sealed.len() < OVERHEAD || sealed[0] != VERSION {
            return None;
        }
        let number: [u8; 4] = *sealed[KEY_AT..].first_chunk()?;
        let mut keys = self.keys.iter().filter(|key| key.number == number).peekable();
        while let Some(key) = keys.next() {
            // Two keys of a ring may have the same number, and an attempt overwrites the bytes.
            let kept = keys.peek().map(|_| sealed.clone());
            if let Some(session) = key.open(sealed, cookies) {
                return Some(session);
            }
            sealed = kept?;
        }
        None
    }
}

impl SealKey {
    fn associated(&self, cookies: u8) -> &[u8] {
        &self.associated[usize::from(cookies) - 1]
    }

    fn open(&self, mut sealed: Vec<u8>, cookies: u8) -> Option<(SessionId, Record)> {
        let nonce: [u8; BODY_AT - NONCE_AT] = *sealed[NONCE_AT..].first_chunk()?;
        let end = sealed.len() - TAG;
        let (body, tag) = sealed[BODY_AT..].split_last_chunk_mut::<TAG>()?;
        let (tag, body) = ((*tag).into(), body.into());
        let opened =
            self.cipher.decrypt_inout_detached(&Nonce::from(nonce), self.associated(cookies), body, &tag);
        opened.ok()?;
        let (id, rest) = sealed[BODY_AT..].split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (id, revision) = (SessionId::from_bytes(*id), Revision::from_bytes(*rest.first_chunk()?));
        let expires = Some(u64::from_le_bytes(*expires)).filter(|millis| *millis != NONE);
        let data = Bytes::from(sealed).slice(BODY_AT + FIXED..end);
        Some((id, Record::new(data, expires.map(Timestamp::from_millis), revision)))
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64_simd::URL_SAFE_NO_PAD;

    use super::*;
    use crate::keys::SecretKey;

    const SEALED: &str = include_str!("../tests/golden/sealed-1.txt");

    /// A cookie that the first release sealed stays readable.
    #[test]
    fn first_layout_stays_readable() {
        let bytes: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(n).wrapping_mul(29) ^ (n << 3)).collect();
        let sealer = Sealer::new(&KeyRing::new(SecretKey::from_bytes(&bytes).unwrap()), "__Host-session");
        let sealed = URL_SAFE_NO_PAD.decode_to_vec(SEALED.trim()).unwrap();
        let (id, record) = sealer.open(sealed.clone(), 1).unwrap();
        assert_eq!(id, SessionId::from_bytes([7; 24]));
        let expected =
            Record::new(&b"data"[..], Some(Timestamp::from_millis(42)), Revision::from_bytes([9; 8]));
        assert_eq!(record, expected);
        assert!(sealer.open(sealed.clone(), 2).is_none(), "the number of cookies is sealed");
        let again = sealer.seal(&id, &record, 1).unwrap();
        assert!(again.len() == sealed.len() && again[..NONCE_AT] == sealed[..NONCE_AT] && again != sealed);
        assert_eq!(sealer.open(again, 1), Some((id, record)));
    }

    #[test]
    fn keys_of_one_number_open_their_own_sessions() {
        let sealers = [(); 3].map(|()| {
            let mut sealer = Sealer::new(&KeyRing::new(SecretKey::generate().unwrap()), "name");
            sealer.keys[0].number = [7; 4];
            sealer
        });
        let all = Sealer { keys: sealers.iter().flat_map(|sealer| sealer.keys.clone()).collect() };
        let record = Record::new(&b"data"[..], None, Revision::from_bytes([9; 8]));
        for (n, sealer) in sealers.iter().enumerate() {
            let session = (SessionId::from_bytes([n as u8; 24]), record.clone());
            let sealed = sealer.seal(&session.0, &record, 3).unwrap();
            assert_eq!(all.open(sealed.clone(), 3), Some(session));
            assert_eq!(all.open(sealed, 2), None);
        }
    }
}
