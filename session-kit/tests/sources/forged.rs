//! Cookies that nothing has signed: no session, and an event.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_kit::handover::node::express;
use session_kit::handover::php::laravel::{Encrypter, Serialization};
use session_kit::handover::python::flask_session;
use session_kit::handover::rust::cookie::{Key, Security};
use session_kit::handover::rust::{actix_session, async_session, tower_sessions};
use session_kit::handover::{
    Cookies, Entries, Files, PhpFiles, RedisEntries, Rows, SqliteRows, System, Value,
};
use session_kit::{
    Event, HandoverSource, Observer, RequestInfo, Session, SessionTag, Sessions, StoreErrorKind,
};

use crate::{EXPRESS_SECRET, LARAVEL_KEY, assert_hides, request, text_of};

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn event(&self, _: Option<SessionTag>, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// A forged cookie is no session, reaches no store and is reported, and an absent one is neither.
async fn refuses(source: impl HandoverSource<Old = Value>, cookies: &str) {
    let headers = request(cookies);
    let id = source.find(&headers).unwrap();
    let error = source.read(&id).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{cookies}");
    assert_hides(&error, &["forged"]);
    source.end(&id).await.unwrap();
    assert_eq!(source.find(&request("other=1")), None);

    let events = Arc::new(Events::default());
    let sessions = Sessions::builder(session_kit::open("memory:").await.unwrap())
        .handover(source, |_: Value, _: &Session| Ok(true))
        .observer(Arc::clone(&events) as _)
        .build()
        .unwrap();
    let info = RequestInfo::default().old(sessions.old_session(&headers));
    let session = sessions.load(info).await.unwrap();
    assert_eq!(session.user().unwrap(), None);
    let seen = events.0.lock().unwrap().clone();
    assert_eq!(seen.iter().filter(|event| **event == Event::OldUnreadable).count(), 1, "{seen:?}");
}

#[tokio::test]
async fn forged_cookies_are_reported() {
    // No store is reached.
    let sqlite = |rows| SqliteRows::new("/absent.db", rows);
    let redis = |entries| RedisEntries::new("redis://127.0.0.1:1", entries).unwrap();
    let express = || express::Cookie::new([EXPRESS_SECRET]);
    let keys = || Encrypter::new([LARAVEL_KEY]).unwrap();
    let (php, day) = (Serialization::Php, Duration::from_secs(86_400));
    let signed = || Security::Signed(Key::new(&[7; 64]).unwrap());

    for cookie in ["connect.sid=forged", "connect.sid=s%3Aforged.c2lnbmF0dXJl"] {
        refuses(sqlite(Rows::connect_sqlite3(express(), "connect.sid")), cookie).await;
        refuses(redis(Entries::express(express(), "connect.sid")), cookie).await;
        refuses(Rows::connect_pg_simple(express(), "connect.sid").into_system(), cookie).await;
    }
    let cookie = "laravel_session=eyJmb3JnZWQiOjF9; forged=1";
    refuses(sqlite(Rows::laravel(keys(), php, "laravel_session", day)), cookie).await;
    refuses(redis(Entries::laravel(keys(), php, "laravel_session", "laravel_")), cookie).await;
    refuses(Files::laravel("/absent", keys(), php, "laravel_session", day), cookie).await;
    refuses(Cookies::laravel(keys(), php, "laravel_session"), cookie).await;
    // Another cookie that the application has encrypted.
    let other = text_of("laravel/cookie-cbc.txt").replace("laravel_session=", "remember=");
    refuses(Cookies::laravel(keys(), php, "remember"), &other).await;

    let unsign = |system: System| {
        system
            .verified("session", |value| flask_session::unsign_id(b"flask-sample-secret-A", value.as_bytes()))
    };
    refuses(redis(Entries::flask_session("session").system(unsign)), "session=forged.signature").await;
    refuses(redis(Entries::tower_sessions(tower_sessions::cookie(signed()), "id")), "id=forged").await;
    refuses(redis(Entries::actix_session(actix_session::cookie(signed()), "id")), "id=forged").await;
    refuses(Cookies::actix_session(actix_session::cookie(signed()), "id"), "id=forged").await;
    let tide = async_session::cookie("tide.sid", signed());
    refuses(sqlite(Rows::async_session(tide, "tide.sid")), "tide.sid=forged").await;
}

#[tokio::test]
async fn ids_that_no_system_signs_are_not_reported() {
    let source = PhpFiles::new("/absent", "PHPSESSID");
    assert_eq!(source.find(&request("PHPSESSID=../forged")), None);
    let id = source.find(&request("PHPSESSID=unknown")).unwrap();
    assert!(source.read(&id).await.unwrap().is_none());
}
