//! The import of each system from each store, with the samples that the real systems wrote.

use std::fs;
use std::path::{Path, PathBuf};

use redis::Commands as _;
use rusqlite::Connection;
use session_kit::handover::perl::catalyst;
use session_kit::handover::python::flask_session;

use crate::{lines, run};

fn sample(name: &str) -> Vec<u8> {
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../session-handover/tests/samples");
    fs::read(samples.join(name)).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(sample(name)).unwrap()
}

/// How many sessions an import takes over, and how many have ended, where none is malformed or lacks a user.
fn import(from: &str, words: &str) -> (u64, u64) {
    let directory = tempfile::tempdir().unwrap();
    let to = format!("sqlite:{}", directory.path().join("new.db").display());
    let words: Vec<&str> = words.split_whitespace().collect();
    let user: &[&str] = if words.contains(&"--user") { &[] } else { &["--user", "user"] };
    let all =
        [&["import", &*to, "--create", "--json", "--from", from, "--system"], &words[..], user].concat();
    let ran = run(&all, "");
    assert_eq!((ran.code, &*ran.err), (0, ""), "{from} {words:?}: {}", ran.out);
    let report = &lines(&ran.out)[0];
    assert_eq!(report["without_user"], 0, "{from} {words:?}: {report}");
    (report["imported"].as_u64().unwrap(), report["ended"].as_u64().unwrap())
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A file with secrets, and the words that name it.
fn secrets(directory: &Path, text: &str) -> String {
    let path = directory.join("secrets");
    fs::write(&path, text).unwrap();
    format!("--secrets {}", path.display())
}

const DJANGO: &str = "django-sample-secret-A-0123456789\n";
const LARAVEL: &str = "0123456789abcdef0123456789abcdef\n";
/// Of samples that hold a moment of their end, which may have passed.
const ENDS_LATER: (u64, u64) = (9, 9);
const LIVES: &str = "UPDATE sessions SET expires = 4102444800";

#[test]
fn tables_of_each_system_are_imported() {
    let axum_key = format!("{}\n", "09".repeat(64));
    for (name, change, secret, words, counts) in [
        ("django/sessions.db", "", DJANGO, "django", (2, 1)),
        (
            "express/connect-sqlite3.db",
            "UPDATE sessions SET expired = 4102444800000",
            "",
            "connect-sqlite3",
            (2, 0),
        ),
        (
            "express/better-sqlite3-store.db",
            "UPDATE sessions SET expire = '2100-01-01'",
            "",
            "better-sqlite3",
            (2, 0),
        ),
        ("laravel/database.db", "", LARAVEL, "laravel --lifetime 4000000000", (1, 0)),
        ("laravel/database.db", "", LARAVEL, "laravel", (0, 1)),
        ("symfony/pdo.db", "", "", "symfony --user _sf2_attributes.user", (1, 0)),
        ("rails/active-record-marshal.db", "", "", "rails", (1, 0)),
        ("rails/active-record-marshal.db", "", "", "rails --lifetime 60", (0, 1)),
        (
            "flask-session/sqlalchemy.db",
            "UPDATE sessions SET expiry = '2100-01-01'",
            "",
            "flask-session",
            (1, 0),
        ),
        ("cgi-session/sqlite.db", "", "", "cgi-session", (1, 0)),
        ("catalyst/dbi.db", LIVES, "", "catalyst", (1, 0)),
        ("tower-sessions/sqlx-sqlite.db", "", "", "tower-sessions", (3, 1)),
        ("axum-session/plain.db", LIVES, "", "axum-session", (1, 0)),
        ("axum-session/encrypted.db", LIVES, &*axum_key, "axum-session", (1, 0)),
        ("axum-session/encrypted.db", "UPDATE sessions SET expires = 1", &*axum_key, "axum-session", (0, 1)),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old.db");
        fs::write(&path, sample(name)).unwrap();
        Connection::open(&path).unwrap().execute_batch(change).unwrap();
        let secret = if secret.is_empty() { String::new() } else { secrets(directory.path(), secret) };
        let from = format!("sqlite:{}", path.display());
        assert_eq!(import(&from, &format!("{words} {secret}")), counts, "{name} {words}");
    }
}

#[test]
fn tables_of_values_are_imported() {
    for (table, words, name) in [
        ("CREATE TABLE beaker_cache (namespace PRIMARY KEY, data BLOB)", "beaker", "beaker/database.value"),
        (
            "CREATE TABLE sessions (id PRIMARY KEY, a_session TEXT)",
            "apache-session",
            "apache-session/base64.txt",
        ),
        (
            "CREATE TABLE visitors (id PRIMARY KEY, a_session TEXT)",
            "apache-session --place visitors",
            "apache-session/base64.txt",
        ),
        (
            "CREATE TABLE async_sessions (id PRIMARY KEY, session TEXT)",
            "async-session",
            "async-session/session.value",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(table).unwrap();
        let into = table.split_whitespace().nth(2).unwrap();
        let row = format!("INSERT INTO {into} VALUES ('0123456789abcdef0123456789abcdef', ?1)");
        connection.execute(&row, [sample(name)]).unwrap();
        assert_eq!(import(&format!("sqlite:{}", path.display()), words), (1, 0), "{words}");
    }
}

#[test]
fn files_of_each_system_are_imported() {
    let beaker = "beaker-validate-A\nbeaker-encrypt-A\n";
    let id = "0123456789abcdef0123456789abcdef";
    let flask = flask_session::file_name("session:one");
    for (path, name, secret, words, counts) in [
        ("sess_one", "php/basic.sess", "", "php", (1, 0)),
        ("a/b/sess_abc", "php/basic-serialize.sess", "", "php --levels 2 --handler php-serialize", (1, 0)),
        ("sess_one", "php/basic-igbinary.igb", "", "php --handler igbinary", (1, 0)),
        ("sess_one", "symfony/native.sess", "", "symfony --user _sf2_attributes.user", (1, 0)),
        ("sessionidone", "django/db-basic.txt", "django-sample-secret-A-0123456789\n", "django", (1, 0)),
        ("one.json", "express/file-store.value", "", "session-file-store --lifetime 4000000000", (1, 0)),
        ("one.json", "express/file-store.value", "", "session-file-store", (0, 1)),
        ("one", "laravel/file.sess", LARAVEL, "laravel", (1, 0)),
        ("one", "laravel/file-json.sess", LARAVEL, "laravel --serialization json", (1, 0)),
        (&*flask, "flask-session/file.cachelib", "", "flask-session", ENDS_LATER),
        (&*format!("0/01/{id}.cache"), "beaker/file-pickle.cache", "", "beaker", (1, 0)),
        (&*format!("0/01/{id}.cache"), "beaker/file-pickle.cache", "", "beaker --lifetime 60", (0, 1)),
        (&*format!("0/01/{id}.cache"), "beaker/file-encrypted.cache", beaker, "beaker", (1, 0)),
        (&*format!("cgisess_{id}"), "cgi-session/basic.dump", "", "cgi-session", (1, 0)),
        (&*format!("cgisess_{id}"), "cgi-session/storable.storable", "", "cgi-session", (1, 0)),
        (&*format!("cgisess_{id}"), "cgi-session/yaml.yml", "", "cgi-session", (1, 0)),
        (id, "plack/file.storable", "", "plack", (1, 0)),
        (id, "plack/file.storable", "", "apache-session --locks /nowhere", (1, 0)),
        (id, "plack/file.storable", "", "apache-session --lifetime 60", (1, 0)),
        ("one.yml", "dancer/session.yml", "", "dancer", (1, 0)),
        ("one.yml", "dancer2/session.yml", "", "dancer", (1, 0)),
        ("one.djcache", "django/cache-file.djcache", "", "django-cache", ENDS_LATER),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let old = directory.path().join("old");
        write(&old.join(path), &sample(name));
        let secret = if secret.is_empty() { String::new() } else { secrets(directory.path(), secret) };
        let from = format!("files:{}", old.display());
        let found = import(&from, &format!("{words} {secret}"));
        if counts == ENDS_LATER {
            assert_eq!(found.0 + found.1, 1, "{name} {words}");
        } else {
            assert_eq!(found, counts, "{name} {words}");
        }
    }
}

#[test]
fn catalyst_files_and_fastmmap_are_imported() {
    let directory = tempfile::tempdir().unwrap();
    let id = "df88b9d839561226c06c743b764ccefdbdff8349";
    let path = |key: &str| directory.path().join("files").join(catalyst::file_path(&format!("{key}:{id}")));
    write(&path("session"), &sample("catalyst/file-session.storable"));
    let mut end = sample("catalyst/file-expires.storable");
    replace(&mut end, &1_795_887_333_u32.to_be_bytes(), &2_000_000_000_u32.to_be_bytes());
    write(&path("expires"), &end);
    let from = format!("files:{}", directory.path().join("files").display());
    // The file with the end is listed too, and is no session.
    assert_eq!(import(&from, "catalyst"), (1, 1));

    let file = directory.path().join("session_data");
    let from = format!("fastmmap:{}", file.display());
    let mut pages = sample("catalyst/fastmmap.fm");
    fs::write(&file, &pages).unwrap();
    assert_eq!(import(&from, "catalyst"), (0, 1));
    replace(&mut pages, &1_795_887_334_u64.to_le_bytes(), &4_102_444_800_u64.to_le_bytes());
    fs::write(&file, &pages).unwrap();
    assert_eq!(import(&from, "catalyst"), (1, 0));
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn values_of_redis_of_each_system_are_imported() {
    let server = xtask_redis::Server::start(xtask_redis::Options::new()).unwrap();
    let mut redis = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let laravel = secrets(directory.path(), LARAVEL);
    let cached = format!("s:{}:\"{}\";", text("laravel/file.sess").len(), text("laravel/file.sess"));
    let actix = br#"{"user":"\"alice\""}"#;
    for (key, value, words) in [
        ("PHPREDIS_SESSION:one", sample("php/redis.value"), "php"),
        ("PHPREDIS_SESSION:one", sample("php/basic-msgpack.mpk"), "php --handler msgpack"),
        ("sf_sone", sample("symfony/native.sess"), "symfony --user _sf2_attributes.user"),
        ("sess:one", sample("express/connect-redis.value"), "connect-redis"),
        (":1:django.contrib.sessions.cachealice0xx", sample("django/cache-redis.value"), "django"),
        ("laravel_database_laravel_cache_one", cached.into_bytes(), &*format!("laravel {laravel}")),
        ("app:_session_id:2::aa", sample("rails/cache-redis-7.2.value"), "rails --place app:_session_id:"),
        ("rack:session:2::aa", sample("rack/redis.value"), "rack"),
        ("session:one", sample("flask-session/redis-msgpack.value"), "flask-session"),
        ("beaker_cache:aa:session", sample("beaker/redis.value"), "beaker"),
        ("session:68b65bfa", sample("catalyst/redis-session.txt"), "catalyst"),
        ("C84NEuuxyfj0GZQAkhJz7g", sample("tower-sessions/redis.msgpack"), "tower-sessions"),
        ("a-key-of-64-characters", actix.to_vec(), "actix-session"),
        (
            "GGLjE7HKu7ohF6r4+0gpx0zg4UJjI5ZCREU9e4rZ2Q0=",
            sample("async-session/session.value"),
            "async-session",
        ),
    ] {
        let _: () = redis::cmd("FLUSHALL").query(&mut redis).unwrap();
        let _: () = redis.set_ex(key, value, 600).unwrap();
        assert_eq!(import(&server.url(), words), (1, 0), "{words}");
    }
}

#[test]
fn rows_of_postgresql_are_imported() {
    let server = xtask_postgres::Server::start(xtask_postgres::Options::new()).unwrap();
    let session = r#"{"cookie":{"path":"/"},"user":"alice"}"#;
    let django = text("django/db-basic.txt");
    let apache = text("apache-session/base64.txt");
    server
        .sql(&format!(
            r#"CREATE TABLE "session" (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL);
               INSERT INTO "session" VALUES ('one', '{session}', now() + interval '1 hour'),
                 ('two', '{session}', now() - interval '1 hour');
               CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text NOT NULL,
                 expire_date timestamp with time zone NOT NULL);
               INSERT INTO django_session VALUES ('one', '{django}', now() + interval '1 hour');
               CREATE TABLE sessions (id char(32) PRIMARY KEY, a_session text);
               INSERT INTO sessions VALUES ('0123456789abcdef0123456789abcdef', '{apache}')"#
        ))
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let secret = secrets(directory.path(), DJANGO);
    assert_eq!(import(&server.url(), "connect-pg-simple"), (1, 1));
    assert_eq!(import(&server.url(), &format!("django {secret}")), (1, 0));
    assert_eq!(import(&server.url(), "apache-session"), (1, 0));
}

#[test]
fn settings_that_a_system_does_not_have_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let secret = secrets(directory.path(), "not hexadecimal\n");
    let to = format!("sqlite:{}", directory.path().join("new.db").display());
    for (from, words, message) in [
        ("sqlite:old.db", format!("axum-session {secret}"), "--secrets: the database key is one line"),
        ("sqlite:old.db", "beaker --serialization php".to_owned(), "Beaker has no --serialization php"),
        ("sqlite:old.db", format!("beaker {secret}"), "--secrets: two lines, session.validate_key"),
        ("files:old", "laravel --serialization pickle".to_owned(), "Laravel has no --serialization pickle"),
        ("files:old", "axum-session".to_owned(), "this system has no files"),
        ("fastmmap:old", "plack".to_owned(), "only Catalyst has sessions in such a file"),
        ("redis://127.0.0.1:1", "apache-session".to_owned(), "this system does not use Redis"),
    ] {
        let words: Vec<&str> = words.split_whitespace().collect();
        let ran =
            run(&[&["import", &*to, "--user", "user", "--from", from, "--system"], &words[..]].concat(), "");
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.err);
        assert!(ran.err.contains(message), "{words:?}: {}", ran.err);
    }
}
