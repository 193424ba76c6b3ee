//! The list of the user's devices.

use super::scene::{Scene, log_in};
use crate::Result;
use crate::demo::browser::Browser;
use crate::promise::must;

pub(super) fn sign_out_one(scene: &mut Scene) -> Result {
    let [phone, laptop] = signed_in(scene, "heidi")?;
    let handles = handles(&laptop)?;
    let [handle] = &handles[..] else {
        return Err(format!("{} other devices are listed instead of 1", handles.len()).into());
    };
    // Another user may not use the handle.
    let [thief] = signed_in(scene, "mallory")?;
    thief.post("/devices/end", &[("handle", handle)])?;
    must(phone.state()?.user() == Some("heidi"), || "another user signed the device out".to_owned())?;
    let foreign = laptop.post_from("http://127.0.0.1:1", "/devices/end", &[("handle", handle)])?;
    must(foreign.status == 403, || format!("a form of another site was answered with {}", foreign.status))?;

    laptop.post("/devices/end", &[("handle", handle)])?;
    must(phone.state()?.is_blank(), || "the device is still signed in".to_owned())?;
    must(laptop.state()?.user() == Some("heidi"), || "the list's own device is signed out".to_owned())
}

pub(super) fn sign_out_everywhere_else(scene: &mut Scene) -> Result {
    let [phone, laptop, tablet] = signed_in(scene, "ivan")?;
    let [stranger] = signed_in(scene, "judy")?;
    laptop.post("/devices/end-others", &[])?;
    for other in [phone, tablet] {
        must(other.state()?.is_blank(), || "another device is still signed in".to_owned())?;
    }
    must(laptop.state()?.user() == Some("ivan"), || "the list's own device is signed out".to_owned())?;
    must(handles(&laptop)?.is_empty(), || "the list still has other devices".to_owned())?;
    must(stranger.state()?.user() == Some("judy"), || "another user is signed out".to_owned())
}

fn signed_in<const N: usize>(scene: &Scene, name: &str) -> Result<[Browser; N]> {
    let browsers = (0..N).map(|_| {
        let browser = scene.browser()?;
        log_in(&browser, name)?;
        Ok(browser)
    });
    Ok(browsers.collect::<Result<Vec<_>>>()?.try_into().map_err(|_| "wrong number of browsers")?)
}

/// The handles of the other devices, from the buttons of the page.
fn handles(browser: &Browser) -> Result<Vec<String>> {
    let page = browser.get("/devices")?.text();
    let buttons = page.split("name=handle value=").skip(1);
    Ok(buttons.map(|button| button.split('>').next().unwrap_or_default().to_owned()).collect())
}
