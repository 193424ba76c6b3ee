//! Two session layers around one handler.

use axum::routing::get;
use session_manager::Sessions;
use session_state_cookie::{CookieConfig, CookieState};
use session_tower::{Error, LazySession, Session, SessionLayer};

use crate::common::{Probe, probe, read, records, request, routes, send};

fn named(probe: &Probe, name: &str) -> SessionLayer<Probe, CookieState> {
    let cookie = CookieConfig::new().name(name).build().unwrap();
    SessionLayer::new(Sessions::new(probe.clone()).unwrap(), cookie)
}

#[tokio::test]
async fn handler_reaches_inner_and_outer_session() {
    let (inner, outer) = (probe(), probe());
    let both = get(async |session: Session, handle: LazySession| {
        session.insert("n", &2)?;
        assert!(handle.outer().unwrap().outer().is_none());
        handle.outer().unwrap().load().await?.insert("n", &3)
    });
    let read_both = get(async |session: Session, handle: LazySession| {
        let outside = handle.outer().unwrap().load().await?;
        Ok::<_, Error>(format!("{} {}", read(session).await?, read(outside).await?))
    });
    let app = routes()
        .route("/both", both)
        .route("/read-both", read_both)
        .layer(named(&inner, "__Host-inner"))
        .layer(named(&outer, "__Host-outer"));
    let answer = send(app.clone(), request("/both", [])).await.is(200);
    let pairs = answer.cookies();
    assert!(
        pairs.len() == 2 && pairs[0].starts_with("__Host-inner=") && pairs[1].starts_with("__Host-outer=")
    );
    assert_eq!((answer.all("vary"), answer.all("cache-control")), (vec!["Cookie"], vec!["no-store"]));
    assert_eq!((records(&inner), records(&outer)), (1, 1));

    let pairs = pairs.join("; ");
    let ask =
        async |path| send(app.clone(), request(path, [pairs.as_bytes()])).await.is(200).sets_no_cookie();
    assert_eq!(ask("/read-both").await.body, "Some(2) Some(3)");
    outer.calls();
    ask("/write").await;
    assert_eq!(outer.operations(), []);
    assert_eq!(ask("/read-both").await.body, "Some(1) Some(3)");
}
