//! Whose session it is: logging in, logging out, and ids that are over.

use super::scene::{Scene, add, during_a_slow_request, log_in, must, no_cookie, session};
use crate::Result;
use crate::demo::browser::encode;

pub(super) fn rotation_at_login(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    add(&browser, "kettle", 2)?;
    let before = session(&browser)?;
    log_in(&browser, "ada")?;
    must(session(&browser)? != before, || "the id is the same as before".to_owned())?;
    let state = browser.state()?;
    must(state.user() == Some("ada"), || format!("logged in as {:?}", state.user()))?;
    must(state.cart("kettle") == 2, || format!("{} kettles are left of 2", state.cart("kettle")))
}

pub(super) fn the_old_id_is_dead(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    add(&browser, "honey", 1)?;
    let late = browser.copy();
    log_in(&browser, "bob")?;
    let new = session(&browser)?;

    // Requests with the old id, as they arrive when they were on their way during the login.
    let read = late.once("GET", "/api/state", None)?;
    no_cookie(&read)?;
    must(late.state()?.is_blank(), || format!("the old id reads {}", read.text()))?;
    let visit = late.once("GET", "/", None)?;
    no_cookie(&visit)?;
    let write = late.once("POST", "/cart", Some(&encode(&[("item", "honey"), ("qty", "5")])))?;
    must(write.status < 500, || format!("a late write was answered with {}", write.status))?;
    no_cookie(&write)?;
    must(late.state()?.is_blank(), || "the late write came into being under the old id".to_owned())?;

    let state = browser.state()?;
    must(state.user() == Some("bob") && state.cart("honey") == 1, || {
        format!("the login has changed: {:?}", state.0)
    })?;
    must(session(&browser)? == new, || "the new cookie was replaced".to_owned())
}

pub(super) fn logout_ends(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    log_in(&browser, "mallory")?;
    let thief = browser.copy();
    must(thief.state()?.user() == Some("mallory"), || {
        "a copy of the cookie does not work before the logout".to_owned()
    })?;
    let answer = browser.once("POST", "/logout", Some(""))?;
    must(answer.status == 303, || format!("the logout answered {}", answer.status))?;
    must(browser.session().is_none(), || "the browser still has its session cookie".to_owned())?;
    must(thief.state()?.is_blank(), || "the id still reads after the logout".to_owned())
}

pub(super) fn logout_during_a_slow_request(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    log_in(&browser, "trent")?;
    let late = browser.copy();
    let answer = during_a_slow_request(&browser, 2000, || browser.post("/logout", &[]).map(drop))?;
    must(answer.status == 200, || format!("the slow request answered {}", answer.status))?;
    must(answer.text().contains("visit 2"), || {
        format!("the slow request had no session: {}", answer.text())
    })?;
    no_cookie(&answer)?;
    must(late.state()?.is_blank(), || "the slow request brought the session back".to_owned())?;
    must(browser.state()?.user().is_none(), || "the browser is logged in again".to_owned())
}
