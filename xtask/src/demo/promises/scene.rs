//! What the promises have in common: the shop, its visitors, and being in a hurry.

use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::demo::browser::Browser;
use crate::demo::http::{Response, send};
use crate::demo::shop::Shop;

/// Where the promises are shown.
pub(super) struct Scene {
    pub(super) program: PathBuf,
    pub(super) data: PathBuf,
    /// `None` only while it is being started again.
    pub(super) shop: Option<Shop>,
}

impl Scene {
    pub(super) fn shop(&self) -> Result<&Shop> {
        Ok(self.shop.as_ref().ok_or("the shop is not running")?)
    }

    pub(super) fn browser(&self) -> Result<Browser> {
        Ok(Browser::new(self.shop()?.address))
    }

    /// A GET of the state with exactly this Cookie header.
    pub(super) fn state_with(&self, cookie: &[u8]) -> Result<Response> {
        send(self.shop()?.address, "GET", "/api/state", Some(cookie), None)
    }
}

/// Fails with the text unless it holds.
pub(super) fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// Adds to the cart as the page's form does.
pub(super) fn add(browser: &Browser, item: &str, quantity: u32) -> Result<Response> {
    browser.post("/cart", &[("item", item), ("qty", &quantity.to_string())])
}

pub(super) fn log_in(browser: &Browser, name: &str) -> Result<Response> {
    browser.post("/login", &[("name", name)])
}

pub(super) fn session(browser: &Browser) -> Result<String> {
    Ok(browser.session().ok_or("the browser has no session cookie")?)
}

pub(super) fn no_cookie(answer: &Response) -> Result {
    let cookies: Vec<_> = answer.values("set-cookie").map(String::from_utf8_lossy).collect();
    must(cookies.is_empty(), || format!("a cookie was set: {}", cookies.join(", ")))
}

/// The same work eight times at once.
pub(super) fn in_eight_windows(work: impl Fn() -> Result + Sync) -> Result {
    let together = Barrier::new(8);
    thread::scope(|scope| {
        let windows: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    work()
                })
            })
            .collect();
        // All are joined before the first failure is told.
        let ended: Vec<_> = windows.into_iter().map(|window| window.join()).collect();
        ended.into_iter().try_for_each(|window| window.map_err(|_| "a window panicked")?)
    })
}

/// Does the work while the browser waits for `/slow`, and gives the answer to that. It fails if the slow request was
/// over before the work was.
pub(super) fn during_a_slow_request(
    browser: &Browser,
    ms: u32,
    work: impl FnOnce() -> Result,
) -> Result<Response> {
    let slow = browser.copy();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            let answer = slow.once("GET", &format!("/slow?ms={ms}"), None);
            done.store(true, Ordering::SeqCst);
            answer
        });
        pause(Duration::from_millis(u64::from(ms) / 4));
        let worked = work();
        let in_time = !done.load(Ordering::SeqCst);
        let answer = running.join().map_err(|_| "the slow request panicked")?;
        worked?;
        must(in_time, || "the slow request was over too early to show anything".to_owned())?;
        answer
    })
}

/// The slow request has no way to say that it has begun, so the logout gives it some time.
#[expect(clippy::disallowed_methods, reason = "the shop is another process, and keeps real time")]
fn pause(time: Duration) {
    thread::sleep(time);
}
