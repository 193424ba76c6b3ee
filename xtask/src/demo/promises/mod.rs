//! What the demo promises, each shown over real HTTP.

use std::path::Path;
use std::{fs, process};

use super::shop::Shop;
use crate::tally::Tally;
use crate::{Result, cargo};

mod cookies;
mod identity;
mod scene;
mod writes;

use cookies::{forged_ids, malformed_cookies, nothing_for_nothing, the_cookie_is_careful};
use identity::{logout_during_a_slow_request, logout_ends, rotation_at_login, the_old_id_is_dead};
use scene::Scene;
use writes::{
    a_late_save_overwrites_nothing, flash_once, kill_and_restart, parallel_additions, parallel_strangers,
    sustained_additions, the_counter_counts,
};

/// A promise in the words of its line, and what shows it.
type Promise = (&'static str, fn(&mut Scene) -> Result);

/// In this order: each begins with browsers of its own, and only the last one stops the shop.
const PROMISES: &[Promise] = &[
    ("a visitor who does nothing is given no session and no cookie", nothing_for_nothing),
    ("the visit counter counts", the_counter_counts),
    ("the session cookie is HttpOnly and SameSite=Lax", the_cookie_is_careful),
    ("eight parallel cart additions: all 8 are there", parallel_additions),
    ("eight windows adding 25 times each, all at once: all 200 are there", sustained_additions),
    (
        "a slow request that saves late overwrites nothing that was added meanwhile",
        a_late_save_overwrites_nothing,
    ),
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
