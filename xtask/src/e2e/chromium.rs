//! Chromium, driven over the WebDriver protocol (W3C).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::header::CONTENT_TYPE;
use xtask_debian::Programs;

use crate::server::Server;
use crate::{Result, test};

const CHROMIUM: Programs = Programs {
    packages: &["chromium", "chromium-common", "chromium-driver"],
    programs: &[("chromium", "usr/lib/chromium/chromium"), ("chromedriver", "usr/bin/chromedriver")],
};

/// The key of an element's id in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long one command, or waiting for a page, may take. Ends a hanging check, and affects no other result.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Finds Chromium and chromedriver, or fetches Debian's packages.
pub(crate) fn find() -> Result<Vec<PathBuf>> {
    Ok(CHROMIUM.find()?)
}

/// A running chromedriver.
#[derive(Debug)]
pub(crate) struct Driver {
    _server: Server,
    url: String,
    browser: PathBuf,
    agent: Agent,
}

impl Driver {
    pub(crate) fn start(programs: &[PathBuf], log: &Path) -> Result<Self> {
        let [browser, driver] = programs else { return Err("chromedriver is missing".into()) };
        let line = "ChromeDriver was started successfully on port ";
        let server = Server::start(Command::new(driver).arg("--port=0"), log, line)?;
        let url = format!("http://127.0.0.1:{}", server.said.trim_end_matches('.'));
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        // Chromedriver wants the path of the browser; the name on the path is enough for this program.
        let browser = if browser.components().count() == 1 { PathBuf::new() } else { browser.clone() };
        Ok(Self { _server: server, url, browser, agent: config.build().into() })
    }

    /// A browser with an empty profile in this directory.
    pub(crate) fn profile(&self, directory: &Path, more: &[&str]) -> Result<Profile> {
        let mut arguments = vec![
            "--headless=new".to_owned(),
            // Chromium refuses to run as root inside its sandbox. It opens the shop's pages only.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            // Containers have little shared memory.
            "--disable-dev-shm-usage".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", directory.display()),
        ];
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        let mut options = json!({ "args": arguments });
        if !self.browser.as_os_str().is_empty() {
            options["binary"] = json!(self.browser);
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let mut profile = Profile { agent: self.agent.clone(), url: format!("{}/session", self.url) };
        let answer = profile.post("", &wanted)?;
        let id = answer["sessionId"].as_str().ok_or("chromedriver named no session")?;
        profile.url = format!("{}/{id}", profile.url);
        Ok(profile)
    }
}

/// A browser with its own profile. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Profile {
    agent: Agent,
    url: String,
}

impl Profile {
    /// Opens a page and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) -> Result {
        self.post("/url", &json!({ "url": url })).map(drop)
    }

    pub(crate) fn back(&self) -> Result {
        self.post("/back", &json!({})).map(drop)
    }

    pub(crate) fn reload(&self) -> Result {
        self.post("/refresh", &json!({})).map(drop)
    }

    /// Clicks on the first element that matches the CSS selector.
    pub(crate) fn click(&self, selector: &str) -> Result {
        let element = self.element(selector)?;
        self.post(&format!("/element/{element}/click"), &json!({})).map(drop)
    }

    /// A double click with the mouse, with this time between its two clicks.
    pub(crate) fn double_click(&self, selector: &str, between: Duration) -> Result {
        let origin = json!({ ELEMENT: self.element(selector)? });
        let [down, up] = ["pointerDown", "pointerUp"].map(|kind| json!({ "type": kind, "button": 0 }));
        let over = json!({ "type": "pointerMove", "duration": 0, "origin": origin, "x": 0, "y": 0 });
        let pause = json!({ "type": "pause", "duration": between.as_millis() as u64 });
        let mouse = json!({
            "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" },
            "actions": [over, down, up, pause, down, up],
        });
        self.post("/actions", &json!({ "actions": [mouse] })).map(drop)
    }

    /// Types into a field.
    pub(crate) fn fill(&self, selector: &str, text: &str) -> Result {
        let element = self.element(selector)?;
        self.post(&format!("/element/{element}/clear"), &json!({}))?;
        self.post(&format!("/element/{element}/value"), &json!({ "text": text })).map(drop)
    }

    /// The text that the visitor sees.
    pub(crate) fn text(&self) -> Result<String> {
        Ok(self.script("return document.body.innerText")?.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page shows this text.
    pub(crate) fn shows(&self, text: &str) -> Result {
        let began = test::stopwatch();
        loop {
            // A page that is being replaced may have no body.
            let shown = self.text().unwrap_or_else(|error| error.to_string());
            if shown.contains(text) {
                return Ok(());
            }
            if began.elapsed() > TIMEOUT {
                return Err(format!("the page does not show {text:?} but: {shown}").into());
            }
            test::pause();
        }
    }

    /// Runs the body of a function in the page and returns its result.
    pub(crate) fn script(&self, body: &str) -> Result<Value> {
        self.post("/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// The cookies of the page, as the browser keeps them.
    pub(crate) fn cookies(&self) -> Result<Vec<Value>> {
        let cookies = Self::value(self.agent.get(format!("{}/cookie", self.url)).call()?)?;
        Ok(cookies.as_array().cloned().unwrap_or_default())
    }

    pub(crate) fn delete_cookies(&self) -> Result {
        Self::value(self.agent.delete(format!("{}/cookie", self.url)).call()?).map(drop)
    }

    /// The tab that later commands use.
    pub(crate) fn tab(&self) -> Result<Value> {
        Self::value(self.agent.get(format!("{}/window", self.url)).call()?)
    }

    pub(crate) fn new_tab(&self) -> Result<Value> {
        Ok(self.post("/window/new", &json!({ "type": "tab" }))?["handle"].take())
    }

    pub(crate) fn switch_to(&self, tab: &Value) -> Result {
        self.post("/window", &json!({ "handle": tab })).map(drop)
    }

    /// Closes the tab. Switch to another one then.
    pub(crate) fn close_tab(&self) -> Result {
        Self::value(self.agent.delete(format!("{}/window", self.url)).call()?).map(drop)
    }

    /// Saves a picture of the page.
    pub(crate) fn screenshot(&self, path: &Path) -> Result {
        let picture = Self::value(self.agent.get(format!("{}/screenshot", self.url)).call()?)?;
        Ok(fs::write(path, BASE64.decode(picture.as_str().unwrap_or_default().as_bytes())?)?)
    }

    fn element(&self, selector: &str) -> Result<String> {
        let query = json!({ "using": "css selector", "value": selector });
        let element = self.post("/element", &query)?;
        Ok(element[ELEMENT].as_str().ok_or("chromedriver named no element")?.to_owned())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.url)).header(CONTENT_TYPE, "application/json");
        Self::value(request.send(body.to_string())?)
    }

    fn value(response: ureq::http::Response<ureq::Body>) -> Result<Value> {
        let body = response.into_body().with_config().limit(64 << 20).read_to_vec()?;
        let mut answer: Value = serde_json::from_slice(&body)?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => {
                let message = value["message"].as_str().unwrap_or_default();
                Err(format!("{error}: {}", message.lines().next().unwrap_or_default()).into())
            }
            None => Ok(value),
        }
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // If this fails, the browser ends with chromedriver or stays.
        let _ = self.agent.delete(&self.url).call();
    }
}
