//! Several live ids in one request.

use axum::Router;
use axum::routing::get;
use session_core::{Operation, SessionId};
use session_manager::Sessions;
use session_state_cookie::{CookieConfig, CookieState, Lifetime};
use session_tower::{Error, Session, SessionLayer};

use crate::common::{Answer, Probe, probe, records, request, routes, send};

const GONE: &str = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";

fn app(probe: &Probe, cookie: CookieState) -> Router {
    let bye = async |session: Session| {
        session.destroy("out").await?;
        session.flash().set("notice", "bye")?;
        Ok::<_, Error>("bye")
    };
    let layer = SessionLayer::new(Sessions::new(probe.clone()).unwrap(), cookie);
    let anew = async |session: Session| {
        session.destroy("login").await?;
        session.login("ada")
    };
    routes().route("/logout-with-notice", get(bye)).route("/login-alone", get(anew)).layer(layer)
}

/// The id of a new session.
async fn begun(app: &Router) -> String {
    let answer = send(app.clone(), request("/write", [])).await.is(200);
    let pair = answer.cookies()[0].to_owned();
    pair.split_once('=').unwrap().1.to_owned()
}

async fn ask(app: &Router, path: &str, cookies: &str) -> Answer {
    send(app.clone(), request(path, [cookies.as_bytes()])).await.is(200)
}

#[tokio::test]
async fn logout_ends_the_sessions_of_all_cookies() {
    let probe = probe();
    let cookie = CookieConfig::new().name("__Secure-id").domain("example.org").path("/shop");
    let app = app(&probe, cookie.build().unwrap());
    let (one, two) = (begun(&app).await, begun(&app).await);
    let both = format!("__Secure-id={one}; theme=dark; __Secure-id={two}; __Secure-id={one}");
    let answer = ask(&app, "/logout", &both).await;
    assert_eq!(records(&probe), 0);
    let line = |scope: &str| format!("__Secure-id=; Path={scope}; Secure; HttpOnly; SameSite=Lax{GONE}");
    let expected = ["/shop; Domain=example.org", "/shop", "/; Domain=example.org", "/"].map(line);
    assert_eq!(answer.all("set-cookie"), expected);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    // Both ids are dead, alone and together.
    for cookies in [format!("__Secure-id={one}"), format!("__Secure-id={two}"), both] {
        assert!(ask(&app, "/read", &cookies).await.sets_no_cookie().body.starts_with("None"));
    }
}

#[tokio::test]
async fn logout_with_one_live_id_deletes_one_cookie() {
    let probe = probe();
    let cookie = CookieConfig::new().name("__Secure-id").domain("example.org").build().unwrap();
    let app = app(&probe, cookie);
    let one = begun(&app).await;
    probe.calls();
    let answer = ask(&app, "/logout", &format!("__Secure-id={one}")).await;
    assert_eq!(answer.all("set-cookie").len(), 1);
    assert_eq!(probe.operations(), [Operation::Retrieve, Operation::Remove]);
    // The id of another application, which has the same name for another path, opens nothing here.
    let foreign = SessionId::from_bytes([9; 24]).reveal().as_str().to_owned();
    let two = begun(&app).await;
    let answer = ask(&app, "/logout", &format!("__Secure-id={foreign}; __Secure-id={two}")).await;
    assert_eq!(answer.all("set-cookie").len(), 1);
}

#[tokio::test]
async fn value_after_the_logout_deletes_the_other_cookies() {
    let probe = probe();
    let cookie = CookieConfig::new().path("/shop").lifetime(Lifetime::FollowSession).build().unwrap();
    let app = app(&probe, cookie);
    let (one, two) = (begun(&app).await, begun(&app).await);
    let both = format!("__Secure-session={one}; __Secure-session={two}");
    let answer = ask(&app, "/logout-with-notice", &both).await;
    let set = answer.all("set-cookie");
    assert_eq!((set.len(), records(&probe)), (2, 1), "{set:?}");
    assert!(set[0].starts_with("__Secure-session=") && set[0].contains("; Path=/shop; "), "{set:?}");
    assert!(!set[0].contains(&one) && !set[0].contains(&two) && !set[0].contains("Max-Age=0"), "{set:?}");
    assert_eq!(set[1], format!("__Secure-session=; Path=/; Secure; HttpOnly; SameSite=Lax{GONE}"));
}

#[tokio::test]
async fn former_cookie_is_read_ended_and_deleted() {
    let probe = probe();
    let old = || CookieConfig::new().name("sid").secure(false).domain("example.org");
    let former = app(&probe, old().build().unwrap());
    let one = begun(&former).await;
    let app = app(&probe, CookieConfig::new().former(old()).build().unwrap());
    // Visitors stay logged in, and their own cookie comes first.
    assert_eq!(ask(&app, "/read", &format!("sid={one}")).await.sets_no_cookie().body, "Some(1)");
    let two = begun(&app).await;
    ask(&app, "/add", &format!("sid={one}; __Host-session={two}")).await.sets_no_cookie();
    assert_eq!(ask(&app, "/read", &format!("sid={one}")).await.body, "Some(1)");
    assert_eq!(ask(&app, "/read", &format!("__Host-session={two}")).await.body, "Some(2)");

    let answer = ask(&app, "/logout", &format!("sid={one}; __Host-session={two}")).await;
    assert_eq!(records(&probe), 0);
    let expected = [
        format!("__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax{GONE}"),
        format!("sid=; Path=/; Domain=example.org; HttpOnly; SameSite=Lax{GONE}"),
        format!("sid=; Path=/; HttpOnly; SameSite=Lax{GONE}"),
    ];
    assert_eq!(answer.all("set-cookie"), expected);
}

#[tokio::test]
async fn login_after_a_logout_leaves_one_session() {
    let probe = probe();
    let app = app(&probe, CookieConfig::new().path("/shop").build().unwrap());
    let (one, two) = (begun(&app).await, begun(&app).await);
    let both = format!("__Secure-session={one}; __Secure-session={two}");
    let answer = ask(&app, "/login-alone", &both).await;
    let set = answer.all("set-cookie");
    assert_eq!((set.len(), records(&probe)), (2, 1), "{set:?}");
    assert!(set[0].contains("; Path=/shop; ") && !set[0].contains("Max-Age=0"), "{set:?}");
    assert_eq!(set[1], format!("__Secure-session=; Path=/; Secure; HttpOnly; SameSite=Lax{GONE}"));
}
