//! `cargo xtask e2e`: uses the example shop with a real Chromium.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::demo::Framework;
use crate::demo::shop::{self, Shop};
use crate::tally::Tally;
use crate::{Result, cargo, promise};

mod chromium;
mod devices;
mod login;
mod proxy;
mod stage;

pub(crate) use chromium::find;
use stage::Stage;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the shop keeps its sessions, such as redis://127.0.0.1 [default: a new SQLite file in target/e2e]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

/// The text of a promise, and its test.
type Promise = (&'static str, fn(&mut Stage) -> Result);

/// Each test starts without cookies in both browsers.
const PROMISES: &[Promise] = &[
    ("a visitor logs in, gets a new session id and keeps the cart", login::keeps_the_cart),
    ("the greeting after the login is shown once", login::greeting_is_shown_once),
    (
        "the cookie is HttpOnly, SameSite=Lax, of this host only, and invisible to scripts",
        login::cookie_is_careful,
    ),
    ("over HTTPS the cookie is Secure and has the prefix __Host-", login::cookie_over_https),
    ("a double click on \"log in\" sends two logins and ends logged in, with the cart", login::double_click),
    (
        "a login whose response is lost and that is repeated ends logged in, with the cart",
        login::lost_response,
    ),
    (
        "after a logout in one tab, the other tab is logged out at its next click",
        login::logout_in_another_tab,
    ),
    ("a form on a page of another site cannot log the visitor out", login::form_of_another_site),
    ("the list of devices names both browsers, and one signs the other out", devices::sign_out_one),
    ("\"sign out everywhere else\" keeps this browser signed in", devices::sign_out_everywhere_else),
    (
        "the live page shows changes of another tab, and says \"signed out\" by itself",
        devices::live_page_shows_changes_and_the_end,
    ),
];

pub(crate) fn run(options: &Options) -> Result {
    promises(&find()?, options.store.as_deref(), false)
}

/// Tests the shop with these programs, and prints one line for each promise.
pub(crate) fn promises(programs: &[PathBuf], store: Option<&str>, after_all_tests: bool) -> Result {
    let directory = cargo::target()?.join("e2e");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let store = store.map_or_else(|| shop::sqlite_in(&directory.join("data")), str::to_owned);
    let program = shop::build(after_all_tests)?;
    let shop =
        Shop::start(&mut shop::command(&program, Framework::Axum, &store, 0), &directory.join("shop.log"))?;
    let https = Shop::start(
        shop::command(&program, Framework::Axum, "memory:", 0).arg("--https"),
        &directory.join("shop-https.log"),
    )?;
    let mut stage = Stage::new(programs, &directory, &shop, https.address)?;
    let mut tally = Tally::default();
    for (says, show) in PROMISES {
        let shown = stage.begin().and_then(|()| show(&mut stage));
        if shown.is_err() {
            for (browser, name) in [(&stage.ada, "desk"), (&stage.phone, "phone")] {
                // The failure itself matters more.
                let _ = stage.picture(browser, &format!("failed-{}-{name}", tally.failed + 1));
            }
        }
        tally.add(&promise::print(says, &shown));
    }
    drop(stage);
    println!("     screenshots and logs are in {}", directory.display());
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.is_good() { Ok(()) } else { Err("the shop does not keep its promises in Chromium".into()) }
}
