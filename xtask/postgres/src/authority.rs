//! A certificate authority for tests of TLS.

use std::io::{Error, Result};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new authority, which nobody trusts.
    ///
    /// # Errors
    /// No key can be generated.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new()).map_err(Error::other)?;
        // OpenSSL treats a certificate as self-signed where subject and issuer have the same name.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(Error::other)?;
        CertifiedIssuer::self_signed(params, key).map(Self).map_err(Error::other)
    }

    /// Its certificate, as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate made out to a host or a user, and its key, as PEM.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn sign(&self, name: &str) -> Result<(String, String)> {
        self.sign_until(name, 4096)
    }

    /// As [`sign`](Self::sign), with a certificate that expired in the year 2000.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn sign_expired(&self, name: &str) -> Result<(String, String)> {
        self.sign_until(name, 2000)
    }

    fn sign_until(&self, name: &str, year: i32) -> Result<(String, String)> {
        let key = KeyPair::generate().map_err(Error::other)?;
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(Error::other)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(1990, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).map_err(Error::other)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}
