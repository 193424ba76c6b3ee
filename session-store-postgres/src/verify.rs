//! The certificates of the server and of this client.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use session_core::{Operation, Result, StoreError, StoreErrorKind};

use crate::error::Cause;
use crate::sslmode::{Certificates, Pem, SslMode, wrong};

/// rustls' options for a mode. The cryptography is this client's own choice, so no default of the process changes.
pub(crate) fn client(mode: SslMode, certificates: Certificates) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let chain = match mode {
        SslMode::VerifyCa | SslMode::VerifyFull => Some(chain(&provider, certificates.root.as_ref())?),
        SslMode::Disable | SslMode::Prefer | SslMode::Require => None,
    };
    let failed = |cause: Error| wrong("TLS cannot be set up").with_source(Cause::text(cause.to_string()));
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(failed)?;
    let builder = match (mode, chain) {
        (SslMode::VerifyFull, Some(chain)) => builder.with_webpki_verifier(chain),
        (_, chain) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { chain, provider }))
        }
    };
    let mut client = match certificates.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key_error = |_| wrong("the key of the client certificate is not a private key as PEM");
            let key = PrivateKeyDer::from_pem_slice(&read(&key)?).map_err(key_error)?;
            let chain = parse(&read(&certificate)?, "the client certificate is not PEM")?;
            builder.with_client_auth_cert(chain, key).map_err(|cause| {
                wrong("the client certificate does not fit its key")
                    .with_source(Cause::text(cause.to_string()))
            })?
        }
    };
    // PostgreSQL 17 asks for it where TLS begins without a request (`sslnegotiation=direct`).
    client.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(client)
}

/// Checks against the authority of the options, or those of the operating system.
fn chain(provider: &Arc<CryptoProvider>, root: Option<&Pem>) -> Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    match root {
        Some(pem) => {
            for certificate in parse(&read(pem)?, "the root certificate is not PEM")? {
                roots.add(certificate).map_err(|cause| {
                    wrong("the root certificate is malformed").with_source(Cause::text(cause.to_string()))
                })?;
            }
        }
        // Systems have certificates that rustls does not take, so those are left out.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    verifier.build().map_err(|cause| {
        wrong("no authority for the server's certificate was found; name one as `sslrootcert`")
            .with_source(Cause::text(cause.to_string()))
    })
}

fn read(pem: &Pem) -> Result<Vec<u8>> {
    match pem {
        Pem::Text(text) => Ok(text.clone()),
        Pem::File(path) => std::fs::read(path).map_err(|cause| {
            let detail = format!("{path}: {cause}");
            StoreError::new(StoreErrorKind::Misconfigured, Operation::Open)
                .with_detail(detail)
                .with_source(cause)
        }),
    }
}

fn parse(pem: &[u8], or: &str) -> Result<Vec<CertificateDer<'static>>> {
    match CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(wrong(or)),
    }
}

/// Accepts a certificate for any name, and without a chain also of any authority. The server must still have the key of
/// its certificate.
#[derive(Debug)]
struct AnyName {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // rustls checks the name last, so a wrong name means that all else is right.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
