//! Two session layers around one handler.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::COOKIE;
use axum::routing::get;
use session_manager::Sessions;
use session_state_cookie::CookieConfig;
use session_tower::{Error, LazySession, Session, SessionLayer};

use crate::common::{Probe, send};

fn named(probe: &Probe, name: &str) -> SessionLayer<Probe, session_state_cookie::CookieState> {
    let cookie = CookieConfig::new().name(name).build().unwrap();
    SessionLayer::new(Sessions::new(probe.clone()).unwrap(), cookie)
}

#[tokio::test]
async fn handler_reaches_inner_and_outer_session() {
    let (inner, outer) = (Probe::new(), Probe::new());
    let app = Router::new()
        .route(
            "/both",
            get(async |session: Session, handle: LazySession| {
                session.insert("n", "inner")?;
                let outside = handle.outer().unwrap().load().await?;
                assert!(handle.outer().unwrap().outer().is_none());
                outside.insert("n", "outer")?;
                Ok::<_, Error>(())
            }),
        )
        .route(
            "/read",
            get(async |session: Session, handle: LazySession| {
                let outside = handle.outer().unwrap().load().await?;
                Ok::<_, Error>(format!("{:?} {:?}", session.get::<String>("n")?, outside.get::<String>("n")?))
            }),
        )
        .route("/inner", get(async |session: Session| session.insert("n", "again")))
        .layer(named(&inner, "__Host-inner"))
        .layer(named(&outer, "__Host-outer"));
    let answer = send(app.clone(), Request::get("/both").body(Body::empty()).unwrap()).await.is(200);
    let pairs: Vec<_> = answer.all("set-cookie").iter().map(|set| set.split(';').next().unwrap()).collect();
    assert!(
        pairs.len() == 2 && pairs[0].starts_with("__Host-inner=") && pairs[1].starts_with("__Host-outer=")
    );
    assert_eq!((answer.all("vary"), answer.all("cache-control")), (vec!["Cookie"], vec!["no-store"]));
    assert_eq!((inner.records().await, outer.records().await), (1, 1));

    let request =
        |path: &str| Request::get(path).header(COOKIE, pairs.join("; ")).body(Body::empty()).unwrap();
    let answer = send(app.clone(), request("/read")).await.is(200).sets_no_cookie();
    assert_eq!(answer.body, "Some(\"inner\") Some(\"outer\")");
    outer.calls();
    send(app.clone(), request("/inner")).await.is(200).sets_no_cookie();
    assert_eq!(outer.calls(), []);
    assert_eq!(send(app, request("/read")).await.body, "Some(\"again\") Some(\"outer\")");
}
