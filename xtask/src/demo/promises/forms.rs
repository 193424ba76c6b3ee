//! Forms that the shop refuses.

use super::scene::{Scene, no_cookie};
use crate::Result;
use crate::promise::must;

pub(super) fn invalid_forms(scene: &mut Scene) -> Result {
    let browser = scene.browser()?;
    for (path, fields) in [
        ("/cart", &[("item", "unicorn"), ("qty", "1")][..]),
        ("/cart", &[("item", "mug"), ("qty", "0")]),
        ("/cart", &[("item", "mug"), ("qty", "-1")]),
        ("/cart", &[("item", "mug"), ("qty", "1000")]),
        ("/cart", &[("item", "mug"), ("qty", "x")]),
        ("/login", &[("name", " \0 ")]),
    ] {
        let answer = browser.post_once(path, fields)?;
        must(answer.status == 400, || format!("{fields:?} was answered with {}", answer.status))?;
        no_cookie(&answer)?;
    }
    // A form without a quantity means one.
    browser.post("/cart", &[("item", "mug")])?;
    let mugs = browser.state()?.cart("mug");
    must(mugs == 1, || format!("one mug was added, the cart has {mugs}"))
}

pub(super) fn foreign_form(scene: &mut Scene) -> Result {
    let answer = scene.browser()?.post_from("http://127.0.0.1:1", "/login", &[("name", "mallory")])?;
    must(answer.status == 403, || format!("the form was answered with {}", answer.status))?;
    no_cookie(&answer)
}
