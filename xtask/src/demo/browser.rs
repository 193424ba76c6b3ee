//! A browser: it keeps cookies, follows redirects, and sends forms.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, header};
use ureq::{Agent, Body, Cookie};

use crate::Result;

/// How long one response may take. Ends a hanging check, and affects no result.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The largest body that the shop sends, in bytes.
const LIMIT: u64 = 8 << 20;

/// One visitor. Clones are windows of the same browser: they share its cookies.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    address: SocketAddr,
    agent: Agent,
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Response {
    fn read(response: ureq::http::Response<Body>) -> Result<Self> {
        let (head, mut body) = response.into_parts();
        let body = body.with_config().limit(LIMIT).read_to_vec()?;
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// All `Set-Cookie` headers.
    pub(crate) fn cookies(&self) -> Vec<String> {
        let headers = self.headers.get_all(header::SET_COOKIE);
        headers.iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The visitor's session as `/api/state` reports it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State(pub(crate) Value);

impl State {
    pub(crate) fn visits(&self) -> u64 {
        self.0["visits"].as_u64().unwrap_or(0)
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.0["user"].as_str()
    }

    /// The quantity of `item` in the cart.
    pub(crate) fn cart(&self, item: &str) -> u64 {
        self.0["cart"][item].as_u64().unwrap_or(0)
    }

    /// Whether the visitor has no session.
    pub(crate) fn is_blank(&self) -> bool {
        self.visits() == 0
            && self.user().is_none()
            && self.0["cart"].as_object().is_none_or(|cart| cart.is_empty())
    }
}

impl Browser {
    /// A browser without cookies.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TIMEOUT))
            // The shop may be killed between two requests.
            .max_idle_connections(0)
            .user_agent("xtask-demo-check")
            .build();
        Self { address, agent: config.into() }
    }

    /// Another browser with a copy of this one's cookie: a thief's browser, or a request that was sent before the cookie
    /// changed.
    pub(crate) fn copy(&self) -> Result<Self> {
        let copy = Self::new(self.address);
        if let Some((name, value)) = self.cookie() {
            copy.set_cookie(&name, &value)?;
        }
        Ok(copy)
    }

    /// This browser after the shop has moved to another port; cookies do not depend on ports.
    pub(crate) fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// Name and value of the shop's only cookie.
    pub(crate) fn cookie(&self) -> Option<(String, String)> {
        let jar = self.agent.cookie_jar_lock();
        jar.iter().next().map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned()))
    }

    /// Plants a cookie.
    pub(crate) fn set_cookie(&self, name: &str, value: &str) -> Result {
        let uri = self.url("/").parse()?;
        let cookie = Cookie::parse(format!("{name}={value}; Path=/"), &uri)?;
        Ok(self.agent.cookie_jar_lock().insert(cookie, &uri)?)
    }

    /// The value of the session cookie.
    pub(crate) fn session(&self) -> Option<String> {
        self.cookie().map(|(_, value)| value)
    }

    /// Gets a page and follows redirects to the page that a visitor sees.
    pub(crate) fn get(&self, path: &str) -> Result<Response> {
        self.follow(self.get_once(path)?)
    }

    /// Sends a form and follows its redirect.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        let response = self.post_once(path, fields)?;
        if response.status != 303 {
            return Err(format!("POST {path} was answered with {} instead of 303", response.status).into());
        }
        self.follow(response)
    }

    /// Gets a page without following redirects.
    pub(crate) fn get_once(&self, path: &str) -> Result<Response> {
        Response::read(self.agent.get(self.url(path)).call()?)
    }

    /// Sends a form without following its redirect.
    pub(crate) fn post_once(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        self.post_from(&self.url(""), path, fields)
    }

    /// Sends a form from a page of another site.
    pub(crate) fn post_from(&self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        let request = self.agent.post(self.url(path)).header(header::ORIGIN, origin);
        Response::read(request.send_form(fields.iter().copied())?)
    }

    /// Gets `/api/state` with exactly this `Cookie` header.
    pub(crate) fn state_with(&self, cookie: &[u8]) -> Result<Response> {
        let request = Self::new(self.address).agent.get(self.url("/api/state"));
        Response::read(request.header(header::COOKIE, cookie).call()?)
    }

    /// The visitor's session, without counting a visit.
    pub(crate) fn state(&self) -> Result<State> {
        let response = self.get_once("/api/state")?;
        if response.status != 200 {
            return Err(format!("GET /api/state was answered with {}", response.status).into());
        }
        Ok(State(serde_json::from_slice(&response.body)?))
    }

    fn follow(&self, mut response: Response) -> Result<Response> {
        for _ in 0..5 {
            match response.status {
                200 => return Ok(response),
                303 => {
                    let next = response.headers.get(header::LOCATION).ok_or("a redirect has no location")?;
                    response = self.get_once(next.to_str()?)?;
                }
                status => return Err(format!("the page has status {status}: {}", response.text()).into()),
            }
        }
        Err("too many redirects".into())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
