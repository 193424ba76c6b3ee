//! cookie-session: JSON in base64, and its signature in a second cookie.

use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value};

/// Settings of cookie-session.
#[derive(Clone)]
pub struct Cookie {
    name: String,
    keys: Vec<Vec<u8>>,
    digest: Digest,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Cookie {
    /// A cookie of the default name `session`, with `keys`, newest first, or `secret`.
    pub fn new(keys: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self { name: "session".to_owned(), keys: seal::secrets(keys), digest: Digest::Sha1 }
    }

    /// Sets the name (`name`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the digest, where the application gives a Keygrip of its own. SHA-1 by default.
    #[must_use]
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = digest;
        self
    }

    /// Opens the two cookies of a `Cookie` header. Of several cookies of a name only the first counts.
    ///
    /// # Errors
    /// `Signature` where a cookie is missing or no key has signed; else a kind and the offset of the damage.
    pub fn read(&self, header: &[u8], bounds: &Bounds) -> Result<Value, Error> {
        if header.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let cookie = |name: &str| {
            let named = header.contains(&b'=').then(|| super::first_cookie(header, name));
            named.flatten().ok_or_else(seal::unsealed)
        };
        let (value, signature) = (cookie(&self.name)?, cookie(&format!("{}.sig", self.name))?);
        let holds = self.keys.iter().any(|key| {
            let mac = seal::hmac(self.digest, key, &[self.name.as_bytes(), b"=", value]);
            seal::same(signature, seal::to_base64_url(&mac).as_bytes())
        });
        if !holds {
            return Err(seal::unsealed());
        }
        super::session(&seal::base64_url(value)?, bounds)
    }
}
