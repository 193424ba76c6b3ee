//! Signatures of the package itsdangerous, which Flask, Flask-Session and Starlette use: HMAC after the last dot, and before it a time.

use crate::seal::{self, Digest};
use crate::{Error, ErrorKind};

/// How a key is made of a secret and a salt (`key_derivation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each system uses one")]
pub(crate) enum Derivation {
    /// The HMAC of the salt.
    Hmac,
    /// The digest of the salt, the word `signer` and the secret.
    DjangoConcat,
}

/// The keys of a signature, newest first.
#[derive(Clone)]
pub(crate) struct Signer {
    digest: Digest,
    keys: Vec<Vec<u8>>,
}

impl Signer {
    pub(crate) fn new(digest: Digest, derivation: Derivation, salt: &[u8], secrets: &[Vec<u8>]) -> Self {
        let derive = |secret: &Vec<u8>| match derivation {
            Derivation::Hmac => seal::hmac(digest, secret, &[salt]),
            Derivation::DjangoConcat => seal::hash(digest, &[salt, b"signer", secret]),
        };
        // With an empty key anyone could sign.
        let keys = secrets.iter().filter(|secret| !secret.is_empty()).map(derive).collect();
        Self { digest, keys }
    }

    /// The text before the signature.
    pub(crate) fn unsign<'t>(&self, text: &'t [u8]) -> Result<&'t [u8], Error> {
        let (signed, signature) = split_last(text).ok_or_else(seal::unsealed)?;
        let signature = seal::base64_url(signature).map_err(|_| seal::unsealed())?;
        let holds = |key: &Vec<u8>| seal::same(&signature, &seal::hmac(self.digest, key, &[signed]));
        if self.keys.iter().any(holds) { Ok(signed) } else { Err(seal::unsealed()) }
    }

    /// The text before the time and the signature, and the time in seconds since 1970. Like the package it refuses a time
    /// that is in the future.
    #[allow(dead_code, reason = "an id of Flask-Session has no time")]
    pub(crate) fn unsign_timed<'t>(
        &self,
        text: &'t [u8],
        now: f64,
        max_age: Option<f64>,
    ) -> Result<(&'t [u8], u64), Error> {
        let bad = || Error::new(ErrorKind::Malformed, 0, "time of the signature");
        let (payload, time) = split_last(self.unsign(text)?).ok_or_else(bad)?;
        let time = seal::base64_url(time)?;
        // More bytes than a moment needs.
        if time.len() > 7 {
            return Err(bad());
        }
        let time = time.iter().fold(0_u64, |time, &byte| time << 8 | u64::from(byte));
        #[expect(clippy::cast_precision_loss, reason = "a moment that is not near 2^53 seconds")]
        let age = now.floor() - time as f64;
        if max_age.is_some_and(|max_age| age > max_age || age < 0.0) {
            return Err(Error::new(ErrorKind::Expired, 0, "cookie has expired"));
        }
        Ok((payload, time))
    }
}

fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().rposition(|&byte| byte == b'.')?;
    Some((&text[..at], &text[at + 1..]))
}
