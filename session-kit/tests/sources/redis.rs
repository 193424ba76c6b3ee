//! Values of Redis.

use std::time::Duration;

use redis::Commands as _;
use session_kit::handover::php::laravel::{Encrypter, Serialization};
use session_kit::handover::php::session::Handler;
use session_kit::handover::python::{beaker, flask_session};
use session_kit::handover::rust::cookie::{Key, Security};
use session_kit::handover::rust::{actix_session, async_session, tower_sessions};
use session_kit::handover::{Entries, RedisEntries, System, Value, node::express};
use session_kit::{HandoverSource as _, OldId, StoreErrorKind};
use xtask_redis::{Options, Server};

use crate::{
    EXPRESS_ID, EXPRESS_SECRET, LARAVEL_ID, LARAVEL_KEY, assert_kind, bytes_of, express_request, failure,
    reads_and_ends, request, text_of, user_of,
};

const ACTIX_KEY: &str = "yvG3UYw9USE8X72mDyVyj9CVsKo33jqxBjhG57AjVSYgdTu3cA7CzprmhYimucsh";
const ASYNC_COOKIE: &str =
    "sid=QGsylbGw3DUAESdwWctStfdu9fxP9xcmJDybak0yrZl/WzbsI2Gjq8cjJQop4eHDarEHA3UBR9tlxejlNOrZVw==";
const PHP_KEY: &str = "PHPREDIS_SESSION:redissample0001";

fn start() -> (Server, redis::Connection) {
    let server = Server::start(Options::new()).unwrap();
    let connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    (server, connection)
}

fn php() -> Entries {
    Entries::php("PHPSESSID", Handler::Php)
}

#[tokio::test]
async fn values_of_each_system_are_read_and_ended() {
    let (server, mut redis) = start();
    let keys = Encrypter::new([LARAVEL_KEY]).unwrap();
    let signed = |system: System| {
        system
            .verified("session", |value| flask_session::unsign_id(b"flask-sample-secret-A", value.as_bytes()))
    };
    let cases = [
        ("php/redis.value", PHP_KEY.to_owned(), php(), request("PHPSESSID=redissample0001")),
        (
            "php/basic-msgpack.mpk",
            "PHPREDIS_SESSION:packed".to_owned(),
            Entries::php("PHPSESSID", Handler::Msgpack),
            request("PHPSESSID=packed"),
        ),
        (
            "php/basic-igbinary.igb",
            "PHPREDIS_SESSION:packed".to_owned(),
            Entries::php("PHPSESSID", Handler::Igbinary),
            request("PHPSESSID=packed"),
        ),
        (
            "catalyst/redis-session.txt",
            "session:68b65bfa8431acd96bbdf9e16613aa1d9cfe7b53".to_owned(),
            Entries::catalyst("myapp_session"),
            request("myapp_session=68b65bfa8431acd96bbdf9e16613aa1d9cfe7b53"),
        ),
        (
            "tower-sessions/redis.msgpack",
            "C84NEuuxyfj0GZQAkhJz7g".to_owned(),
            Entries::tower_sessions(tower_sessions::cookie(Security::Plain), "id"),
            request("id=C84NEuuxyfj0GZQAkhJz7g"),
        ),
        (
            "beaker/redis.value",
            "beaker_cache:0123456789abcdef0123456789abcdef:session".to_owned(),
            Entries::beaker(beaker::Sessions::default(), "beaker.session.id", None),
            request("beaker.session.id=0123456789abcdef0123456789abcdef"),
        ),
        (
            "async-session/session.value",
            "GGLjE7HKu7ohF6r4+0gpx0zg4UJjI5ZCREU9e4rZ2Q0=".to_owned(),
            Entries::async_session(async_session::cookie("sid", Security::Plain), "sid"),
            request(ASYNC_COOKIE),
        ),
        (
            "express/connect-redis.value",
            format!("sess:{EXPRESS_ID}"),
            Entries::express(express::Cookie::new([EXPRESS_SECRET]), "connect.sid"),
            express_request(),
        ),
        (
            "django/cache-redis.value",
            ":1:django.contrib.sessions.cachealice0xx".to_owned(),
            Entries::django("sessionid", "", 1),
            request("sessionid=alice0xx"),
        ),
        (
            "rails/cache-redis-7.2.value",
            "app:_session_id:2::520fbe06c6cbac29425b90803d0b5a3dc651ae4ba5cfa00e01a89e9ceac764f0".to_owned(),
            Entries::rails("_myapp_session", "app"),
            request("_myapp_session=d7f9f29c6b45c21202f55b991762b4c5"),
        ),
        (
            "rack/redis.value",
            "rack:session:2::0a297f2899081a53898b2456c3336624f66c61a0e26496aa05e74ed4122f64c1".to_owned(),
            Entries::rack("rack.session", "rack:session:"),
            request("rack.session=d9cadae96f4422518d70d539685679cd883dc4edd5bd6f7965e763cdf91ca3f4"),
        ),
        (
            "flask-session/redis-msgpack.value",
            "session:A5y2eILXvfONyI-CNakEzqK7W5ARhqGYkfKNT0M50dQ".to_owned(),
            Entries::flask_session("session"),
            request("session=A5y2eILXvfONyI-CNakEzqK7W5ARhqGYkfKNT0M50dQ"),
        ),
        (
            "flask-session/redis-signed-id.value",
            "session:-lN4dqXst2emPJ9wZrMNLUmkJDiJd0ORTOd5qSwH8Hs".to_owned(),
            Entries::flask_session("session").system(signed),
            request("session=-lN4dqXst2emPJ9wZrMNLUmkJDiJd0ORTOd5qSwH8Hs.dQ0SKwWPBrNb9x6pKDCER26XBj0"),
        ),
    ];
    for (sample, key, entries, headers) in cases {
        let _: () = redis.set(&key, bytes_of(sample)).unwrap();
        let _: () = redis.set(format!("{key}x"), "another session").unwrap();
        let source = RedisEntries::new(&server.url(), entries).unwrap();
        reads_and_ends(sample, &source, &headers).await;
        assert!(!redis.exists::<_, bool>(&key).unwrap());
        assert!(redis.exists::<_, bool>(format!("{key}x")).unwrap());
        assert!(!redis.exists::<_, bool>(format!("{key}_LOCK")).unwrap());
    }

    // A signed cookie that holds the key.
    let _: () = redis.set(ACTIX_KEY, r#"{"user":"\"alice\""}"#).unwrap();
    let key = Key::new(&[7; 64]).unwrap();
    let entries = Entries::actix_session(actix_session::cookie(Security::Signed(key)), "id");
    let source = RedisEntries::new(&server.url(), entries).unwrap();
    let headers = request(&text_of("actix-session/redis-cookie-signed.txt"));
    reads_and_ends("actix-session", &source, &headers).await;

    // A cache of Laravel serializes the text of the session once more.
    let session = "a:1:{s:4:\"user\";s:5:\"alice\";}";
    let key = format!("laravel_{LARAVEL_ID}");
    let _: () = redis.set(key, format!("s:{}:\"{session}\";", session.len())).unwrap();
    let entries = Entries::laravel(keys, Serialization::Php, "laravel_session", "laravel_");
    let source = RedisEntries::new(&server.url(), entries).unwrap();
    reads_and_ends("laravel", &source, &request(&text_of("laravel/cookie-cbc.txt"))).await;
}

#[tokio::test]
async fn value_of_symfony_is_read() {
    let (server, mut redis) = start();
    let _: () = redis.set("sf_sabc", bytes_of("symfony/native.sess")).unwrap();
    // The key of a lock of phpredis is no lock of Symfony.
    let _: () = redis.set("sf_sabc_LOCK", "host|1").unwrap();
    let source = RedisEntries::new(&server.url(), Entries::symfony("PHPSESSID", Handler::Php)).unwrap();
    let id = source.find(&request("PHPSESSID=abc")).unwrap();
    let old = source.read(&id).await.unwrap().unwrap();
    let user = old.get("_sf2_attributes").and_then(|values| values.get("user")).and_then(Value::as_text);
    assert_eq!(user, Some("alice"));
}

#[tokio::test]
async fn empty_session_is_not_absent() {
    let (server, mut redis) = start();
    let source = RedisEntries::new(&server.url(), php()).unwrap();
    let read = async |id: &str| source.read(&OldId::new(id)).await;
    let _: () = redis.set("PHPREDIS_SESSION:redissample0002", bytes_of("php/redis-empty.value")).unwrap();
    assert_eq!(read("redissample0002").await.unwrap(), Some(Value::Map(Vec::new())));
    assert_eq!(read("redissample0003").await.unwrap(), None);
    // JSON of no bytes is damaged.
    let entries = Entries::express(express::Cookie::new([EXPRESS_SECRET]), "connect.sid");
    let source = RedisEntries::new(&server.url(), entries).unwrap();
    let _: () = redis.set("sess:empty", "").unwrap();
    assert_eq!(failure(&source, "empty").await.kind(), StoreErrorKind::Corrupt);
    assert!(source.read(&OldId::new("absent")).await.unwrap().is_none());
}

#[tokio::test]
async fn lock_of_phpredis_is_respected() {
    let (server, mut redis) = start();
    let value = bytes_of("php/redis.value");
    let lock = format!("{PHP_KEY}_LOCK");
    let headers = request("PHPSESSID=redissample0001");
    // The test is about locks, and not about a slow machine.
    let patience = Duration::from_secs(60);
    let source = RedisEntries::new(&server.url(), php()).unwrap();
    let source = source.response_timeout(patience).lock_timeout(patience);

    let _: () = redis.set(PHP_KEY, &value).unwrap();
    let _: () = redis.set(&lock, "host|1234").unwrap();
    let id = source.find(&headers).unwrap();
    for work in ["read", "end"] {
        let (other, of) = (source.clone(), id.clone());
        let waits = tokio::spawn(async move {
            if work == "read" { other.read(&of).await.map(drop) } else { other.end(&of).await }
        });
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(!waits.is_finished(), "{work} did not wait for the script");
        assert_eq!(redis.get::<_, Vec<u8>>(PHP_KEY).unwrap(), value);
        let _: () = redis.del(&lock).unwrap();
        waits.await.unwrap().unwrap();
        let _: () = redis.set(&lock, "host|1234").unwrap();
    }
    assert!(!redis.exists::<_, bool>(PHP_KEY).unwrap());
    // The lock of a script is never released by a takeover.
    assert_eq!(redis.get::<_, String>(&lock).unwrap(), "host|1234");

    let impatient = source.clone().lock_timeout(Duration::from_millis(100));
    assert_eq!(failure(&impatient, "redissample0001").await.kind(), StoreErrorKind::Timeout);
    let error = impatient.end(&id).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    let _: () = redis.del(&lock).unwrap();
    assert_eq!(user_of(&source, &headers).await, None);
}

#[tokio::test]
async fn failures_of_a_server_are_typed_and_hide_ids() {
    let (mut server, mut redis) = start();
    let source = RedisEntries::new(&server.url(), php()).unwrap();
    let id = "an-id-that-no-error-shows";
    let _: () = redis.set(format!("PHPREDIS_SESSION:{id}"), "user|s:500:\"hunter2\";").unwrap();
    assert_kind(&source, StoreErrorKind::Corrupt).await;
    let _: () = redis.set(format!("PHPREDIS_SESSION:{id}"), vec![b'a'; 5 << 20]).unwrap();
    assert_kind(&source, StoreErrorKind::Corrupt).await;
    let _: () = redis.del(format!("PHPREDIS_SESSION:{id}")).unwrap();
    let _: () = redis.lpush(format!("PHPREDIS_SESSION:{id}"), "hunter2").unwrap();
    assert_kind(&source, StoreErrorKind::Corrupt).await;
    // Text that no cookie can hold never reaches the server.
    assert!(source.read(&OldId::new("a\nb")).await.unwrap().is_none());

    server.kill();
    let dead = RedisEntries::new(&server.url(), php()).unwrap();
    for source in [&source, &dead] {
        assert_kind(source, StoreErrorKind::Unavailable).await;
    }
    let error = RedisEntries::new("http://user:hunter2@host", php()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    crate::assert_hides(&error, &["hunter2"]);
    server.restart().unwrap();
    assert!(source.read(&OldId::new("absent")).await.unwrap().is_none());
}
