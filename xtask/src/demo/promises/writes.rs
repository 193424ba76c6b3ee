//! No write is lost to a parallel request, a late request, or SIGKILL.

use super::scene::{Scene, add, during_a_slow_request, in_eight_windows, log_in, session};
use crate::Result;
use crate::promise::must;

pub(super) fn the_counter_counts(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    for visit in 1..=3 {
        browser.get("/")?;
        let counted = browser.state()?.visits();
        must(counted == visit, || format!("after {visit} visits the counter is {counted}"))?;
    }
    Ok(())
}

pub(super) fn parallel_additions(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    in_eight_windows(|_| add(&browser, "teapot", 1).map(drop))?;
    let teapots = browser.state()?.cart("teapot");
    must(teapots == 8, || format!("8 teapots were added, the cart has {teapots}"))
}

/// Eight single requests may not overlap; these do.
pub(super) fn sustained_additions(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    in_eight_windows(|_| {
        (0..25).try_for_each(|_| {
            let answer = browser.post_once("/cart", &[("item", "mug"), ("qty", "1")])?;
            must(answer.status == 303, || format!("an addition was answered with {}", answer.status))
        })
    })?;
    let mugs = browser.state()?.cart("mug");
    must(mugs == 200, || format!("200 mugs were added, the cart has {mugs}"))
}

pub(super) fn a_late_save_overwrites_nothing(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    browser.get("/")?;
    let answer = during_a_slow_request(&browser, 2000, || add(&browser, "honey", 1).map(drop))?;
    must(answer.status == 200, || format!("the slow request was answered with {}", answer.status))?;
    let state = browser.state()?;
    must(state.cart("honey") == 1, || format!("the item added meanwhile is gone: {}", state.0))?;
    must(state.0["slow"] == "done", || format!("the slow request's value is missing: {}", state.0))
}

pub(super) fn parallel_strangers(scene: &mut Scene) -> Result {
    let browsers = (0..8).map(|_| scene.browser()).collect::<Result<Vec<_>>>()?;
    in_eight_windows(|window| add(&browsers[window], "mug", window as u32 + 1).map(drop))?;
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

pub(super) fn flash_once(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    let greeting = "Welcome";
    let answer = browser.post_once("/login", &[("name", "eve")])?;
    must(answer.status == 303, || format!("the login was answered with {}", answer.status))?;
    // A poll does not consume the notice.
    browser.state()?;
    let first = browser.get("/")?.text();
    must(first.contains(greeting), || format!("the page after the login does not contain {greeting:?}"))?;
    let second = browser.get("/")?.text();
    must(!second.contains(greeting), || format!("the next page contains {greeting:?} again"))
}

pub(super) fn kill_and_restart(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    log_in(&browser, "grace")?;
    for _ in 0..5 {
        add(&browser, "biscuits", 100)?;
    }
    // Right after the response: the shop must keep every acknowledged write.
    scene.shop.take().ok_or("the shop is not running").map(drop)?;
    must(browser.state().is_err(), || "the shop still answers after SIGKILL".to_owned())?;
    let shop = scene.start()?;
    let browser = browser.at(shop.address);
    scene.shop = Some(shop);
    let state = browser.state()?;
    must(state.user() == Some("grace"), || format!("logged in as {:?}", state.user()))?;
    must(state.cart("biscuits") == 500, || {
        format!("{} of 500 biscuits are in the cart", state.cart("biscuits"))
    })?;
    // The shop continues with the stored cart.
    add(&browser, "biscuits", 1)?;
    let biscuits = browser.state()?.cart("biscuits");
    must(biscuits == 501, || format!("after one more the cart has {biscuits}"))
}
