//! TLS, against a server with a certificate of the test's own authority.

use std::path::{Path, PathBuf};

use session_core::Applied::No;
use session_core::StoreErrorKind::{Misconfigured, Timeout, Unavailable};
use session_core::{Condition, Driver};
use session_store_postgres::{PostgresConfig, PostgresStore, SslMode};
use tempfile::TempDir;
use tokio_postgres::NoTls;
use xtask_postgres::{Authority, Options, Server};

use crate::{config, fails, key, lock, put, raw, record, waiting};

/// The superuser is trusted. The role `app` needs TLS, and the role `device` also a certificate with its name.
const RULES: &str = "host all postgres 127.0.0.1/32 trust\n\
                     hostssl all app 127.0.0.1/32 trust\n\
                     hostssl all device 127.0.0.1/32 cert\n";

struct Tls {
    server: Server,
    authority: Authority,
    directory: TempDir,
}

impl Tls {
    fn new(sign: impl Fn(&Authority) -> (String, String)) -> Self {
        let authority = Authority::new().unwrap();
        let (certificate, secret) = sign(&authority);
        let options = Options::new().tls(&certificate, &secret, &authority.pem()).accept(RULES);
        let server = Server::start(options).unwrap();
        let table = PostgresConfig::new("").sql().unwrap();
        let rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO app, device";
        server.sql(&format!("CREATE ROLE app LOGIN; CREATE ROLE device LOGIN; {table}; {rights}")).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let this = Self { server, authority, directory };
        this.file("ca.pem", &this.authority.pem());
        this
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn root(&self) -> String {
        encoded(&self.directory.path().join("ca.pem"))
    }

    /// The URL of a role, with these options.
    fn url(&self, role: &str, options: &str) -> String {
        format!("{}?{options}", self.server.url_of(role))
    }

    async fn open(&self, options: &str) -> Result<PostgresStore, session_core::StoreError> {
        PostgresStore::open(config(self.url("app", options))).await
    }

    /// The part of the role's connections that is encrypted.
    fn encrypted(&self) -> String {
        let sql =
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app'";
        self.server.sql(sql).unwrap()
    }
}

fn encoded(path: &Path) -> String {
    path.display().to_string().replace('/', "%2F")
}

/// Opens and uses a store.
async fn works(tls: &Tls, options: &str) {
    let store = tls.open(options).await.unwrap_or_else(|error| panic!("{options}: {error:?}"));
    put(&store, &key("a"), record(1)).await;
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)), "{options}");
    assert_eq!(tls.encrypted(), "t", "{options}");
}

async fn refused(tls: &Tls, options: &str, text: &str) {
    let error = tls.open(options).await.expect_err(options);
    assert_eq!((error.kind(), error.applied()), (Misconfigured, No), "{options}: {error:?}");
    let shown = format!("{error:?}");
    assert!(shown.contains(text), "{options}: {shown}");
}

#[tokio::test]
async fn right_certificate_passes_every_mode() {
    let tls = Tls::new(|authority| authority.sign("127.0.0.1").unwrap());
    let root = format!("sslrootcert={}", tls.root());
    for mode in ["sslmode=prefer", "sslmode=require"] {
        works(&tls, mode).await;
    }
    for mode in ["", "sslmode=require&", "sslmode=verify-ca&", "sslmode=verify-full&"] {
        works(&tls, &format!("{mode}{root}")).await;
    }
    let passed =
        config(tls.url("app", "")).root_certificate(tls.authority.pem()).sslmode(SslMode::VerifyFull);
    put(&PostgresStore::open(passed).await.unwrap(), &key("b"), record(2)).await;
    // The role needs TLS.
    refused(&tls, "sslmode=disable", "no encryption").await;
}

#[tokio::test]
async fn foreign_authority_is_refused() {
    let tls = Tls::new(|authority| authority.sign("127.0.0.1").unwrap());
    let foreign = encoded(&tls.file("foreign.pem", &Authority::new().unwrap().pem()));
    for options in [
        "sslmode=verify-full".to_owned(),
        format!("sslmode=verify-full&sslrootcert={foreign}"),
        format!("sslmode=verify-ca&sslrootcert={foreign}"),
        format!("sslmode=require&sslrootcert={foreign}"),
    ] {
        refused(&tls, &options, "invalid peer certificate").await;
    }
}

#[tokio::test]
async fn certificate_of_another_host_is_refused() {
    let tls = Tls::new(|authority| authority.sign("another.example").unwrap());
    let root = tls.root();
    refused(&tls, &format!("sslmode=verify-full&sslrootcert={root}"), "not valid for name").await;
    // This mode checks the authority only, as in libpq.
    works(&tls, &format!("sslmode=verify-ca&sslrootcert={root}")).await;
}

#[tokio::test]
async fn expired_certificate_is_refused() {
    // Its name is wrong too, which does not hide the rest from `verify-ca`.
    let tls = Tls::new(|authority| authority.sign_expired("another.example").unwrap());
    for mode in ["verify-full", "verify-ca", "require"] {
        refused(&tls, &format!("sslmode={mode}&sslrootcert={}", tls.root()), "expired").await;
    }
    works(&tls, "sslmode=require").await;
}

#[tokio::test]
async fn client_certificate_is_sent_on_request() {
    let tls = Tls::new(|authority| authority.sign("127.0.0.1").unwrap());
    let (certificate, secret) = tls.authority.sign("device").unwrap();
    let with = |certificate: &str, secret: &str| {
        let config = config(tls.url("device", &format!("sslrootcert={}", tls.root())));
        PostgresStore::open(config.client_certificate(certificate, secret))
    };
    put(&with(&certificate, &secret).await.unwrap(), &key("a"), record(1)).await;
    let files =
        [tls.file("device.pem", &certificate), tls.file("device.key", &secret)].map(|path| encoded(&path));
    let options = format!("sslrootcert={}&sslcert={}&sslkey={}", tls.root(), files[0], files[1]);
    put(&PostgresStore::open(config(tls.url("device", &options))).await.unwrap(), &key("a"), record(1)).await;

    let without = config(tls.url("device", &format!("sslrootcert={}", tls.root())));
    fails(PostgresStore::open(without.clone()).await, Misconfigured, No);
    let (other, other_secret) = tls.authority.sign("other").unwrap();
    fails(with(&other, &other_secret).await, Misconfigured, No);
    // Where the server ends the connection before its reason arrives, only the end is known.
    let (foreign, foreign_secret) = Authority::new().unwrap().sign("device").unwrap();
    let error = with(&foreign, &foreign_secret).await.unwrap_err();
    assert!([Misconfigured, Unavailable].contains(&error.kind()), "{error:?}");
    fails(with(&certificate, &other_secret).await, Misconfigured, No);
    fails(with("no certificate", &secret).await, Misconfigured, No);
    fails(with(&certificate, "no key").await, Misconfigured, No);
    assert!(!format!("{:?}", without.client_certificate(certificate, secret)).contains("BEGIN"));
}

#[tokio::test]
async fn unreadable_certificates_are_refused() {
    let tls = Tls::new(|authority| authority.sign("127.0.0.1").unwrap());
    let text = encoded(&tls.file("text.pem", "no certificate"));
    for (options, said) in [
        ("sslrootcert=%2Fmissing.pem", "/missing.pem: No such file"),
        (&*format!("sslrootcert={text}"), "the root certificate is not PEM"),
        ("sslmode=verify-ca", "name the file of your authority"),
        ("sslcert=%2Fa.pem", "belong together"),
    ] {
        refused(&tls, options, said).await;
    }
}

/// A server without TLS, and a server that accepts the connection and never answers.
#[tokio::test]
async fn server_without_tls_is_refused_unless_preferred() {
    let server = crate::server();
    let url = |options: &str| config(format!("{}?{options}", server.url()));
    fails(PostgresStore::open(url("sslmode=require")).await, Misconfigured, No);
    fails(PostgresStore::open(url("sslmode=verify-full")).await, Misconfigured, No);
    put(&PostgresStore::open(url("sslmode=prefer")).await.unwrap(), &key("a"), record(1)).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("postgres://app@{}/app?sslmode=require", silent.local_addr().unwrap());
    let limit = std::time::Duration::from_millis(300);
    let silent = PostgresConfig::new(silent).response_timeout(limit).connect_timeout(limit);
    fails(PostgresStore::open(silent).await, Timeout, No);
}

/// An abandoned change is awaited, and a lost connection replaced, over TLS too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_and_lost_connections_stay_encrypted() {
    let tls = Tls::new(|authority| authority.sign("127.0.0.1").unwrap());
    let store = tls.open(&format!("sslrootcert={}", tls.root())).await.unwrap();
    put(&store, &key("a"), record(1)).await;
    let other = raw(&tls.server.url()).await;
    lock(&other, &key("a")).await;
    let change = tokio::spawn({
        let store = store.clone();
        async move { store.store(&key("a"), record(2), Condition::Any).await }
    });
    waiting(&other).await;
    change.abort();
    other.batch_execute("COMMIT").await.unwrap();
    put(&store, &key("a"), record(3)).await;
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(3)));
    let all = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE usename = 'app'";
    tls.server.sql(all).unwrap();
    put(&store, &key("a"), record(4)).await;
    assert_eq!(tls.encrypted(), "t");
    // The role cannot come in without TLS.
    assert!(tokio_postgres::connect(&tls.url("app", "sslmode=disable"), NoTls).await.is_err());
}
