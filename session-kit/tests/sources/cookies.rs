//! Sessions that are in a cookie as a whole.

use axum::http::HeaderMap;
use session_kit::handover::node::{cookie_session, iron_session};
use session_kit::handover::perl::{mojolicious, plack};
use session_kit::handover::python::django::Sessions as DjangoSessions;
use session_kit::handover::python::{beaker, flask, starlette};
use session_kit::handover::ruby::{rack, rails};
use session_kit::handover::rust::actix_session;
use session_kit::handover::rust::cookie::{Key, Security};
use session_kit::handover::{Cookies, Value};
use session_kit::{HandoverSource as _, OldId, RequestInfo, Session, Sessions, StoreErrorKind};

use crate::{DJANGO_SECRET, assert_hides, failure, request, text_of, user_of};

const FOREVER: f64 = 1e12;

fn flask() -> Cookies {
    Cookies::flask(flask::Cookie::new(["flask-sample-secret-A"]).max_age(FOREVER), "session")
}

fn flask_request() -> HeaderMap {
    request(&format!("session={}", text_of("flask/cookie-basic.txt")))
}

#[tokio::test]
async fn cookies_of_each_system_are_read() {
    let rails = rails::Cookie::new("_myapp_session", ["a1b2c3d4".repeat(16)]);
    let rack = rack::Cookie::new(["rack-secret-".repeat(8)]);
    let iron = iron_session::Cookie::new("iron", "iron-sample-password-A-0123456789abcdef").unwrap();
    let starlette = starlette::Cookie::new(["starlette-sample-secret-A"]).max_age(None);
    let django = DjangoSessions::new([DJANGO_SECRET]).max_age(FOREVER);
    let actix = actix_session::cookie(Security::Signed(Key::new(&[7; 64]).unwrap()));
    let beaker = beaker::Sessions::default().validate_key("beaker-validate-A");
    let cases = [
        ("flask/cookie-basic.txt", "session=", flask()),
        ("starlette/cookie-basic.txt", "session=", Cookies::starlette(starlette, "session")),
        ("django/signed-cookie.txt", "sessionid=", Cookies::django(django, "sessionid")),
        ("rails/cookie-7.2-json.cookie", "", Cookies::rails(rails, "_myapp_session")),
        ("rack/cookie-3.1.cookie", "", Cookies::rack(rack, "rack.session")),
        (
            "cookie-session/signed.txt",
            "",
            Cookies::cookie_session(cookie_session::Cookie::new(["express-sample-secret-A"]), "session"),
        ),
        ("iron-session/sealed.txt", "iron=", Cookies::iron_session(iron, "iron")),
        (
            "mojolicious/cookie-set.txt",
            "",
            Cookies::mojolicious(mojolicious::Cookie::new(["mojo secret"]), "mojolicious"),
        ),
        (
            "plack/cookie.txt",
            "",
            Cookies::plack(plack::Cookie::new("plack secret").expires(FOREVER), "plack_session"),
        ),
        ("actix-session/cookie-store-signed.txt", "", Cookies::actix_session(actix, "id")),
        ("beaker/cookie-signed.txt", "", Cookies::beaker(beaker, "beaker.session.id")),
    ];
    for (sample, name, cookies) in cases {
        let text = format!("{name}{}", text_of(sample));
        let headers = request(&format!("first=1; {text}; last=2"));
        assert_eq!(user_of(&cookies, &headers).await.as_deref(), Some("alice"), "{sample}");
        assert_eq!(cookies.find(&request("first=1; last=2")), None);
        // One letter of the signature or the seal. The last ones may be padding.
        let at = text.len() - 4;
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        let forged = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        let id = cookies.find(&request(&forged)).unwrap();
        let error = cookies.read(&id).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{sample}");
        assert_hides(&error, &[&text[at - 8..at], "sample-secret", "alice"]);
    }
}

#[tokio::test]
async fn of_two_cookies_each_system_takes_its_own() {
    let (set, big) = (text_of("mojolicious/cookie-set.txt"), text_of("mojolicious/cookie-big.txt"));
    let mojolicious = Cookies::mojolicious(mojolicious::Cookie::new(["mojo secret"]), "mojolicious");
    let is_big = async |source: &Cookies, cookies: String| {
        let id = source.find(&request(&cookies)).unwrap();
        source.read(&id).await.unwrap().unwrap().get("pad").is_some()
    };
    // The last one whose signature holds.
    assert!(is_big(&mojolicious, format!("{set}; {big}")).await);
    assert!(!is_big(&mojolicious, format!("{big}; other=1; {set}")).await);
    assert!(is_big(&mojolicious, format!("{big}; mojolicious=forged--signature")).await);
    let forged = mojolicious.find(&request("mojolicious=forged--signature")).unwrap();
    assert_eq!(mojolicious.read(&forged).await.unwrap_err().kind(), StoreErrorKind::Corrupt);

    // The first one.
    let good = text_of("plack/cookie.txt");
    let plack = Cookies::plack(plack::Cookie::new("plack secret"), "plack_session");
    let both = request(&format!("{good}; plack_session=forged"));
    assert_eq!(user_of(&plack, &both).await.as_deref(), Some("alice"));
    let id = plack.find(&request(&format!("plack_session=forged; {good}"))).unwrap();
    assert_eq!(plack.read(&id).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn cookies_that_have_ended_are_absent() {
    let cookies = Cookies::flask(flask::Cookie::new(["flask-sample-secret-A"]).max_age(1.0), "session");
    assert_eq!(user_of(&cookies, &flask_request()).await, None);
    assert_eq!(cookies.removal().unwrap(), "session=; Path=/; Max-Age=0");
    assert_eq!(cookies.path("/a\nb").removal(), None);
    let long = OldId::new("a".repeat(20_000));
    assert_eq!(flask().find(&request(&format!("session={}", long.as_str().unwrap()))), None);
    assert_eq!(failure(&flask(), "no signature").await.kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn cookie_is_taken_over_once() {
    let store = session_kit::open("memory:").await.unwrap();
    let sessions = Sessions::builder(store)
        .handover(flask(), |old: Value, session: &Session| {
            let Some(user) = old.get("user").and_then(Value::as_text) else { return Ok(false) };
            session.login(user)?;
            Ok(true)
        })
        .build()
        .unwrap();
    let arrive = async || {
        let info = RequestInfo::default().old(sessions.old_session(&flask_request()));
        let session = sessions.load(info).await.unwrap();
        let _ = sessions.finish(&session).await.unwrap();
        session
    };
    let first = arrive().await;
    assert_eq!(first.user().unwrap().as_deref(), Some("alice"));
    let user = arrive().await.user().unwrap();
    assert_eq!(user, None, "a copy of the cookie was taken over again");
    let id = first.id_update();
    let session_kit::IdUpdate::Set { id, .. } = id else { panic!("{id:?}") };
    let info = RequestInfo::from(id).old(sessions.old_session(&flask_request()));
    assert!(sessions.load(info).await.unwrap().destroy("logout").await.unwrap());
    assert_eq!(arrive().await.user().unwrap(), None);
}
