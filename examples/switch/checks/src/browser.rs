//! A browser: HTTP/1.1 over a connection for each request, and one cookie.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::Application;

#[derive(Clone)]
pub struct Browser {
    address: SocketAddr,
    cookie: Option<String>,
}

/// A request whose body is still to come.
pub struct Upload(TcpStream);

impl Browser {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, cookie: None }
    }

    /// The cookie, as it is sent.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookie.clone()
    }

    /// Uses another address from now on.
    pub(crate) fn visit(&mut self, application: &Application) {
        self.address = application.address();
    }

    /// The notebook.
    pub(crate) fn show(&mut self) -> Value {
        let response = read(self.begin("GET", "/", 0));
        assert_eq!(status(&response), 200, "{response}");
        self.keep(&response);
        serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Sends a form and returns the status.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> u16 {
        let mut stream = self.begin("POST", path, body.len());
        stream.write_all(body.as_bytes()).unwrap();
        let response = read(stream);
        self.keep(&response);
        status(&response)
    }

    /// Sends the head of a request, and waits until the application reads its body.
    pub(crate) fn upload(&mut self, path: &str, length: usize) -> Upload {
        let mut stream = self.send("POST", path, length, "expect: 100-continue\r\n");
        let mut answer = [0; 25];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        // actix-web answers before it loads the session. It has loaded it when it serves the next request.
        self.show();
        Upload(stream)
    }

    fn begin(&self, method: &str, path: &str, length: usize) -> TcpStream {
        self.send(method, path, length, "")
    }

    fn send(&self, method: &str, path: &str, length: usize, more: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let cookie = self.cookie.as_ref().map_or_else(String::new, |cookie| format!("cookie: {cookie}\r\n"));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{cookie}{more}content-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    fn keep(&mut self, response: &str) {
        let head = response.split("\r\n\r\n").next().unwrap_or_default();
        for line in head.lines() {
            let Some((name, value)) = line.split_once(": ") else { continue };
            if name.eq_ignore_ascii_case("set-cookie") {
                let cookie = value.split(';').next().unwrap_or_default();
                let is_deleted = cookie.ends_with('=') || value.contains("Max-Age=0");
                self.cookie = (!is_deleted).then(|| cookie.to_owned());
            }
        }
    }
}

impl Upload {
    /// Sends the body, keeps the cookie of the response, and returns the status.
    pub(crate) fn finish(mut self, browser: &mut Browser, body: &str) -> u16 {
        self.0.write_all(body.as_bytes()).unwrap();
        let response = read(self.0);
        browser.keep(&response);
        status(&response)
    }
}

fn read(mut stream: TcpStream) -> String {
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

fn status(response: &str) -> u16 {
    response
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{response:?}"))
}
