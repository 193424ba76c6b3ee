//! The promises of the demo, tested over real HTTP.

use std::path::Path;
use std::{fs, process};

use crate::demo::Framework;
use crate::tally::Tally;
use crate::{Result, cargo, promise};

mod cookies;
mod devices;
mod forms;
mod identity;
mod scene;
mod writes;

use cookies::{forged_ids, malformed_cookies, nothing_for_nothing, the_cookie_is_careful};
use devices::{sign_out_everywhere_else, sign_out_one};
use forms::{foreign_form, invalid_forms};
use identity::{
    double_click_on_login, logout_during_a_slow_request, logout_ends, retry_of_a_lost_login,
    rotation_at_login, the_old_id_is_dead,
};
use scene::Scene;
use writes::{
    a_late_save_overwrites_nothing, flash_once, kill_and_restart, parallel_additions, parallel_strangers,
    sustained_additions, the_counter_counts,
};

/// The text of a promise, and its test.
type Promise = (&'static str, fn(&mut Scene) -> Result);

/// Run in this order. Each test starts with new browsers, and only the last one stops the shop.
const PROMISES: &[Promise] = &[
    ("reading creates no session and sends no cookie", nothing_for_nothing),
    ("the visit counter increases", the_counter_counts),
    ("the session cookie is HttpOnly and SameSite=Lax", the_cookie_is_careful),
    ("eight parallel additions to the cart are all kept", parallel_additions),
    ("eight windows with 25 additions each lose none of the 200", sustained_additions),
    ("a slow request overwrites no later addition", a_late_save_overwrites_nothing),
    ("eight parallel first visits create eight separate sessions", parallel_strangers),
    ("a login gives a new session id and keeps the cart", rotation_at_login),
    ("the id from before the login reads nothing, creates nothing and gets no cookie", the_old_id_is_dead),
    ("the greeting after the login is shown once", flash_once),
    ("both halves of a double click on \"log in\" end logged in, with the cart", double_click_on_login),
    (
        "a login whose response was lost and that is repeated ends logged in, with the cart",
        retry_of_a_lost_login,
    ),
    ("the list of devices shows each session of the user, and signs out the chosen one", sign_out_one),
    (
        "\"sign out everywhere else\" ends all other sessions of the user, and no one else's",
        sign_out_everywhere_else,
    ),
    ("a logout ends the session and deletes the cookie", logout_ends),
    ("a slow request does not undo a logout", logout_during_a_slow_request),
    ("a forged session id is never adopted", forged_ids),
    ("a malformed cookie is ignored and never echoed", malformed_cookies),
    ("a form with an unknown item, quantity or name is refused", invalid_forms),
    ("a form from another site is refused", foreign_form),
    ("login and cart survive SIGKILL and a restart", kill_and_restart),
];

/// Tests each promise and prints one line for it. If one fails, the shop's data and log stay on disk.
pub(crate) fn check(program: &Path, framework: Framework) -> Result<Tally> {
    let data = cargo::target()?.join("demo-check").join(format!("{}-{}", process::id(), framework.name()));
    fs::create_dir_all(&data)?;
    let mut scene = Scene { program: program.to_owned(), framework, data, shop: None };
    let shop = scene.start()?;
    println!("the shop on {} listens on http://{}", framework.name(), shop.address);
    scene.shop = Some(shop);
    let mut tally = Tally::default();
    for (says, show) in PROMISES {
        tally.add(&promise::print(says, &show(&mut scene)));
    }
    drop(scene.shop.take());
    if tally.is_good() {
        fs::remove_dir_all(&scene.data)?;
        // The log is missing if the shop wrote nothing.
        let _ = fs::remove_file(scene.data.with_extension("log"));
    } else {
        println!("     the shop's data and log are in {}", scene.data.display());
    }
    Ok(tally)
}
