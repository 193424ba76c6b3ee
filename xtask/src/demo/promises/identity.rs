//! Whose session it is: logging in, logging out, and ids that are over.

use super::scene::{Scene, add, during_a_slow_request, in_eight_windows, log_in, no_cookie, session};
use crate::Result;
use crate::demo::browser::Browser;
use crate::promise::must;

pub(super) fn rotation_at_login(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    add(&browser, "kettle", 2)?;
    let before = session(&browser)?;
    log_in(&browser, "ada")?;
    must(session(&browser)? != before, || "the id is the same as before".to_owned())?;
    let state = browser.state()?;
    must(state.user() == Some("ada"), || format!("logged in as {:?}", state.user()))?;
    must(state.cart("kettle") == 2, || format!("{} of 2 kettles are left", state.cart("kettle")))
}

pub(super) fn the_old_id_is_dead(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    add(&browser, "honey", 1)?;
    let late = browser.copy()?;
    log_in(&browser, "bob")?;
    let new = session(&browser)?;

    // Requests with the old id that were sent before the login.
    let read = late.get_once("/api/state")?;
    no_cookie(&read)?;
    must(late.state()?.is_blank(), || format!("the old id reads {}", read.text()))?;
    let visit = late.get_once("/")?;
    no_cookie(&visit)?;
    let write = late.post_once("/cart", &[("item", "honey"), ("qty", "5")])?;
    must(write.status < 500, || format!("a late write was answered with {}", write.status))?;
    no_cookie(&write)?;
    must(late.state()?.is_blank(), || "the late write created a session under the old id".to_owned())?;

    let state = browser.state()?;
    must(state.user() == Some("bob") && state.cart("honey") == 1, || {
        format!("the login changed: {:?}", state.0)
    })?;
    must(session(&browser)? == new, || "the new cookie was replaced".to_owned())
}

/// Eight clicks, each with the guest's cookie.
pub(super) fn double_click_on_login(scene: &mut Scene) -> Result {
    let guest = scene.browser()?;
    add(&guest, "teapot", 3)?;
    let clicks = (0..8).map(|_| guest.copy()).collect::<Result<Vec<_>>>()?;
    in_eight_windows(|click| log_in(&clicks[click], "carol").map(drop))?;
    clicks.iter().try_for_each(|click| logged_in(click, "carol", 3))
}

pub(super) fn retry_of_a_lost_login(scene: &mut Scene) -> Result {
    let guest = scene.browser()?;
    add(&guest, "teapot", 2)?;
    // The shop answers, but the browser keeps the guest's cookie.
    let lost = guest.copy()?.post_once("/login", &[("name", "dave")])?;
    must(!lost.cookies().is_empty(), || "the first login sent no cookie".to_owned())?;
    log_in(&guest, "dave")?;
    logged_in(&guest, "dave", 2)
}

fn logged_in(browser: &Browser, name: &str, teapots: u64) -> Result {
    let state = browser.state()?;
    must(state.user() == Some(name) && state.cart("teapot") == teapots, || {
        format!("the session after the login is {}", state.0)
    })
}

pub(super) fn logout_ends(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    log_in(&browser, "mallory")?;
    let thief = browser.copy()?;
    must(thief.state()?.user() == Some("mallory"), || {
        "a copy of the cookie does not work before the logout".to_owned()
    })?;
    let answer = browser.post_once("/logout", &[])?;
    must(answer.status == 303, || format!("the logout was answered with {}", answer.status))?;
    must(browser.session().is_none(), || "the browser still has its session cookie".to_owned())?;
    must(thief.state()?.is_blank(), || "the id still reads after the logout".to_owned())
}

pub(super) fn logout_during_a_slow_request(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    log_in(&browser, "trent")?;
    let late = browser.copy()?;
    let answer = during_a_slow_request(&browser, 2000, || browser.post("/logout", &[]).map(drop))?;
    must(answer.status == 200, || format!("the slow request was answered with {}", answer.status))?;
    must(answer.text().contains("visit 2"), || {
        format!("the slow request had no session: {}", answer.text())
    })?;
    no_cookie(&answer)?;
    must(late.state()?.is_blank(), || "the slow request brought the session back".to_owned())?;
    must(browser.state()?.user().is_none(), || "the browser is logged in again".to_owned())
}
