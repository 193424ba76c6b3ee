//! Logins, logouts and the cookie.

use std::time::Duration;

use super::proxy::Logins;
use super::stage::{LOG_IN, Stage, add_teapots, cookie, fill_in, is_logged_out, log_in, log_out};
use crate::Result;
use crate::promise::must;

pub(super) fn keeps_the_cart(stage: &mut Stage) -> Result {
    let ada = &stage.ada;
    stage.picture(ada, "1-visitor")?;
    add_teapots(ada, "2")?;
    stage.picture(ada, "2-cart")?;
    let before = cookie(ada)?["value"].clone();
    log_in(ada, "Ada")?;
    ada.shows("Cart · 2")?;
    ada.shows("Welcome, Ada")?;
    stage.picture(ada, "3-logged-in")?;
    must(cookie(ada)?["value"] != before, || "the session id is the same as before".to_owned())?;
    log_in(&stage.phone, "Grace")?;
    stage.picture(&stage.phone, "4-phone")
}

pub(super) fn greeting_is_shown_once(stage: &mut Stage) -> Result {
    log_in(&stage.ada, "Ada")?;
    stage.ada.shows("Welcome, Ada")?;
    stage.ada.reload()?;
    let text = stage.ada.text()?;
    must(text.contains("Signed in as Ada") && !text.contains("Welcome"), || {
        format!("after a reload the page shows: {text}")
    })
}

pub(super) fn cookie_is_careful(stage: &mut Stage) -> Result {
    let cookie = cookie(&stage.ada)?;
    must(cookie["httpOnly"] == true && cookie["sameSite"] == "Lax", || format!("the cookie is {cookie}"))?;
    // A leading dot would mean subdomains too. Without an expiry it ends with the browser.
    let own = cookie["path"] == "/" && cookie["domain"] == "127.0.0.1" && cookie["expiry"].is_null();
    must(own, || format!("the cookie is {cookie}"))?;
    let seen = stage.ada.script("return document.cookie")?;
    must(seen == "", || format!("a script sees {seen}"))
}

/// Chromium treats the loopback address like HTTPS.
pub(super) fn cookie_over_https(stage: &mut Stage) -> Result {
    stage.ada.open(&format!("http://{}/", stage.https))?;
    let cookies = stage.ada.cookies()?;
    // Cookies do not depend on ports, so the cookie of the other shop is here too.
    let cookie = cookies.iter().find(|cookie| cookie["name"] == "__Host-session");
    let cookie = cookie.ok_or_else(|| format!("the browser keeps only {cookies:?}"))?;
    must(cookie["secure"] == true && cookie["httpOnly"] == true && cookie["path"] == "/", || {
        format!("the cookie is {cookie}")
    })?;
    stage.ada.reload()?;
    stage.ada.shows("visit number 2")
}

/// Neither login is answered before both are sent, so both come with the guest's cookie.
pub(super) fn double_click(stage: &mut Stage) -> Result {
    for _ in 0..5 {
        stage.begin()?;
        add_teapots(&stage.ada, "3")?;
        fill_in(&stage.ada, "Ada")?;
        stage.proxy.set(Logins::HoldUntil(2));
        stage.ada.double_click(LOG_IN, Duration::from_millis(400))?;
        stage.ada.shows("Signed in as Ada")?;
        stage.ada.shows("Cart · 3")?;
        stage.ada.reload()?;
        stage.ada.shows("Signed in as Ada")?;
        // On a busy machine the second click may replace the first login before it is sent.
        if stage.proxy.logins() == 2 {
            return Ok(());
        }
    }
    Err("Chromium sends one login for each double click".into())
}

pub(super) fn lost_response(stage: &mut Stage) -> Result {
    add_teapots(&stage.ada, "4")?;
    let before = cookie(&stage.ada)?["value"].clone();
    fill_in(&stage.ada, "Ada")?;
    stage.proxy.set(Logins::Lose);
    stage.ada.click(LOG_IN)?;
    stage.ada.shows("ERR_EMPTY_RESPONSE")?;
    stage.picture(&stage.ada, "5-lost-response")?;

    stage.proxy.set(Logins::Pass);
    stage.ada.back()?;
    must(cookie(&stage.ada)?["value"] == before, || "the browser has another cookie".to_owned())?;
    log_in(&stage.ada, "Ada")?;
    stage.ada.shows("Cart · 4")
}

pub(super) fn logout_in_another_tab(stage: &mut Stage) -> Result {
    let ada = &stage.ada;
    log_in(ada, "Ada")?;
    let (first, second) = (ada.tab()?, ada.new_tab()?);
    ada.switch_to(&second)?;
    ada.open(&stage.url("/"))?;
    ada.shows("Signed in as Ada")?;
    log_out(ada)?;
    is_logged_out(ada)?;
    ada.close_tab()?;

    ada.switch_to(&first)?;
    ada.shows("Signed in as Ada")?;
    add_teapots(ada, "1")?;
    is_logged_out(ada)
}

pub(super) fn form_of_another_site(stage: &mut Stage) -> Result {
    let ada = &stage.ada;
    log_in(ada, "Ada")?;
    let form = format!("<form method=post action={}><button>Win</button></form>", stage.url("/logout"));
    ada.open(&format!("data:text/html,{form}"))?;
    ada.click("button")?;
    ada.shows("another site")?;
    ada.open(&stage.url("/"))?;
    ada.shows("Signed in as Ada")
}
