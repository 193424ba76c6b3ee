//! What the browser is sent, and what it cannot make the shop believe.

use super::scene::{Scene, add, must, no_cookie, session};
use crate::Result;

pub(super) fn nothing_for_nothing(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    let answer = browser.once("GET", "/api/state", None)?;
    must(answer.status == 200, || format!("answered {}", answer.status))?;
    no_cookie(&answer)?;
    no_cookie(&browser.once("GET", "/healthz", None)?)
}

pub(super) fn the_cookie_is_careful(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    let jar = browser.jar();
    let cookie = jar.iter().next().ok_or("no cookie was set")?;
    must(cookie.http_only, || format!("{} is not HttpOnly", cookie.name))?;
    must(cookie.same_site.as_deref() == Some("Lax"), || format!("SameSite is {:?}", cookie.same_site))?;
    must(cookie.path == "/", || format!("its path is {}", cookie.path))
}

pub(super) fn forged_ids(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    let (name, own) = {
        let jar = browser.jar();
        let cookie = jar.iter().next().ok_or("no cookie was set")?;
        (cookie.name.clone(), cookie.value.clone())
    };
    // As long as a real one and of the same alphabet, but not given out by anybody.
    let forged: String =
        own.chars().rev().map(|letter| if letter.is_ascii_digit() { 'x' } else { letter }).collect();
    let cookie = format!("{name}={forged}");
    let read = scene.state_with(cookie.as_bytes())?;
    must(read.status == 200, || format!("a read answered {}", read.status))?;
    no_cookie(&read)?;

    let victim = scene.browser()?;
    victim.jar().take(format!("{cookie}; Path=/").as_bytes(), "/", std::time::UNIX_EPOCH)?;
    add(&victim, "towel", 1)?;
    must(session(&victim)? != forged, || "the shop took the id that it was offered".to_owned())?;
    must(victim.state()?.cart("towel") == 1, || "the visitor has lost the cart".to_owned())?;
    let again = scene.state_with(cookie.as_bytes())?.text();
    must(!again.contains("towel"), || format!("the forged id reads {again}"))
}

pub(super) fn malformed_cookies(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    let name = browser.jar().iter().next().ok_or("no cookie was set")?.name.clone();
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
        let answer = scene.state_with(&cookie)?;
        must(answer.status == 200, || format!("{shown:?} was answered with {}", answer.status))?;
        no_cookie(&answer)?;
        if let Some((_, value)) = shown.split_once('=').filter(|(_, value)| value.len() > 4) {
            must(!answer.text().contains(value), || format!("{shown:?} was echoed"))?;
        }
    }
    // A good cookie behind a bad one of the same name still counts.
    let good = session(&browser)?;
    let answer = scene.state_with(format!("{name}=bad; {name}={good}").as_bytes())?.text();
    must(answer.contains("\"visits\":1"), || format!("a good cookie behind a bad one reads {answer}"))
}
