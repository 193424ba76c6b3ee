//! The cookie that the shop sends, and the cookies that it must not trust.

use super::scene::{Scene, add, no_cookie, session};
use crate::Result;
use crate::promise::must;

pub(super) fn nothing_for_nothing(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    let answer = browser.get_once("/api/state")?;
    must(answer.status == 200, || format!("the state has status {}", answer.status))?;
    no_cookie(&answer)?;
    no_cookie(&browser.get_once("/healthz")?)
}

pub(super) fn the_cookie_is_careful(scene: &mut Scene) -> Result {
    let cookies = scene.browser()?.get("/")?.cookies();
    let cookie = cookies.first().ok_or("no cookie was set")?;
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/;"] {
        must(cookie.contains(attribute), || format!("{attribute:?} is missing in {cookie}"))?;
    }
    Ok(())
}

pub(super) fn forged_ids(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    let (name, own) = browser.cookie().ok_or("no cookie was set")?;
    // Has the length and alphabet of a real id, but was never issued.
    let forged: String =
        own.chars().rev().map(|letter| if letter.is_ascii_digit() { 'x' } else { letter }).collect();
    let cookie = format!("{name}={forged}");
    let read = browser.state_with(cookie.as_bytes())?;
    must(read.status == 200, || format!("a read was answered with {}", read.status))?;
    no_cookie(&read)?;

    let victim = scene.browser()?;
    victim.set_cookie(&name, &forged)?;
    add(&victim, "towel", 1)?;
    must(session(&victim)? != forged, || "the shop adopted the offered id".to_owned())?;
    must(victim.state()?.cart("towel") == 1, || "the visitor lost the cart".to_owned())?;
    let again = browser.state_with(cookie.as_bytes())?.text();
    must(!again.contains("towel"), || format!("the forged id reads {again}"))
}

pub(super) fn malformed_cookies(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    let (name, good) = browser.cookie().ok_or("no cookie was set")?;
    let long = format!("{name}={}", "a".repeat(6000));
    let values: [&[u8]; 8] = [
        b"",
        b"x",
        b"../../../../etc/passwd_bad_id",
        b"\"quoted\"",
        b"%00%00",
        b"<script>xss</script>",
        b"\xff\xfe\x80binary",
        b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!",
    ];
    let mut cookies: Vec<Vec<u8>> =
        values.iter().map(|value| [name.as_bytes(), b"=", value].concat()).collect();
    cookies.extend([long.into_bytes(), b";;;=;".to_vec(), name.clone().into_bytes()]);
    for cookie in cookies {
        let shown = String::from_utf8_lossy(&cookie).into_owned();
        let shown: String = shown.chars().take(60).collect();
        let answer = browser.state_with(&cookie)?;
        must(answer.status == 200, || format!("{shown:?} was answered with {}", answer.status))?;
        no_cookie(&answer)?;
        if let Some((_, value)) = shown.split_once('=').filter(|(_, value)| value.len() > 4) {
            must(!answer.text().contains(value), || format!("{shown:?} was echoed"))?;
        }
    }
    // A valid cookie after a malformed one of the same name still counts.
    let answer = browser.state_with(format!("{name}=bad; {name}={good}").as_bytes())?.text();
    must(answer.contains("\"visits\":1"), || format!("a valid cookie after a malformed one reads {answer}"))
}
