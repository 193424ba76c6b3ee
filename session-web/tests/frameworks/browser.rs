//! A client over TCP that keeps cookies.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::scene::soon;

/// Keeps cookies by name, as a browser over HTTPS does. A clone is another tab with the same cookies.
#[derive(Clone)]
pub struct Browser {
    address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct Answer {
    /// 0 if the server has closed the connection without an answer.
    pub status: u16,
    /// With lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Whether the server has sent the end of the body.
    pub complete: bool,
}

impl Answer {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value).collect()
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    pub fn sets_no_cookie(self) -> Self {
        assert!(self.all("set-cookie").is_empty(), "{self:?}");
        self
    }
}

impl Browser {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, cookies: BTreeMap::new() }
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &[u8])]) -> Answer {
        let stream = self.ask(method, path, headers).await;
        self.rest(stream, method == "HEAD").await
    }

    /// Sends a request and reads nothing yet.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &[u8])]) -> TcpStream {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n").into_bytes();
        if !headers.iter().any(|(name, _)| *name == "sec-fetch-site") {
            head.extend(b"sec-fetch-site: same-origin\r\n");
        }
        for (name, value) in &self.cookies {
            // One line for each, as HTTP/2 allows.
            head.extend(format!("cookie: {name}={value}\r\n").as_bytes());
        }
        for (name, value) in headers {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&head).await.unwrap();
        stream
    }

    /// The whole answer of the server until it closes the connection.
    pub async fn rest(&mut self, mut stream: TcpStream, is_head: bool) -> Answer {
        let mut bytes = Vec::new();
        // A server that aborts a body may reset the connection.
        let _ = soon("the end of the answer", stream.read_to_end(&mut bytes)).await;
        let answer = parse(&bytes, is_head);
        for line in answer.all("set-cookie") {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

fn parse(bytes: &[u8], is_head: bool) -> Answer {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        assert!(bytes.is_empty(), "half a head: {:?}", String::from_utf8_lossy(bytes));
        return Answer { status: 0, headers: Vec::new(), body: String::new(), complete: false };
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<_> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    let rest = &bytes[end + 4..];
    let (body, complete) = if is_head {
        (rest.to_vec(), rest.is_empty())
    } else if find("transfer-encoding") == Some("chunked") {
        chunks(rest)
    } else {
        let length = find("content-length").map_or(0, |length| length.parse().unwrap());
        (rest.to_vec(), rest.len() == length)
    };
    Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned(), complete }
}

fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let Ok(size) = usize::from_str_radix(&String::from_utf8_lossy(&rest[..line]), 16) else { break };
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(line + 2..line + 2 + size) else { break };
        body.extend(chunk);
        rest = rest.get(line + 4 + size..).unwrap_or_default();
    }
    (body, false)
}
