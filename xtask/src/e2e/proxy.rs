//! A proxy between the browsers and the shop. It counts logins and can lose or hold their responses.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Result;

/// How long a response is held at most.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The largest head of a request that the browsers send, in bytes.
const LIMIT: usize = 64 << 10;

/// What happens to the response of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logins {
    /// It arrives.
    Pass,
    /// The connection breaks after the shop has answered. This is the end of all logins, because Chromium repeats a request
    /// itself if it had opened the connection in advance.
    Lose,
    /// It waits until this many logins have been sent.
    HoldUntil(usize),
}

#[derive(Debug)]
struct State {
    shop: SocketAddr,
    /// What happens to logins, and how many were sent since this was set.
    logins: Mutex<(Logins, usize)>,
    sent: Condvar,
}

/// A running proxy. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    pub(crate) fn start(shop: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let logins = Mutex::new((Logins::Pass, 0));
        let state = Arc::new(State { shop, logins, sent: Condvar::new() });
        let proxy = Self { address: listener.local_addr()?, state };
        let state = Arc::clone(&proxy.state);
        thread::spawn(move || {
            for browser in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // An error is a connection that one side has closed.
                thread::spawn(move || drop(serve(browser, &state)));
            }
        });
        Ok(proxy)
    }

    /// What happens to the next logins.
    pub(crate) fn set(&self, logins: Logins) {
        *self.state.logins() = (logins, 0);
    }

    /// How many logins were sent since [`set`](Self::set).
    pub(crate) fn logins(&self) -> usize {
        self.state.logins().1
    }
}

impl State {
    fn logins(&self) -> MutexGuard<'_, (Logins, usize)> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a login and returns what happens to it.
    fn login(&self) -> Logins {
        let mut logins = self.logins();
        logins.1 += 1;
        self.sent.notify_all();
        logins.0
    }

    fn wait_for(&self, count: usize) {
        drop(self.sent.wait_timeout_while(self.logins(), TIMEOUT, |logins| logins.1 < count));
    }
}

/// Forwards one request and its response. The shop then closes the connection, so that each request has its own.
fn serve(mut browser: TcpStream, state: &State) -> io::Result<()> {
    let head = read_head(&mut browser)?;
    let mut shop = TcpStream::connect(state.shop)?;
    shop.write_all(head.replace("\r\nConnection: keep-alive", "\r\nConnection: close").as_bytes())?;
    let (mut from, mut to) = (browser.try_clone()?, shop.try_clone()?);
    thread::spawn(move || {
        // The rest of the request, until the browser closes its connection.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    if !head.starts_with("POST /login ") {
        io::copy(&mut shop, &mut browser)?;
        return browser.shutdown(std::net::Shutdown::Both);
    }
    let logins = state.login();
    let mut response = Vec::new();
    shop.read_to_end(&mut response)?;
    if let Logins::HoldUntil(count) = logins {
        state.wait_for(count);
    }
    if logins != Logins::Lose {
        browser.write_all(&response)?;
    }
    browser.shutdown(std::net::Shutdown::Both)
}

/// The head of a request, and what arrived with it.
fn read_head(browser: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut part = [0; 8 << 10];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = browser.read(&mut part)?;
        if read == 0 || head.len() > LIMIT {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&part[..read]);
    }
    String::from_utf8(head).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
