//! Sources of old sessions against real files, SQLite, Redis and PostgreSQL, with the samples that the real systems wrote.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(clippy::print_stdout, reason = "the child of a test reports to it")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

mod cookies;
#[cfg(unix)]
mod fastmmap;
mod files;
mod forged;
mod import;
mod laravel;
mod long;
mod postgres;
mod redis;
mod sqlite;

use std::path::PathBuf;

use axum::http::{HeaderMap, HeaderValue, header};
use session_kit::handover::Value;
use session_kit::{HandoverSource, OldId, StoreError, StoreErrorKind};

/// The id in the sample `express/cookie-signed`.
const EXPRESS_ID: &str = "xWTEaSXaLWPmWNQmfs6WsFBwZTjEiuyk";
const EXPRESS_SECRET: &str = "express-sample-secret-A";
const DJANGO_SECRET: &str = "django-sample-secret-A-0123456789";
const LARAVEL_KEY: &str = "0123456789abcdef0123456789abcdef";
const LARAVEL_ID: &str = "Abcd1234Abcd1234Abcd1234Abcd1234Abcd1234";

fn path_of(sample: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../session-handover/tests/samples").join(sample)
}

fn bytes_of(sample: &str) -> Vec<u8> {
    std::fs::read(path_of(sample)).unwrap()
}

fn text_of(sample: &str) -> String {
    String::from_utf8(bytes_of(sample)).unwrap().trim_end().to_owned()
}

/// A request with these cookies.
fn request(cookies: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookies).unwrap())])
}

/// The request that the sample of Express' cookie belongs to.
fn express_request() -> HeaderMap {
    request(&format!("other=1; {}", text_of("express/cookie-signed.txt")))
}

/// The value `user` of the session that a request presents.
async fn user_of(source: &impl HandoverSource<Old = Value>, headers: &HeaderMap) -> Option<String> {
    let id = source.find(headers)?;
    let old = source.read(&id).await.unwrap()?;
    Some(old.get("user").and_then(Value::as_text).unwrap_or_default().to_owned())
}

/// Reads the session of alice, ends it, and finds that it has gone.
async fn reads_and_ends(about: &str, source: &impl HandoverSource<Old = Value>, headers: &HeaderMap) {
    assert_eq!(user_of(source, headers).await.as_deref(), Some("alice"), "{about}");
    let id = source.find(headers).unwrap();
    source.end(&id).await.unwrap();
    assert_eq!(user_of(source, headers).await, None, "{about}");
    // An absent session is no error.
    source.end(&id).await.unwrap();
}

async fn failure(source: &impl HandoverSource<Old = Value>, id: &str) -> StoreError {
    source.read(&OldId::new(id)).await.unwrap_err()
}

/// An error says nothing of the session.
fn assert_hides(error: &StoreError, secrets: &[&str]) {
    let mut texts = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        texts += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    for secret in secrets {
        assert!(!texts.contains(secret), "{texts}");
    }
}

async fn assert_kind(source: &impl HandoverSource<Old = Value>, kind: StoreErrorKind) {
    let error = failure(source, "an-id-that-no-error-shows").await;
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_hides(&error, &["an-id-that", "hunter2"]);
}
