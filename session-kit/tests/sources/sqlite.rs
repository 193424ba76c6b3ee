//! Rows of SQLite.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use session_conformance::testing::{ChildProcess, Shortage, child_args, forked};
use session_kit::handover::perl::cgi_session::Serializer;
use session_kit::handover::php::laravel::{Encrypter, Serialization};
use session_kit::handover::php::session::Handler;
use session_kit::handover::python::beaker;
use session_kit::handover::python::django::Sessions;
use session_kit::handover::rust::cookie::{Key, Security};
use session_kit::handover::rust::{async_session, axum_session, tower_sessions};
use session_kit::handover::{Moment, Rows, SqliteRows, Value, node::express};
use session_kit::{HandoverSource as _, OldId, StoreError, StoreErrorKind};
use tempfile::TempDir;

use crate::{
    DJANGO_SECRET, EXPRESS_ID, EXPRESS_SECRET, LARAVEL_KEY, assert_hides, assert_kind, bytes_of,
    express_request, failure, path_of, reads_and_ends, request, text_of, user_of,
};

const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A copy of a sample, after a statement that fits it to the test.
fn copy(sample: &str, change: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    std::fs::copy(path_of(sample), &path).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(change).unwrap();
    // The samples were written without a log, and an application may use one.
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    (directory, path)
}

fn express() -> express::Cookie {
    express::Cookie::new([EXPRESS_SECRET])
}

fn django() -> Rows {
    Rows::django(Sessions::new([DJANGO_SECRET]), "sessionid")
}

#[tokio::test]
async fn rows_of_each_system_are_read_and_ended() {
    let keys = Encrypter::new([LARAVEL_KEY]).unwrap();
    let renamed = format!("UPDATE sessions SET sid = '{EXPRESS_ID}' WHERE sess LIKE '%\"n\":3%'");
    let cases = [
        ("django/sessions.db", "", django(), request("sessionid=alice0xxxxxxxxxxxxxxxxxxxxxxxxxx")),
        (
            "express/connect-sqlite3.db",
            &*renamed,
            Rows::connect_sqlite3(express(), "connect.sid"),
            express_request(),
        ),
        (
            "express/better-sqlite3-store.db",
            &*renamed,
            Rows::better_sqlite3(express(), "connect.sid"),
            express_request(),
        ),
        (
            "laravel/database.db",
            "",
            Rows::laravel(keys, Serialization::Php, "laravel_session", CENTURY),
            request(&text_of("laravel/cookie-cbc.txt")),
        ),
        (
            "rails/active-record-marshal.db",
            "",
            Rows::rails("_myapp_session").idle("updated_at", Moment::Utc, CENTURY),
            request("_myapp_session=5a296a3780e09a559712b540727d5fa0"),
        ),
        (
            "flask-session/sqlalchemy.db",
            "UPDATE sessions SET expiry = '2100-01-01 00:00:00.000000'",
            Rows::flask_session("session"),
            request("session=9pIJBVvS2aMHHJHawAXgop51WfsfndWPCNDX_ug7dog"),
        ),
        (
            "cgi-session/sqlite.db",
            "",
            Rows::cgi_session("CGISESSID", Serializer::Detect),
            request("CGISESSID=0123456789abcdef0123456789abcdef"),
        ),
        (
            "catalyst/dbi.db",
            "UPDATE sessions SET expires = 4102444800",
            Rows::catalyst("myapp_session"),
            request("myapp_session=b640a3c1072ca0329a213fbfaecbd91c11f5f0c0"),
        ),
        (
            "tower-sessions/sqlx-sqlite.db",
            "",
            Rows::tower_sessions(tower_sessions::cookie(Security::Plain), "id"),
            request("id=AgAAAAAAAAAAAAAAAAAAAA"),
        ),
        (
            "axum-session/plain.db",
            "UPDATE sessions SET expires = 4102444800",
            Rows::axum_session(axum_session::SessionCookie::new(None), "session", None),
            request("session=9f59c38c-bc5f-4024-8947-8bdaca272a26"),
        ),
        (
            "axum-session/encrypted.db",
            "UPDATE sessions SET expires = 4102444800",
            Rows::axum_session(axum_session::SessionCookie::new(None), "session", Key::new(&[9; 64]).ok()),
            request("session=ee2e449b-47db-4d48-b0ab-a4841229ff2e"),
        ),
    ];
    for (sample, change, rows, headers) in cases {
        let (_directory, path) = copy(sample, change);
        let count = |table: &str| -> i64 {
            let connection = Connection::open(&path).unwrap();
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        let table = match sample.split('/').next() {
            Some("django") => "django_session",
            Some("tower-sessions") => "tower_sessions",
            _ => "sessions",
        };
        let before = count(table);
        reads_and_ends(sample, &SqliteRows::new(&path, rows), &headers).await;
        assert_eq!(count(table), before - 1, "{sample}");
    }
}

#[tokio::test]
async fn rows_of_stores_without_a_sample_table_are_read_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    let connection = Connection::open(&path).unwrap();
    let tables = "CREATE TABLE beaker_cache (namespace PRIMARY KEY, data BLOB);
        CREATE TABLE sessions (id PRIMARY KEY, a_session TEXT);
        CREATE TABLE cache (cache_key PRIMARY KEY, value TEXT, expires datetime);
        CREATE TABLE async_sessions (id PRIMARY KEY, expires INTEGER, session TEXT)";
    connection.execute_batch(tables).unwrap();
    let value = STANDARD.encode(bytes_of("django/cache-redis.value"));
    let row = "INSERT INTO cache VALUES (?1, ?2, '2100-01-01 00:00:00')";
    connection.execute(row, [":1:django.contrib.sessions.cachealice0xx", &value]).unwrap();
    connection.execute(row, [":1:other", &value]).unwrap();
    let rows = Rows::django_cache("cache", "sessionid", "", 1);
    let source = SqliteRows::new(&path, rows);
    reads_and_ends("DatabaseCache", &source, &request("sessionid=alice0xx")).await;
    assert!(source.read(&OldId::new(":1:other")).await.unwrap().is_none());

    let row = "INSERT INTO sessions VALUES ('0123456789abcdef0123456789abcdef', ?1)";
    connection.execute(row, [text_of("apache-session/base64.txt")]).unwrap();
    let headers = request("sid=0123456789abcdef0123456789abcdef");
    reads_and_ends("Apache::Session", &SqliteRows::new(&path, Rows::apache_session("sid")), &headers).await;

    let row = "INSERT INTO beaker_cache VALUES ('0123456789abcdef0123456789abcdef', ?1)";
    connection.execute(row, [bytes_of("beaker/database.value")]).unwrap();
    let rows = Rows::beaker(beaker::Sessions::default(), "beaker.session.id", None);
    let headers = request("beaker.session.id=0123456789abcdef0123456789abcdef");
    reads_and_ends("Beaker", &SqliteRows::new(&path, rows), &headers).await;

    let id = "QGsylbGw3DUAESdwWctStfdu9fxP9xcmJDybak0yrZl/WzbsI2Gjq8cjJQop4eHDarEHA3UBR9tlxejlNOrZVw==";
    let row = "INSERT INTO async_sessions VALUES ('GGLjE7HKu7ohF6r4+0gpx0zg4UJjI5ZCREU9e4rZ2Q0=', NULL, ?1)";
    connection.execute(row, [text_of("async-session/session.value")]).unwrap();
    let rows = Rows::async_session(async_session::cookie("sid", Security::Plain), "sid");
    reads_and_ends("async-sqlx-session", &SqliteRows::new(&path, rows), &request(&format!("sid={id}"))).await;
}

#[tokio::test]
async fn row_of_symfony_is_read() {
    let (_directory, path) = copy("symfony/pdo.db", "");
    let source = SqliteRows::new(&path, Rows::symfony("PHPSESSID", Handler::Php));
    let id = source.find(&request("PHPSESSID=fmqkjde8nro1a96hjdgopl1pma")).unwrap();
    let old = source.read(&id).await.unwrap().unwrap();
    let user = old.get("_sf2_attributes").and_then(|values| values.get("user")).and_then(Value::as_text);
    assert_eq!(user, Some("alice"));
}

#[tokio::test]
async fn rows_that_have_ended_are_absent() {
    let (_directory, path) = copy("django/sessions.db", "");
    let source = SqliteRows::new(&path, django());
    assert_eq!(user_of(&source, &request("sessionid=alice2xxxxxxxxxxxxxxxxxxxxxxxxxx")).await, None);
    let (_directory, tower) = copy("tower-sessions/sqlx-sqlite.db", "");
    let rows = Rows::tower_sessions(tower_sessions::cookie(Security::Plain), "id");
    let tower = SqliteRows::new(&tower, rows);
    assert_eq!(user_of(&tower, &request("id=AwAAAAAAAAAAAAAAAAAAAA")).await, None);
    // Of two cookies Django takes the last.
    let both =
        request("sessionid=alice2xxxxxxxxxxxxxxxxxxxxxxxxxx; sessionid=alice0xxxxxxxxxxxxxxxxxxxxxxxxxx");
    assert_eq!(user_of(&source, &both).await.as_deref(), Some("alice"));

    let (_directory, path) = copy("laravel/database.db", "");
    let keys = Encrypter::new([LARAVEL_KEY]).unwrap();
    let rows = Rows::laravel(keys, Serialization::Php, "laravel_session", Duration::from_secs(7_200));
    let headers = request(&text_of("laravel/cookie-cbc.txt"));
    assert_eq!(user_of(&SqliteRows::new(&path, rows), &headers).await, None);
}

#[tokio::test]
async fn text_that_is_no_id_is_none() {
    let source = SqliteRows::new("/absent.db", Rows::connect_sqlite3(express(), "connect.sid"));
    assert_eq!(source.find(&request("other=1")), None);
    let source = SqliteRows::new("/absent.db", django());
    let long = "a".repeat(600);
    for id in ["", "short", "../../etc/passwd", "with space ", &long] {
        assert_eq!(source.find(&request(&format!("sessionid={id}"))), None, "{id}");
    }
}

#[tokio::test]
async fn failures_of_a_database_are_typed_and_hide_ids() {
    let (directory, path) = copy(
        "django/sessions.db",
        "UPDATE django_session SET session_data = 'forged:1xXLOT:hunter2' WHERE session_key LIKE 'alice0%';
         UPDATE django_session SET expire_date = 'hunter2' WHERE session_key LIKE 'alice1%';
         UPDATE django_session SET session_data = hex(zeroblob(4000000)), expire_date = '2100-01-01'
         WHERE session_key LIKE 'alice2%'",
    );
    let source = SqliteRows::new(&path, django()).busy_timeout(Duration::from_millis(50));
    for name in ["alice0", "alice1", "alice2"] {
        let error = failure(&source, &format!("{name}{}", "x".repeat(26))).await;
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{name}: {error:?}");
        assert_hides(&error, &["alice", "hunter2", DJANGO_SECRET]);
    }

    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM django_session").unwrap();
    // In WAL mode a reader does not wait.
    assert!(source.read(&OldId::new("absent")).await.unwrap().is_none());
    let error = source.end(&OldId::new("alice")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    writer.execute_batch("ROLLBACK").unwrap();
    source.end(&OldId::new("alice")).await.unwrap();

    assert_kind(&SqliteRows::new(&path, django().table("absent")), StoreErrorKind::Misconfigured).await;
    assert_kind(&SqliteRows::new(&path, django().table("a\"; DROP")), StoreErrorKind::Misconfigured).await;
    let absent = directory.path().join("absent.db");
    assert_kind(&SqliteRows::new(&absent, django()), StoreErrorKind::Misconfigured).await;
    assert!(!absent.exists(), "reading created a database");
}

const ALICE: &str = "sessionid=alice0xxxxxxxxxxxxxxxxxxxxxxxxxx";

#[tokio::test]
async fn database_that_takes_the_place_of_another_is_read() {
    let (_old, path) = copy("django/sessions.db", "");
    let (_new, other) = copy("django/sessions.db", "DELETE FROM django_session");
    let source = SqliteRows::new(&path, django());
    assert_eq!(user_of(&source, &request(ALICE)).await.as_deref(), Some("alice"));
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).unwrap();
    assert_kind(&source, StoreErrorKind::Misconfigured).await;
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(user_of(&source, &request(ALICE)).await, None);
    std::fs::rename(&away, &path).unwrap();
    assert_eq!(user_of(&source, &request(ALICE)).await.as_deref(), Some("alice"));
}

fn block_on<T>(call: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(call)
}

#[test]
fn shortage_of_descriptors_passes() {
    let test = "sqlite::shortage_of_descriptors_passes";
    if child_args(test).is_none() {
        let _ = ChildProcess::spawn(test, &[]).finish();
        return;
    }
    let (_directory, path) = copy("django/sessions.db", "");
    let source = SqliteRows::new(&path, django());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let shortage = Shortage::begin();
    runtime.block_on(assert_kind(&source, StoreErrorKind::Unavailable));
    drop(shortage);
    assert_eq!(runtime.block_on(user_of(&source, &request(ALICE))).as_deref(), Some("alice"));
}

#[test]
fn forked_child_uses_no_inherited_connection() {
    let test = "sqlite::forked_child_uses_no_inherited_connection";
    if child_args(test).is_none() {
        let _ = ChildProcess::spawn(test, &[]).finish();
        return;
    }
    let (_directory, path) = copy("django/sessions.db", "");
    let source = SqliteRows::new(&path, django());
    let alice = |source: &SqliteRows| block_on(user_of(source, &request(ALICE)));
    assert_eq!(alice(&source).as_deref(), Some("alice"));
    // Neither the inherited source nor a new one, while the parent has the file open.
    let kinds = forked(|| {
        let id = || OldId::new("alice0xxxxxxxxxxxxxxxxxxxxxxxxxx");
        let own = SqliteRows::new(&path, django());
        let calls = || async {
            let kind = |answer: Result<(), StoreError>| answer.unwrap_err().kind();
            let read = kind(source.read(&id()).await.map(drop));
            [read, kind(source.end(&id()).await), kind(own.read(&id()).await.map(drop))]
        };
        let kinds = block_on(calls());
        drop(source.clone());
        format!("{kinds:?}")
    });
    assert_eq!(kinds, format!("{:?}", [StoreErrorKind::Misconfigured; 3]));
    assert_eq!(alice(&source).as_deref(), Some("alice"));
    drop(source);
    let user = forked(|| alice(&SqliteRows::new(&path, django())).unwrap_or_default());
    assert_eq!(user, "alice");
}
