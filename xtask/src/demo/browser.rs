//! A browser: it keeps cookies, follows redirects, and sends forms.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::Value;

use super::http::{Response, send};
use super::jar::Jar;
use crate::Result;

/// One visitor. Clones are windows of the same browser: they share its cookies.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    address: SocketAddr,
    jar: Arc<Mutex<Jar>>,
}

/// What `/api/state` says of the visitor's session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State(pub(crate) Value);

impl State {
    pub(crate) fn visits(&self) -> u64 {
        self.0["visits"].as_u64().unwrap_or(0)
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.0["user"].as_str()
    }

    /// How many of `item` are in the cart.
    pub(crate) fn cart(&self, item: &str) -> u64 {
        self.0["cart"][item].as_u64().unwrap_or(0)
    }

    /// Whether it is what a visitor without any session has.
    pub(crate) fn is_blank(&self) -> bool {
        self.visits() == 0
            && self.user().is_none()
            && self.0["cart"].as_object().is_none_or(|cart| cart.is_empty())
    }
}

impl Browser {
    /// A fresh one, without cookies.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, jar: Arc::default() }
    }

    /// Another browser that holds a copy of this one's cookies as they are now, like a thief's, or like a request that
    /// was sent before the cookies changed.
    pub(crate) fn copy(&self) -> Self {
        Self { address: self.address, jar: Arc::new(Mutex::new(self.jar().clone())) }
    }

    /// This browser, where the shop has come back at another port: cookies know no ports.
    pub(crate) fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// The cookies.
    pub(crate) fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of the one cookie that the shop sets, if there is any.
    pub(crate) fn session(&self) -> Option<String> {
        self.jar().iter().next().map(|cookie| cookie.value.clone())
    }

    /// Asks for a page and follows redirects to the page that a person would see.
    pub(crate) fn get(&self, path: &str) -> Result<Response> {
        let answer = self.once("GET", path, None)?;
        self.follow(answer)
    }

    /// Sends a form and follows the redirect that answers it.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        let answer = self.once("POST", path, Some(&encode(fields)))?;
        if answer.status != 303 {
            return Err(format!("POST {path} answered {} and not 303", answer.status).into());
        }
        self.follow(answer)
    }

    /// One request and its answer, redirects not followed. Cookies are sent and taken in.
    pub(crate) fn once(&self, method: &str, path: &str, form: Option<&str>) -> Result<Response> {
        let cookie = self.jar().header(path, now());
        let answer = send(self.address, method, path, cookie.as_deref().map(str::as_bytes), form)?;
        let mut jar = self.jar();
        for header in answer.values("set-cookie") {
            jar.take(header, path, now()).map_err(|reason| format!("{method} {path}: {reason}"))?;
        }
        Ok(answer)
    }

    /// What the shop knows of this visitor, without the visit being counted.
    pub(crate) fn state(&self) -> Result<State> {
        let answer = self.once("GET", "/api/state", None)?;
        if answer.status != 200 {
            return Err(format!("GET /api/state answered {}", answer.status).into());
        }
        Ok(State(serde_json::from_slice(&answer.body)?))
    }

    fn follow(&self, mut answer: Response) -> Result<Response> {
        for _ in 0..5 {
            match answer.status {
                200 => return Ok(answer),
                303 => {
                    let next = answer.header("location").ok_or("a redirect to nowhere")?;
                    answer = self.once("GET", &next, None)?;
                }
                status => return Err(format!("the page answered {status}: {}", answer.text()).into()),
            }
        }
        Err("too many redirects".into())
    }
}

#[expect(clippy::disallowed_methods, reason = "a browser keeps real time")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// `application/x-www-form-urlencoded`.
pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                    char::from(byte).to_string()
                }
                b' ' => "+".to_owned(),
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    let pairs: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_as_browsers_do() {
        assert_eq!(encode(&[("name", "Ada & Bö"), ("qty", "1")]), "name=Ada+%26+B%C3%B6&qty=1");
    }
}
