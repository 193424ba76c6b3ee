//! The work of the shop's routes with the session, on every framework.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use session_kit::prelude::*;
use session_kit::{Error, RoutePolicy};

use crate::devices;
use crate::goods::{self, CART, Cart, MOST};
use crate::page::{self, NOTICE, Page, VISITS};

const SLOW: &str = "slow";

/// The answer of a route.
pub(crate) enum Answer {
    /// A page of HTML.
    Page(String),
    /// A page for a form with wrong values; status 400.
    Invalid(String),
    /// Status 303.
    Redirect(&'static str),
    Text(String),
    Json(Value),
}

/// Polling by scripts and open pages do not keep a visitor logged in.
pub(crate) fn polling() -> RoutePolicy {
    RoutePolicy::new().do_not_extend()
}

/// Forbids scripts in pages and content from other sites.
pub(crate) const ONLY_OWN_CONTENT: [(&str, &str); 2] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
];

/// Counts the visit. If another request of this visitor commits first, `update` runs again, so that every visit counts.
pub(crate) fn home(session: &Session) -> Result<Answer, Error> {
    let visits = session.update(VISITS, |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
    let page = Page::read(session)?;
    Ok(Answer::Page(page::home(&page, visits)))
}

pub(crate) fn cart(session: &Session) -> Result<Answer, Error> {
    Ok(Answer::Page(page::cart(&Page::read(session)?)))
}

#[derive(Deserialize)]
pub(crate) struct Add {
    item: String,
    qty: Option<String>,
}

/// Parallel requests add up, even on two servers: the closure computes, and the commit compares and swaps.
pub(crate) fn add_to_cart(session: &Session, add: &Add) -> Result<Answer, Error> {
    let qty = add.qty.as_deref().map_or(Ok(1), |qty| qty.trim().parse());
    let (Some(item), Ok(qty @ 1..=MOST)) = (goods::find(&add.item), qty) else { return invalid(session) };
    session.update(CART, move |cart: Option<Cart>| {
        let mut cart = cart.unwrap_or_default();
        let pieces = cart.entry(item.id.to_owned()).or_default();
        *pieces = pieces.saturating_add(qty).min(MOST);
        cart
    })?;
    Ok(Answer::Redirect("/cart"))
}

#[derive(Deserialize)]
pub(crate) struct Login {
    name: String,
}

/// Gives the session a new id, so that an id from before the login is useless even if it leaked, and keeps the cart. If
/// the store fails, the visitor gets status 503 instead of this redirect. `agent` is the `User-Agent` header.
pub(crate) fn login(session: &Session, agent: &str, login: &Login) -> Result<Answer, Error> {
    let name: String = login.name.trim().chars().filter(|c| !c.is_control()).take(40).collect();
    if name.is_empty() {
        return invalid(session);
    }
    session.login(&name)?;
    session.set_label(&devices::label(agent))?;
    session.flash().set(NOTICE, &format!("Welcome, {name}"))?;
    Ok(Answer::Redirect("/"))
}

/// Ends the session immediately. No later error in this request, and no late commit of another request, brings it back.
pub(crate) async fn logout(session: Session) -> Result<Answer, Error> {
    session.destroy("logged out").await?;
    Ok(Answer::Redirect("/"))
}

#[derive(Deserialize)]
pub(crate) struct Slow {
    ms: Option<u64>,
}

/// Waits between reading and writing. If the visitor logs out meanwhile, the write is discarded.
pub(crate) async fn slow(session: Session, slow: Slow) -> Result<Answer, Error> {
    let visits: u64 = session.get(VISITS)?.unwrap_or(0);
    let ms = slow.ms.unwrap_or(1_000).min(10_000);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    session.insert(SLOW, "done")?;
    Ok(Answer::Text(format!("Waited {ms} ms after visit {visits}.\n")))
}

/// Returns the session as JSON for scripts, without consuming the notice or extending the session.
pub(crate) fn state(session: &Session) -> Result<Answer, Error> {
    let notice = session.flash().get::<String>(NOTICE)?;
    session.flash().keep_all()?;
    Ok(Answer::Json(json!({
        "visits": session.get::<u64>(VISITS)?.unwrap_or(0),
        "user": session.user()?,
        "cart": session.get::<Cart>(CART)?.unwrap_or_default(),
        "flash": notice.into_iter().collect::<Vec<_>>(),
        "slow": session.get::<String>(SLOW)?,
    })))
}

/// The page that `live.js` keeps up to date.
pub(crate) fn live(session: &Session) -> Result<Answer, Error> {
    Ok(Answer::Page(page::live(&Page::read(session)?)))
}

pub(crate) fn invalid(session: &Session) -> Result<Answer, Error> {
    Ok(Answer::Invalid(page::refused(&Page::read(session)?)))
}
