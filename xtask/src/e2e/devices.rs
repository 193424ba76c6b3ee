//! The list of devices.

use super::stage::{Stage, add_teapots, is_logged_out, log_in};
use crate::Result;
use crate::promise::must;

pub(super) fn sign_out_one(stage: &mut Stage) -> Result {
    let (ada, phone) = (&stage.ada, &stage.phone);
    log_in(phone, "Beth")?;
    log_in(ada, "Beth")?;
    ada.click("a[href='/devices']")?;
    for text in ["Chrome on Linux", "Safari on iPhone", "This device", "just now"] {
        ada.shows(text)?;
    }
    stage.picture(ada, "6-devices")?;
    phone.open(&stage.url("/devices"))?;
    stage.picture(phone, "7-devices-on-phone")?;

    ada.click("form[action='/devices/end'] button")?;
    ada.shows("The device is signed out.")?;
    let text = ada.text()?;
    must(!text.contains("iPhone"), || format!("the list still has the phone: {text}"))?;
    stage.picture(ada, "8-signed-out-one")?;
    phone.reload()?;
    is_logged_out(phone)
}

pub(super) fn sign_out_everywhere_else(stage: &mut Stage) -> Result {
    let (ada, phone) = (&stage.ada, &stage.phone);
    log_in(phone, "Carol")?;
    log_in(ada, "Carol")?;
    ada.open(&stage.url("/devices"))?;
    ada.click("form[action='/devices/end-others'] button")?;
    ada.shows("All other devices are signed out.")?;
    let text = ada.text()?;
    must(text.contains("This device") && !text.contains("iPhone"), || format!("the list is: {text}"))?;
    phone.reload()?;
    is_logged_out(phone)?;
    ada.reload()?;
    ada.shows("Signed in as Carol")
}

pub(super) fn live_page_shows_changes_and_the_end(stage: &mut Stage) -> Result {
    let (ada, phone) = (&stage.ada, &stage.phone);
    log_in(phone, "Dora")?;
    let (live, shop) = (phone.tab()?, phone.new_tab()?);
    phone.switch_to(&live)?;
    phone.open(&stage.url("/live"))?;
    phone.shows("Connected")?;
    phone.switch_to(&shop)?;
    phone.open(&stage.url("/"))?;
    add_teapots(phone, "7")?;
    phone.close_tab()?;
    phone.switch_to(&live)?;
    phone.shows("Cart · 7")?;
    stage.picture(phone, "9-live")?;

    log_in(ada, "Dora")?;
    ada.open(&stage.url("/devices"))?;
    ada.click("form[action='/devices/end'] button")?;
    phone.shows("Signed out")?;
    stage.picture(phone, "10-live-after-the-end")
}
