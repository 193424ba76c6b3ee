//! Two browsers in front of the shop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::chromium::{Driver, Profile};
use super::proxy::{Logins, Proxy};
use crate::Result;
use crate::demo::shop::Shop;
use crate::promise::must;

/// The label of the second browser differs from the first one's.
const PHONE: &str = "--user-agent=Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 \
                     (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";

/// The browsers reach the shop through the proxy.
#[derive(Debug)]
pub(super) struct Stage {
    /// A browser on a desk.
    pub(super) ada: Profile,
    /// A browser with another profile, as small as a phone.
    pub(super) phone: Profile,
    pub(super) proxy: Proxy,
    /// Another shop, whose cookie needs HTTPS.
    pub(super) https: SocketAddr,
    directory: PathBuf,
    _driver: Driver,
}

impl Stage {
    pub(super) fn new(
        programs: &[PathBuf],
        directory: &Path,
        shop: &Shop,
        https: SocketAddr,
    ) -> Result<Self> {
        let driver = Driver::start(programs, &directory.join("chromedriver.log"))?;
        let ada = driver.profile(&directory.join("profile-desk"), &["--window-size=1200,900"])?;
        let phone = driver.profile(&directory.join("profile-phone"), &["--window-size=420,900", PHONE])?;
        let proxy = Proxy::start(shop.address)?;
        Ok(Self { ada, phone, proxy, https, directory: directory.to_owned(), _driver: driver })
    }

    /// Both browsers are new visitors on the first page.
    pub(super) fn begin(&self) -> Result {
        self.proxy.set(Logins::Pass);
        for browser in [&self.ada, &self.phone] {
            browser.open(&self.url("/"))?;
            browser.delete_cookies()?;
            browser.open(&self.url("/"))?;
        }
        Ok(())
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy.address)
    }

    pub(super) fn picture(&self, browser: &Profile, name: &str) -> Result {
        browser.screenshot(&self.directory.join(format!("{name}.png")))
    }
}

pub(super) const LOG_IN: &str = "form[action='/login'] button";

/// Types the name into the form of the page.
pub(super) fn fill_in(browser: &Profile, name: &str) -> Result {
    browser.fill("form[action='/login'] input", name)
}

/// Logs in with the form of the page.
pub(super) fn log_in(browser: &Profile, name: &str) -> Result {
    fill_in(browser, name)?;
    browser.click(LOG_IN)?;
    browser.shows(&format!("Signed in as {name}"))
}

pub(super) fn log_out(browser: &Profile) -> Result {
    browser.click("form[action='/logout'] button")
}

/// Puts teapots into the cart with the form of the first page.
pub(super) fn add_teapots(browser: &Profile, quantity: &str) -> Result {
    browser.fill("form:has([value=teapot]) [name=qty]", quantity)?;
    browser.click("form:has([value=teapot]) button")?;
    browser.shows(&format!("Cart · {quantity}"))
}

/// Waits for a page for visitors without a user.
pub(super) fn is_logged_out(browser: &Profile) -> Result {
    browser.shows("Log in")?;
    let text = browser.text()?;
    must(!text.contains("Signed in"), || format!("the page is not logged out: {text}"))
}

/// The session cookie, which must be the only one.
pub(super) fn cookie(browser: &Profile) -> Result<Value> {
    let mut cookies = browser.cookies()?;
    must(cookies.len() == 1, || format!("{} cookies instead of 1", cookies.len()))?;
    Ok(cookies.remove(0))
}
