//! Shared by the promises: the shop, its visitors, and parallel requests.

use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::demo::Framework;
use crate::demo::browser::{Browser, Response};
use crate::demo::shop::{self, Shop};
use crate::promise::must;

/// The running shop.
pub(super) struct Scene {
    pub(super) program: PathBuf,
    pub(super) framework: Framework,
    pub(super) data: PathBuf,
    /// `None` only during a restart.
    pub(super) shop: Option<Shop>,
}

impl Scene {
    /// Starts the shop on a free port, with its log beside its data.
    pub(super) fn start(&self) -> Result<Shop> {
        let log = self.data.with_extension("log");
        let store = shop::sqlite_in(&self.data);
        Shop::start(&mut shop::command(&self.program, self.framework, &store, 0), &log)
    }

    pub(super) fn shop(&self) -> Result<&Shop> {
        Ok(self.shop.as_ref().ok_or("the shop is not running")?)
    }

    pub(super) fn browser(&self) -> Result<Browser> {
        Ok(Browser::new(self.shop()?.address))
    }
}

/// Adds to the cart like the page's form.
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
    let cookies = answer.cookies();
    must(cookies.is_empty(), || format!("a cookie was set: {}", cookies.join(", ")))
}

/// Runs the work eight times in parallel, with the number of each window.
pub(super) fn in_eight_windows(work: impl Fn(usize) -> Result + Sync) -> Result {
    let together = Barrier::new(8);
    thread::scope(|scope| {
        let windows: Vec<_> = (0..8)
            .map(|window| {
                let (together, work) = (&together, &work);
                scope.spawn(move || {
                    together.wait();
                    work(window)
                })
            })
            .collect();
        // Joins all windows before it returns the first failure.
        let ended: Vec<_> = windows.into_iter().map(|window| window.join()).collect();
        ended.into_iter().try_for_each(|window| window.map_err(|_| "a window panicked")?)
    })
}

/// Runs the work while the browser waits for `/slow`, and returns the response of `/slow`. Fails if the slow request ends
/// before the work.
pub(super) fn during_a_slow_request(
    browser: &Browser,
    ms: u32,
    work: impl FnOnce() -> Result,
) -> Result<Response> {
    let slow = browser.copy()?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            let answer = slow.get_once(&format!("/slow?ms={ms}"));
            done.store(true, Ordering::SeqCst);
            answer
        });
        pause(Duration::from_millis(u64::from(ms) / 4));
        let worked = work();
        let in_time = !done.load(Ordering::SeqCst);
        let answer = running.join().map_err(|_| "the slow request panicked")?;
        worked?;
        must(in_time, || "the slow request ended before the other one".to_owned())?;
        answer
    })
}

/// Nothing shows that the slow request has begun, so the other request waits a little.
#[expect(clippy::disallowed_methods, reason = "the shop is another process in real time")]
fn pause(time: Duration) {
    thread::sleep(time);
}
