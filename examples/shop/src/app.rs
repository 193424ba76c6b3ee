//! The routes of the shop, and their use of the session.

use std::time::Duration;

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router, middleware};
use serde::Deserialize;
use serde_json::{Value, json};
use session_kit::prelude::*;
use session_kit::{Error, RoutePolicy, SameOriginLayer};

use crate::goods::{self, CART, Cart, MOST};
use crate::page::{self, NOTICE, Page, VISITS};
use crate::{devices, live};

const SLOW: &str = "slow";

/// The whole application.
pub(crate) fn app(sessions: Sessions, cookie: CookieState) -> Router {
    // Polling by scripts does not keep a visitor logged in.
    let state = get(state).layer(RoutePolicy::new().do_not_extend());
    Router::new()
        .route("/", get(home))
        .route("/cart", get(cart).post(add_to_cart))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/slow", get(slow))
        .route("/api/state", state)
        .merge(devices::routes())
        .merge(live::routes())
        .layer(SessionLayer::new(sessions.clone(), cookie))
        .layer(SameOriginLayer::new())
        .layer(middleware::map_response(only_own_content))
        // Outside the session layer: a health check has no session.
        .route("/healthz", get(async || "ok"))
        .with_state(sessions)
}

/// Counts the visit. If another request of this visitor commits first, `update` runs again, so that every visit counts.
async fn home(session: Session) -> Result<Html<String>, Error> {
    let visits = session.update(VISITS, |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
    let page = Page::read(&session)?;
    Ok(page::home(&page, visits))
}

async fn cart(session: Session) -> Result<Html<String>, Error> {
    Ok(page::cart(&Page::read(&session)?))
}

#[derive(Deserialize)]
struct Add {
    item: String,
    qty: Option<String>,
}

/// Parallel requests add up, even on two servers: the closure computes, and the commit compares and swaps.
async fn add_to_cart(session: Session, Form(add): Form<Add>) -> Result<Response, Error> {
    let qty = add.qty.as_deref().map_or(Ok(1), |qty| qty.trim().parse());
    let (Some(item), Ok(qty @ 1..=MOST)) = (goods::find(&add.item), qty) else {
        return Ok((StatusCode::BAD_REQUEST, page::refused(&Page::read(&session)?)).into_response());
    };
    session.update(CART, move |cart: Option<Cart>| {
        let mut cart = cart.unwrap_or_default();
        let pieces = cart.entry(item.id.to_owned()).or_default();
        *pieces = pieces.saturating_add(qty).min(MOST);
        cart
    })?;
    Ok(Redirect::to("/cart").into_response())
}

#[derive(Deserialize)]
struct Login {
    name: String,
}

/// Gives the session a new id, so that an id from before the login is useless even if it leaked, and keeps the cart. If
/// the store fails, the visitor gets status 503 instead of this redirect.
async fn login(session: Session, headers: HeaderMap, Form(login): Form<Login>) -> Result<Response, Error> {
    let name: String = login.name.trim().chars().filter(|c| !c.is_control()).take(40).collect();
    if name.is_empty() {
        return Ok((StatusCode::BAD_REQUEST, page::refused(&Page::read(&session)?)).into_response());
    }
    session.login(&name)?;
    session.set_label(&devices::label(&headers))?;
    session.flash().set(NOTICE, &format!("Welcome, {name}"))?;
    Ok(Redirect::to("/").into_response())
}

/// Ends the session immediately. No later error in this request, and no late commit of another request, brings it back.
async fn logout(session: Session) -> Result<Redirect, Error> {
    session.destroy("logged out").await?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct Slow {
    ms: Option<u64>,
}

/// Waits between reading and writing. If the visitor logs out meanwhile, the write is discarded.
async fn slow(session: Session, Query(slow): Query<Slow>) -> Result<String, Error> {
    let visits: u64 = session.get(VISITS)?.unwrap_or(0);
    let ms = slow.ms.unwrap_or(1_000).min(10_000);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    session.insert(SLOW, "done")?;
    Ok(format!("Waited {ms} ms after visit {visits}.\n"))
}

/// Returns the session as JSON for scripts, without consuming the notice or extending the session.
async fn state(session: Session) -> Result<Json<Value>, Error> {
    let notice = session.flash().get::<String>(NOTICE)?;
    session.flash().keep_all()?;
    Ok(Json(json!({
        "visits": session.get::<u64>(VISITS)?.unwrap_or(0),
        "user": session.user()?,
        "cart": session.get::<Cart>(CART)?.unwrap_or_default(),
        "flash": notice.into_iter().collect::<Vec<_>>(),
        "slow": session.get::<String>(SLOW)?,
    })))
}

/// Forbids scripts in pages and content from other sites.
async fn only_own_content(response: Response) -> impl IntoResponse {
    let policy = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
                  form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], response)
}
