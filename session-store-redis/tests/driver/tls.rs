//! TLS, with a certificate authority made for the test.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use session_core::StoreErrorKind::Misconfigured;
use session_core::{Applied, Condition, Driver, StoreErrorKind};
use session_store_redis::{RedisConfig, RedisStore};
use tempfile::TempDir;
use xtask_redis::{Options, Server};

use crate::{fails, key, put, record};

/// A certificate authority, and certificates of the server and the client.
struct Certificates {
    directory: TempDir,
    authority: String,
    client: (String, String),
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // OpenSSL treats a certificate as self-signed where subject and issuer have the same name.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(names.clone()).unwrap();
            params.distinguished_name.push(DnType::CommonName, names[0].clone());
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        let directory = tempfile::tempdir().unwrap();
        let (server, client) = (signed(&["127.0.0.1", "localhost"]), signed(&["app"]));
        let authority = issuer.pem();
        for (name, text) in [("ca.pem", &authority), ("server.pem", &server.0), ("server.key", &server.1)] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Self { directory, authority, client }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `None` where the server of this run was built without TLS, as some packages are.
    fn server(&self, asks: bool) -> Option<Server> {
        let authority = self.path("ca.pem");
        let options = Options::new();
        let options =
            options.tls(&self.path("server.pem"), &self.path("server.key"), asks.then_some(&*authority));
        match Server::start(options) {
            Err(error)
                if ["Failed finding TLS support", "'tls-port"]
                    .iter()
                    .any(|text| error.to_string().contains(text)) =>
            {
                println!("not tried: this server was built without TLS");
                None
            }
            server => Some(server.unwrap()),
        }
    }
}

#[tokio::test]
async fn server_signed_by_the_named_authority_is_trusted() {
    let certificates = Certificates::new();
    let Some(server) = certificates.server(false) else { return };
    assert!(server.url().starts_with("rediss://"));
    let trusting = RedisConfig::new(server.url()).root_certificate(certificates.authority.as_str());
    let store = RedisStore::open(trusting).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));

    for authority in [None, Some(Certificates::new().authority), Some("no certificate".into())] {
        let config = RedisConfig::new(server.url());
        let config = authority.into_iter().fold(config, RedisConfig::root_certificate);
        fails(RedisStore::open(config).await, Misconfigured, Applied::No);
    }
    let plain = server.url().replace("rediss", "redis");
    assert!(RedisStore::open(RedisConfig::new(plain)).await.is_err());
}

#[tokio::test]
async fn client_certificate_is_sent_on_request() {
    let certificates = Certificates::new();
    let Some(server) = certificates.server(true) else { return };
    let trusting = || RedisConfig::new(server.url()).root_certificate(certificates.authority.as_str());
    let (certificate, secret) = certificates.client.clone();
    let store = RedisStore::open(trusting().client_certificate(certificate, secret)).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    assert!(RedisStore::open(trusting()).await.is_err());
    assert!(!format!("{:?}", trusting()).contains("BEGIN"));
}

#[tokio::test]
async fn server_without_tls_times_out() {
    let server = crate::server();
    let url = server.url().replace("redis:", "rediss:");
    let error = RedisStore::open(RedisConfig::new(url)).await.unwrap_err();
    // Redis waits for the end of a line.
    assert_eq!(error.kind(), StoreErrorKind::Timeout, "{error:?}");
}
