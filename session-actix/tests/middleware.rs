//! The differences of actix-web: failures of middleware, and bodies that tell their length. session-web tests the rest on
//! both frameworks.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fmt;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::error::ErrorUnauthorized;
use actix_web::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, SET_COOKIE, VARY};
use actix_web::middleware::{Next, from_fn};
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::{App, HttpResponse, ResponseError, web};
use session_actix::{CommitBody, Error, LazySession, Session, SessionMiddleware};
use session_manager::Sessions;
use session_state_cookie::CookieState;
use session_store_memory::MemoryStore;

fn middleware() -> SessionMiddleware<MemoryStore, CookieState> {
    SessionMiddleware::new(Sessions::new(MemoryStore::new().unwrap()).unwrap(), CookieState::default())
}

#[derive(Debug)]
struct Own;

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error of the application")
    }
}

impl ResponseError for Own {}

/// Fails as the path says.
async fn failing(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, actix_web::Error> {
    let session = || {
        let lazy = LazySession::in_request(request.request()).unwrap();
        async move { lazy.load().await }
    };
    match request.path() {
        "/unauthorized" => {
            session().await?.insert("n", &1)?;
            Err(ErrorUnauthorized("not you"))
        }
        "/broken" => {
            session().await?.insert("n", &2)?;
            Err(Own.into())
        }
        "/untouched" => Err(Own.into()),
        "/session" => {
            session().await?.insert("n", &"text")?;
            session().await?.get::<u32>("n")?;
            Err(Own.into())
        }
        _ => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
    }
}

async fn read(session: Session) -> Result<String, Error> {
    Ok(format!("{:?}", session.get::<u32>("n")?))
}

fn cookies(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all(SET_COOKIE).map(|line| line.to_str().unwrap().split(';').next().unwrap()).collect()
}

#[actix_web::test]
async fn failed_middleware_is_committed_by_its_status() {
    let app = App::new().wrap(from_fn(failing)).wrap(middleware()).route("/read", web::to(read));
    let app = init_service(app).await;
    let ask = async |path: &str, cookie: &str| {
        let request = TestRequest::get().uri(path).insert_header((COOKIE, cookie));
        let request = request.insert_header((ACCEPT, "application/json"));
        try_call_service(&app, request.to_request()).await
    };
    let error = ask("/unauthorized", "").await.unwrap_err();
    let response = error.error_response();
    assert_eq!((response.status().as_u16(), error.to_string()), (401, "not you".to_owned()));
    let cookie = cookies(response.headers())[0].to_owned();
    assert_eq!(response.headers().get(VARY).unwrap(), "Cookie");
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), "not you");

    // A server error discards the changes.
    let response = ask("/broken", &cookie).await.unwrap_err().error_response();
    assert_eq!((response.status().as_u16(), cookies(response.headers()).len()), (500, 0));
    let response = ask("/read", &cookie).await.unwrap();
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), "Some(1)");

    // The layer renders its own errors.
    let response = ask("/session", "").await.unwrap_err().error_response();
    assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/problem+json");

    // Without a session, the error of the middleware stays what it is.
    assert!(ask("/untouched", &cookie).await.unwrap_err().as_error::<Own>().is_some());
}

#[actix_web::test]
async fn bodies_that_tell_their_length_are_committed() {
    async fn late(
        session: Session,
        length: web::Path<usize>,
    ) -> Result<HttpResponse<impl MessageBody>, Error> {
        let late = session.during_body()?;
        if let Some(session) = late.load().await? {
            session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?;
        }
        let mut response = HttpResponse::Ok().body("x".repeat(*length));
        response.headers_mut().insert(CONTENT_LENGTH, (*length).into());
        Ok(CommitBody::of(late, response))
    }
    let app =
        App::new().wrap(middleware()).route("/read", web::to(read)).route("/late/{length}", web::to(late));
    let app = init_service(
        app.route("/write", web::to(async |session: Session| session.insert("n", &1).map(|()| ""))),
    )
    .await;
    let ask = async |path: &str, cookie: &str| {
        let request = TestRequest::get().uri(path).insert_header((COOKIE, cookie)).to_request();
        app.call(request).await.unwrap()
    };
    let begun = ask("/write", "").await;
    let cookie = cookies(begun.headers())[0].to_owned();
    for (length, seen) in [(5, "Some(2)"), (0, "Some(3)")] {
        let response = ask(&format!("/late/{length}"), &cookie).await;
        let body = to_bytes(response.into_body()).await.map_err(|_| "the body fails").unwrap();
        assert_eq!(body.len(), length);
        assert_eq!(to_bytes(ask("/read", &cookie).await.into_body()).await.unwrap(), seen);
    }
    // A dropped body commits nothing.
    drop(ask("/late/5", &cookie).await);
    assert_eq!(to_bytes(ask("/read", &cookie).await.into_body()).await.unwrap(), "Some(3)");
}
