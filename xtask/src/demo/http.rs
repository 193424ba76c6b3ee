//! The little of HTTP/1.1 that a browser needs to talk to the shop: one request per connection, no TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Result;

/// How long the shop may take for one answer. Far beyond what it needs: this ends a hanging check, it decides none.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that an answer of the shop may be.
const LIMIT: u64 = 8 << 20;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case; values as they came, for a cookie need not be UTF-8.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first header of that name (lower case), as text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.values(name).next().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// All headers of that name (lower case).
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request and waits for the whole answer. `cookie` is the value of the Cookie header, as bytes.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    cookie: Option<&[u8]>,
    form: Option<&str>,
) -> Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;

    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nUser-Agent: xtask-demo-check\r\n\
         Accept: text/html,*/*\r\n"
    )
    .into_bytes();
    if let Some(cookie) = cookie {
        request.extend_from_slice(b"Cookie: ");
        request.extend_from_slice(cookie);
        request.extend_from_slice(b"\r\n");
    }
    if let Some(form) = form {
        request.extend_from_slice(
            format!(
                "Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://{address}\r\n\
                 Content-Length: {}\r\n",
                form.len()
            )
            .as_bytes(),
        );
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(form.unwrap_or_default().as_bytes());
    stream.write_all(&request)?;
    read(BufReader::new(stream.take(LIMIT)))
}

fn read(mut stream: impl BufRead) -> Result<Response> {
    let first = line(&mut stream)?;
    let status = String::from_utf8_lossy(&first);
    let status = status.strip_prefix("HTTP/1.1 ").ok_or("the answer is not HTTP/1.1")?;
    let status = status.get(..3).ok_or("the answer has no status")?.parse()?;

    let mut headers = Vec::new();
    loop {
        let line = line(&mut stream)?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or("a header line without a colon")?;
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii().to_vec();
        headers.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value));
    }

    let mut response = Response { status, headers, body: Vec::new() };
    if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        response.body = chunks(&mut stream)?;
    } else if let Some(length) = response.header("content-length") {
        response.body = exactly(&mut stream, length.parse()?)?;
    } else {
        stream.read_to_end(&mut response.body)?;
    }
    Ok(response)
}

fn chunks(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = String::from_utf8_lossy(&line(stream)?).into_owned();
        let size = u64::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.extend(exactly(stream, size)?);
        line(stream)?;
    }
}

fn exactly(stream: &mut impl BufRead, length: u64) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    if body.len() as u64 == length { Ok(body) } else { Err("the answer ended too early".into()) }
}

/// One line without its end.
fn line(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\n").ok_or("the connection ended in the middle of a line")?;
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_known_length_and_one_in_chunks_read_alike() {
        let whole = read(&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\r\nX: b\r\n\r\nhello more"[..]);
        let chunked = read(
            &b"HTTP/1.1 303 See Other\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"[..],
        );
        let (whole, chunked) = (whole.expect("well formed"), chunked.expect("well formed"));
        assert_eq!((whole.status, whole.text().as_str()), (200, "hello"));
        assert_eq!((chunked.status, chunked.text().as_str()), (303, "hello"));
        assert_eq!(whole.values("x").collect::<Vec<_>>(), [b"a", b"b"]);
    }

    #[test]
    fn an_answer_cut_short_is_an_error() {
        assert!(read(&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"[..]).is_err());
        assert!(read(&b"HTTP/1.1 200 OK\r\nContent-Le"[..]).is_err());
        assert!(read(&b""[..]).is_err());
    }
}
