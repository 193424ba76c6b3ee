//! Plain, signed and private cookies of the crate cookie, which Rust's session libraries use.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind};

/// `cookie::Key`: a key for signatures and one for seals.
#[derive(Clone)]
pub struct Key {
    signing: [u8; HALF],
    encryption: [u8; HALF],
}

const HALF: usize = 32;
/// Characters of a signature.
const SIGNATURE: usize = 44;
const NONCE: usize = 12;
const TAG: usize = 16;

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Key {
    /// `Key::from`: the first 64 bytes.
    ///
    /// # Errors
    /// `Malformed` for fewer.
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        let halves = bytes.split_first_chunk::<HALF>();
        let halves = halves.and_then(|(signing, rest)| Some((signing, rest.first_chunk::<HALF>()?)));
        let (&signing, &encryption) =
            halves.ok_or_else(|| Error::new(ErrorKind::Malformed, 0, "key of fewer than 64 bytes"))?;
        Ok(Self { signing, encryption })
    }

    /// `Key::derive_from`: HKDF of at least 32 bytes.
    ///
    /// # Errors
    /// `Malformed` for fewer.
    pub fn derive_from(master: &[u8]) -> Result<Self, Error> {
        let short = || Error::new(ErrorKind::Malformed, 0, "key of fewer than 32 bytes");
        let mut both = [0; 2 * HALF];
        let info = b"COOKIE;SIGNED:HMAC-SHA256;PRIVATE:AEAD-AES-256-GCM";
        let derived = Hkdf::<Sha256>::from_prk(master).map_err(|_| short())?;
        derived.expand(info, &mut both).map_err(|_| short())?;
        Self::new(&both)
    }

    /// The text after its signature. `more` is signed with it and does not stand in the cookie.
    fn verify<'t>(&self, text: &'t [u8], more: &[u8]) -> Result<&'t [u8], Error> {
        let (signature, value) = text.split_at_checked(SIGNATURE).ok_or_else(seal::unsealed)?;
        let mac = seal::hmac(Digest::Sha256, &self.signing, &[value, more]);
        if seal::same(signature, seal::to_base64(&mac).as_bytes()) {
            Ok(value)
        } else {
            Err(seal::unsealed())
        }
    }

    /// Opens base64 of a nonce, the sealed text and its tag, which was sealed for a name.
    pub(super) fn open(&self, sealed: &[u8], name: &str) -> Result<Vec<u8>, Error> {
        let sealed = seal::base64(sealed).map_err(|_| seal::unsealed())?;
        let (nonce, rest) = sealed.split_at_checked(NONCE).ok_or_else(seal::unsealed)?;
        let end = rest.len().checked_sub(TAG).ok_or_else(seal::unsealed)?;
        let (sealed, tag) = rest.split_at(end);
        seal::open_gcm(&self.encryption, nonce, sealed, tag, name.as_bytes())
    }
}

/// How a cookie is protected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Security {
    /// Not at all: the text is a random id.
    Plain,
    /// By a signature: `CookieJar::signed`.
    Signed(Key),
    /// By a seal: `CookieJar::private`.
    Private(Key),
}

/// A cookie of a session.
#[derive(Debug, Clone)]
pub struct Cookie {
    name: String,
    security: Security,
    order: Order,
}

/// Which of several cookies of a name counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    #[cfg_attr(not(feature = "actix-session"), expect(dead_code, reason = "of actix-session"))]
    First,
    #[cfg_attr(
        not(any(feature = "tower-sessions", feature = "axum-session", feature = "async-session")),
        expect(dead_code, reason = "of the other libraries")
    )]
    Last,
}

impl Cookie {
    pub(super) fn new(name: &str, security: Security, order: Order) -> Self {
        Self { name: name.to_owned(), security, order }
    }

    /// Sets the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The text of the cookie in a `Cookie` header of one or more cookies, or in one value.
    ///
    /// # Errors
    /// `Signature` where the cookie is missing, or its signature or seal does not hold; `TooLarge`.
    pub fn open(&self, header: &[u8], bounds: &Bounds) -> Result<String, Error> {
        self.open_with(header, b"", bounds)
    }

    /// As [`open`](Self::open), where more text was signed than stands in the cookie.
    pub(super) fn open_with(&self, header: &[u8], more: &[u8], bounds: &Bounds) -> Result<String, Error> {
        if header.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let text = self.find(header).ok_or_else(seal::unsealed)?;
        let text = match &self.security {
            Security::Plain => text,
            Security::Signed(key) => key.verify(&text, more)?.to_vec(),
            Security::Private(key) => key.open(&text, &self.name)?,
        };
        String::from_utf8(text).map_err(|_| seal::unsealed())
    }

    fn find(&self, header: &[u8]) -> Option<Vec<u8>> {
        let mut pairs = header.split(|&byte| byte == b';').filter_map(|pair| {
            let at = pair.iter().position(|&byte| byte == b'=')?;
            let name = seal::unescape(pair[..at].trim_ascii());
            (name == self.name.as_bytes()).then(|| seal::unescape(pair[at + 1..].trim_ascii()))
        });
        let named = match self.order {
            Order::First => pairs.next(),
            Order::Last => pairs.next_back(),
        };
        named.or_else(|| is_value(header).then(|| seal::unescape(header.trim_ascii())))
    }
}

/// Whether text is one value and not a header: it has no `=`, or one at the end of a signature, or only those that pad base64.
fn is_value(text: &[u8]) -> bool {
    let first = text.iter().position(|&byte| byte == b'=');
    let padding = |at: usize| text[at..].trim_ascii().iter().all(|&byte| byte == b'=');
    !text.contains(&b';') && first.is_none_or(|at| at == SIGNATURE - 1 || padding(at))
}
