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
use session_core::{Record, Revision, SessionId, Timestamp, random};
use zeroize::Zeroizing;

use crate::keys::KeyRing;

const VERSION: u8 = 1;
const KEY_AT: usize = 1;
const NONCE_AT: usize = 5;
const BODY_AT: usize = 17;
const TAG: usize = 16;
const FIXED: usize = SessionId::BYTES + 16;
const NONE: u64 = u64::MAX;
const AAD: &[u8] = b"session-kit:sealed-session:v1";

/// How much longer a sealed session is than its data, in bytes.
pub(crate) const OVERHEAD: usize = BODY_AT + FIXED + TAG;

/// The cipher overwrites its keys when it is dropped.
const _: fn() = overwrites_keys::<aes::Aes256>;
const fn overwrites_keys<T: zeroize::ZeroizeOnDrop>() {}

#[derive(Clone)]
pub(crate) struct Sealer {
    name: String,
    /// The newest first.
    keys: Vec<SealKey>,
}

#[derive(Clone)]
struct SealKey {
    /// Not secret: it says which key to try.
    number: [u8; 4],
    cipher: Aes256GcmSiv,
}

impl Sealer {
    pub(crate) fn new(ring: &KeyRing, name: &str) -> Self {
        let ciphers = ring.derive(&["sealed-session", name], |key| Aes256GcmSiv::new(key.into()));
        let numbers =
            ring.derive(&["sealed-session-key-number", name], |key| [key[0], key[1], key[2], key[3]]);
        let keys =
            ciphers.into_iter().zip(numbers).map(|(cipher, number)| SealKey { number, cipher }).collect();
        Self { name: name.to_owned(), keys }
    }

    /// Seals by the newest key into this number of cookies.
    pub(crate) fn seal(&self, id: &SessionId, record: &Record, cookies: u8) -> session_core::Result<Vec<u8>> {
        let key = self.keys.first().expect("a ring has a key");
        let mut sealed = Vec::with_capacity(record.data.len() + OVERHEAD);
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.number);
        let aad = self.associated(&sealed, cookies);
        sealed.resize(BODY_AT, 0);
        random::fill(&mut sealed[NONCE_AT..])?;
        let nonce: [u8; BODY_AT - NONCE_AT] = *sealed[NONCE_AT..].first_chunk().expect("the nonce is there");
        sealed.extend_from_slice(&id.to_bytes());
        let expires = record.expires.map_or(NONE, Timestamp::as_millis);
        sealed.extend_from_slice(&expires.to_le_bytes());
        sealed.extend_from_slice(&record.revision.to_bytes());
        sealed.extend_from_slice(&record.data);
        let body = (&mut sealed[BODY_AT..]).into();
        let tag = key.cipher.encrypt_inout_detached(&Nonce::from(nonce), &aad, body);
        sealed.extend_from_slice(&tag.expect("a cookie is shorter than 64 GiB"));
        Ok(sealed)
    }

    /// Opens a session that a key of the ring has sealed for this name and number of cookies.
    pub(crate) fn open(&self, sealed: &[u8], cookies: u8) -> Option<(SessionId, Record)> {
        let (head, body) = sealed.split_at_checked(BODY_AT)?;
        let (body, tag) = body.split_at_checked(body.len().checked_sub(TAG)?)?;
        if head[0] != VERSION || body.len() < FIXED {
            return None;
        }
        let nonce: [u8; BODY_AT - NONCE_AT] = head[NONCE_AT..].try_into().ok()?;
        let tag: [u8; TAG] = tag.try_into().ok()?;
        let aad = self.associated(&head[..NONCE_AT], cookies);
        // Two keys of a ring may have the same number.
        self.keys.iter().filter(|key| key.number == head[KEY_AT..NONCE_AT]).find_map(|key| {
            let mut plain = Zeroizing::new(body.to_vec());
            let opened = key.cipher.decrypt_inout_detached(
                &Nonce::from(nonce),
                &aad,
                plain.as_mut_slice().into(),
                &tag.into(),
            );
            opened.ok().and_then(|()| session(&plain))
        })
    }

    fn associated(&self, head: &[u8], cookies: u8) -> Vec<u8> {
        [AAD, head, &[cookies], self.name.as_bytes()].concat()
    }
}

fn session(plain: &[u8]) -> Option<(SessionId, Record)> {
    let (id, rest) = plain.split_first_chunk::<{ SessionId::BYTES }>()?;
    let (expires, rest) = rest.split_first_chunk::<8>()?;
    let (revision, data) = rest.split_first_chunk::<8>()?;
    let expires = Some(u64::from_le_bytes(*expires)).filter(|millis| *millis != NONE);
    let expires = expires.map(Timestamp::from_millis);
    let record = Record::new(data.to_vec(), expires, Revision::from_bytes(*revision));
    Some((SessionId::from_bytes(*id), record))
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;

    const SEALED: &str = include_str!("../tests/golden/sealed-1.txt");

    /// A cookie that the first release sealed stays readable.
    #[test]
    fn first_layout_stays_readable() {
        let bytes: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(n).wrapping_mul(29) ^ (n << 3)).collect();
        let sealer = Sealer::new(&KeyRing::new(SecretKey::from_bytes(&bytes).unwrap()), "__Host-session");
        let sealed = data_encoding::BASE64URL_NOPAD.decode(SEALED.trim().as_bytes()).unwrap();
        let (id, record) = sealer.open(&sealed, 1).unwrap();
        assert_eq!(id, SessionId::from_bytes([7; 24]));
        let expected =
            Record::new(&b"data"[..], Some(Timestamp::from_millis(42)), Revision::from_bytes([9; 8]));
        assert_eq!(record, expected);
        assert!(sealer.open(&sealed, 2).is_none(), "the number of cookies is sealed");
        let again = sealer.seal(&id, &record, 1).unwrap();
        assert_eq!(sealer.open(&again, 1), Some((id, record)));
        assert!(again.len() == sealed.len() && again[..NONCE_AT] == sealed[..NONCE_AT] && again != sealed);
    }
}
