//! Signatures, seals and the spellings of cookies that several systems share.

#![allow(dead_code, reason = "each system uses a part")]

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::{Error, ErrorKind};

#[cfg(feature = "sealed")]
#[allow(unused_imports, reason = "each system uses a part")]
pub(crate) use cipher::{open_cbc, open_ctr, open_gcm, pbkdf2, seal_cbc, seal_gcm};
#[cfg(feature = "signed")]
#[allow(unused_imports, reason = "each system uses a part")]
pub(crate) use signature::{hash, hmac, same, same_hex, secrets};

/// The digest of a signature or of a derived key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg(feature = "signed")]
#[non_exhaustive]
pub enum Digest {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The seal does not hold. It tells no reason: an attacker would learn from it.
pub(crate) fn unsealed() -> Error {
    Error::new(ErrorKind::Signature, 0, "signature or seal does not hold")
}

const LOOSE: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LOOSE);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LOOSE);

/// Base64 with either padding. Line breaks are skipped.
pub(crate) fn base64(text: &[u8]) -> Result<Vec<u8>, Error> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|_| Error::new(ErrorKind::Malformed, 0, "not base64"))
}

/// Base64 of the alphabet for URLs, and of the standard one.
pub(crate) fn base64_url(text: &[u8]) -> Result<Vec<u8>, Error> {
    let bad = |_| Error::new(ErrorKind::Malformed, 0, "not base64");
    if !text.contains(&b'+') && !text.contains(&b'/') {
        return URL_SAFE.decode(text).map_err(bad);
    }
    let text: Vec<u8> = text
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    URL_SAFE.decode(text).map_err(bad)
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Base64 for URLs without padding.
pub(crate) fn to_base64_url(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Undoes percent-encoding. `+` is a space in forms and stays a plus here: it is a letter of base64.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let digits =
            after.get(..2).filter(|digits| first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        match digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => bytes.push(first),
        }
    }
    bytes
}

/// The value of a cookie: the text after `name=` where the text begins with that, else the text itself.
pub(crate) fn cookie_value<'t>(text: &'t [u8], name: &str) -> &'t [u8] {
    let text = text.trim_ascii();
    text.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")).unwrap_or(text)
}

/// Splits at the last `--`.
pub(crate) fn split_signature(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.windows(2).rposition(|pair| pair == b"--")?;
    Some((&text[..at], &text[at + 2..]))
}

#[cfg(feature = "signed")]
mod signature {
    use ::hmac::{Hmac, KeyInit, Mac};
    use subtle::ConstantTimeEq;

    use super::{Digest, hex};

    /// The secrets of an application, without empty ones: with an empty key anyone could sign.
    #[allow(dead_code, reason = "some systems have one secret")]
    pub(crate) fn secrets(all: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Vec<Vec<u8>> {
        all.into_iter().map(Into::into).filter(|secret: &Vec<u8>| !secret.is_empty()).collect()
    }

    pub(crate) fn hmac(digest: Digest, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        fn run<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
            #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
            let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            for part in parts {
                mac.update(part);
            }
            mac.finalize().into_bytes().to_vec()
        }
        match digest {
            Digest::Sha1 => run::<Hmac<sha1::Sha1>>(key, parts),
            Digest::Sha256 => run::<Hmac<sha2::Sha256>>(key, parts),
        }
    }

    /// The digest of the parts.
    pub(crate) fn hash(digest: Digest, parts: &[&[u8]]) -> Vec<u8> {
        fn run<D: sha2::Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hash = D::new();
            for part in parts {
                hash.update(part);
            }
            hash.finalize().to_vec()
        }
        match digest {
            Digest::Sha1 => run::<sha1::Sha1>(parts),
            Digest::Sha256 => run::<sha2::Sha256>(parts),
        }
    }

    /// Compares in a time that depends on the lengths alone.
    pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
        a.ct_eq(b).into()
    }

    /// Whether `signature` is the lower-case hexadecimal text of `mac`.
    pub(crate) fn same_hex(signature: &[u8], mac: &[u8]) -> bool {
        same(signature, hex(mac).as_bytes())
    }
}

#[cfg(feature = "sealed")]
mod cipher {
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    use cbc::cipher::block_padding::Pkcs7;
    use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, StreamCipher};

    use super::{Digest, unsealed};
    use crate::Error;

    pub(crate) fn pbkdf2(digest: Digest, secret: &[u8], salt: &[u8], rounds: u32, length: usize) -> Vec<u8> {
        let mut key = vec![0; length];
        match digest {
            Digest::Sha1 => ::pbkdf2::pbkdf2_hmac::<sha1::Sha1>(secret, salt, rounds, &mut key),
            Digest::Sha256 => ::pbkdf2::pbkdf2_hmac::<sha2::Sha256>(secret, salt, rounds, &mut key),
        }
        key
    }

    pub(crate) fn open_gcm(
        key: &[u8],
        iv: &[u8],
        sealed: &[u8],
        tag: &[u8],
        about: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let nonce = iv.try_into().map_err(|_| unsealed())?;
        if tag.len() != 16 {
            return Err(unsealed());
        }
        let joined = [sealed, tag].concat();
        let payload = Payload { msg: &joined, aad: about };
        let opened = match aes_gcm::Aes128Gcm::new_from_slice(key) {
            Ok(cipher) => cipher.decrypt(nonce, payload),
            Err(_) => {
                aes_gcm::Aes256Gcm::new_from_slice(key).map_err(|_| unsealed())?.decrypt(nonce, payload)
            }
        };
        opened.map_err(|_| unsealed())
    }

    /// Seals with AES-256-GCM. Gives the sealed bytes and the tag.
    pub(crate) fn seal_gcm(key: &[u8], iv: &[u8; 12], plain: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let cipher = aes_gcm::Aes256Gcm::new_from_slice(key).map_err(|_| unsealed())?;
        let mut sealed = cipher.encrypt(iv.into(), plain).map_err(|_| unsealed())?;
        let tag = sealed.split_off(sealed.len().saturating_sub(16));
        Ok((sealed, tag))
    }

    pub(crate) fn open_cbc(key: &[u8], iv: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let opened = match cbc::Decryptor::<aes::Aes128>::new_from_slices(key, iv) {
            Ok(cipher) => cipher.decrypt_padded_vec::<Pkcs7>(sealed),
            Err(_) => {
                let cipher =
                    cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv).map_err(|_| unsealed())?;
                cipher.decrypt_padded_vec::<Pkcs7>(sealed)
            }
        };
        opened.map_err(|_| unsealed())
    }

    pub(crate) fn seal_cbc(key: &[u8], iv: &[u8; 16], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(key, iv).map_err(|_| unsealed())?;
        Ok(cipher.encrypt_padded_vec::<Pkcs7>(plain))
    }

    pub(crate) fn open_ctr(key: &[u8], iv: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let mut cipher = ctr::Ctr128BE::<aes::Aes256>::new_from_slices(key, iv).map_err(|_| unsealed())?;
        let mut plain = sealed.to_vec();
        cipher.try_apply_keystream(&mut plain).map_err(|_| unsealed())?;
        Ok(plain)
    }
}
