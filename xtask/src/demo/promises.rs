//! What the demo promises, each shown over real HTTP.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use std::{fs, process};

use super::browser::{Browser, encode};
use super::http::{Response, send};
use super::shop::Shop;
use crate::tally::Tally;
use crate::{Result, cargo};

/// A promise in the words of its line, and what shows it.
type Promise = (&'static str, fn(&mut Scene) -> Result);

/// In this order: each begins with browsers of its own, and only the last one stops the shop.
const PROMISES: &[Promise] = &[
    ("a visitor who does nothing is given no session and no cookie", nothing_for_nothing),
    ("the visit counter counts", the_counter_counts),
    ("the session cookie is HttpOnly and SameSite=Lax", the_cookie_is_careful),
    ("eight parallel cart additions: all 8 are there", parallel_additions),
    ("eight parallel first visits make eight sessions, and none sees another", parallel_strangers),
    ("logging in gives a new session id, and the cart comes with it", rotation_at_login),
    (
        "the id from before the login is dead: it reads nothing, creates nothing, sends no cookie",
        the_old_id_is_dead,
    ),
    ("the greeting after the login is shown once", flash_once),
    ("logging out ends the session and deletes the cookie", logout_ends),
    ("a logout during a slow request stays a logout", logout_during_a_slow_request),
    ("a forged session id is never adopted", forged_ids),
    ("a malformed cookie is ignored, not answered with an error, and never echoed", malformed_cookies),
    ("the shop is killed with SIGKILL and started again: login and cart are still there", kill_and_restart),
];

/// Where the promises are shown.
struct Scene {
    program: PathBuf,
    data: PathBuf,
    /// `None` only while it is being started again.
    shop: Option<Shop>,
}

/// Shows each promise with one line; what was said by the shop stays on disk if one does not hold.
pub(crate) fn check(program: &Path) -> Result<Tally> {
    let data = cargo::target()?.join("demo-check").join(process::id().to_string());
    fs::create_dir_all(&data)?;
    let shop = Shop::start(program, &data)?;
    println!("the shop listens on http://{}", shop.address);
    let mut scene = Scene { program: program.to_owned(), data, shop: Some(shop) };
    let mut tally = Tally::default();
    for (says, show) in PROMISES {
        let shown = show(&mut scene);
        match &shown {
            Ok(()) => println!("ok   {says}"),
            Err(error) => println!("FAIL {says}\n     {error}"),
        }
        tally.add(&Tally::one(shown.is_ok()));
    }
    drop(scene.shop.take());
    if tally.is_good() {
        fs::remove_dir_all(&scene.data)?;
        // Beside the data, and the shop may have had nothing to say.
        let _ = fs::remove_file(scene.data.with_extension("log"));
    } else {
        println!("     the shop's data and log are left at {}", scene.data.display());
    }
    Ok(tally)
}

impl Scene {
    fn shop(&self) -> Result<&Shop> {
        Ok(self.shop.as_ref().ok_or("the shop is not running")?)
    }

    fn browser(&self) -> Result<Browser> {
        Ok(Browser::new(self.shop()?.address))
    }

    /// A GET of the state with exactly this Cookie header.
    fn state_with(&self, cookie: &[u8]) -> Result<Response> {
        send(self.shop()?.address, "GET", "/api/state", Some(cookie), None)
    }
}

/// Fails with the text unless it holds.
fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// Adds to the cart as the page's form does.
fn add(browser: &Browser, item: &str, quantity: u32) -> Result<Response> {
    browser.post("/cart", &[("item", item), ("qty", &quantity.to_string())])
}

fn log_in(browser: &Browser, name: &str) -> Result<Response> {
    browser.post("/login", &[("name", name)])
}

fn session(browser: &Browser) -> Result<String> {
    Ok(browser.session().ok_or("the browser has no session cookie")?)
}

fn no_cookie(answer: &Response) -> Result {
    let cookies: Vec<_> = answer.values("set-cookie").map(String::from_utf8_lossy).collect();
    must(cookies.is_empty(), || format!("a cookie was set: {}", cookies.join(", ")))
}

fn nothing_for_nothing(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    let answer = browser.once("GET", "/api/state", None)?;
    must(answer.status == 200, || format!("answered {}", answer.status))?;
    no_cookie(&answer)?;
    no_cookie(&browser.once("GET", "/healthz", None)?)
}

fn the_counter_counts(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    for visit in 1..=3 {
        browser.get("/")?;
        let counted = browser.state()?.visits();
        must(counted == visit, || format!("after {visit} visits it says {counted}"))?;
    }
    Ok(())
}

fn the_cookie_is_careful(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    let jar = browser.jar();
    let cookie = jar.iter().next().ok_or("no cookie was set")?;
    must(cookie.http_only, || format!("{} is not HttpOnly", cookie.name))?;
    must(cookie.same_site.as_deref() == Some("Lax"), || format!("SameSite is {:?}", cookie.same_site))?;
    must(cookie.path == "/", || format!("its path is {}", cookie.path))
}

fn parallel_additions(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    let together = Barrier::new(8);
    thread::scope(|scope| {
        let windows: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    add(&browser, "teapot", 1).map(drop)
                })
            })
            .collect();
        windows.into_iter().try_for_each(|window| window.join().map_err(|_| "a window panicked")?)
    })?;
    let teapots = browser.state()?.cart("teapot");
    must(teapots == 8, || format!("8 were added, {teapots} are there"))
}

fn parallel_strangers(scene: &mut Scene) -> Result {
    let together = Barrier::new(8);
    let address = scene.shop()?.address;
    let browsers: Vec<_> = thread::scope(|scope| {
        let strangers: Vec<_> = (0..8)
            .map(|stranger| {
                let together = &together;
                scope.spawn(move || {
                    let browser = Browser::new(address);
                    together.wait();
                    add(&browser, "mug", stranger + 1).map(|_| browser)
                })
            })
            .collect();
        strangers
            .into_iter()
            .map(|stranger| stranger.join().map_err(|_| "a browser panicked")?)
            .collect::<Result<Vec<_>>>()
    })?;
    let mut ids = Vec::new();
    for (stranger, browser) in (1..).zip(&browsers) {
        let mugs = browser.state()?.cart("mug");
        must(mugs == stranger, || format!("stranger {stranger} has {mugs} mugs"))?;
        ids.push(session(browser)?);
    }
    ids.sort();
    ids.dedup();
    must(ids.len() == 8, || format!("{} ids for 8 browsers", ids.len()))
}

fn rotation_at_login(scene: &mut Scene) -> Result {
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

fn the_old_id_is_dead(scene: &mut Scene) -> Result {
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

fn flash_once(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    let greeting = "Welcome";
    let answer = browser.once("POST", "/login", Some(&encode(&[("name", "eve")])))?;
    must(answer.status == 303, || format!("the login answered {}", answer.status))?;
    // A poll in between does not use it up.
    browser.state()?;
    let first = browser.get("/")?.text();
    must(first.contains(greeting), || format!("the page after the login has no {greeting:?}"))?;
    let second = browser.get("/")?.text();
    must(!second.contains(greeting), || format!("the next page says {greeting:?} again"))
}

fn logout_ends(scene: &mut Scene) -> Result {
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

fn logout_during_a_slow_request(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    log_in(&browser, "trent")?;
    let (slow, late) = (browser.copy(), browser.copy());
    let done = AtomicBool::new(false);
    let answer = thread::scope(|scope| -> Result<Response> {
        let running = scope.spawn(|| {
            let answer = slow.once("GET", "/slow?ms=1500", None);
            done.store(true, Ordering::SeqCst);
            answer
        });
        pause(Duration::from_millis(400));
        browser.post("/logout", &[])?;
        must(!done.load(Ordering::SeqCst), || "the slow request was over before the logout".to_owned())?;
        running.join().map_err(|_| "the slow request panicked")?
    })?;
    must(answer.status == 200, || format!("the slow request answered {}", answer.status))?;
    must(answer.text().contains("visit 2"), || {
        format!("the slow request had no session: {}", answer.text())
    })?;
    no_cookie(&answer)?;
    must(late.state()?.is_blank(), || "the slow request brought the session back".to_owned())?;
    must(browser.state()?.user().is_none(), || "the browser is logged in again".to_owned())
}

/// The slow request has no way to say that it has begun, so the logout gives it some time.
#[expect(clippy::disallowed_methods, reason = "the shop is another process, and keeps real time")]
fn pause(time: Duration) {
    thread::sleep(time);
}

fn forged_ids(scene: &mut Scene) -> Result {
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

fn malformed_cookies(scene: &mut Scene) -> Result {
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

fn kill_and_restart(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    log_in(&browser, "grace")?;
    for _ in 0..5 {
        add(&browser, "biscuits", 100)?;
    }
    // Right after the answer: whatever the shop has answered is what it must keep.
    scene.shop.take().ok_or("the shop is not running")?.kill();
    must(browser.state().is_err(), || "the shop still answers after SIGKILL".to_owned())?;
    let shop = Shop::start(&scene.program, &scene.data)?;
    let browser = browser.at(shop.address);
    scene.shop = Some(shop);
    let state = browser.state()?;
    must(state.user() == Some("grace"), || format!("logged in as {:?}", state.user()))?;
    must(state.cart("biscuits") == 500, || format!("{} of 500 biscuits are there", state.cart("biscuits")))?;
    // And it goes on from there.
    add(&browser, "biscuits", 1)?;
    let biscuits = browser.state()?.cart("biscuits");
    must(biscuits == 501, || format!("one more makes {biscuits}"))
}
