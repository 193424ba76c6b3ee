//! The load generator: keep-alive connections of an HTTP client that keeps one cookie for each of its users.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::args::Args;
use crate::draw::Random;
use crate::run::{cpu_nanos, stopwatch, with_children_nanos};
use crate::sample::Sample;

/// Of a hundred requests, how many read a session, and how many change one. The others log a user in or out.
const READS: u64 = 80;
const SAVES: u64 = 15;

/// Sends the mix of requests to the application at `url`, an address with a port, from [`Args::tasks`] connections with
/// [`Args::records`] users. The application is the parent of this process.
///
/// The figures are `rate` (requests per second), `p50_us` and `p99_us` (how long a request took), `request_ns` (processor
/// time of the application and of its server per request) and `failed`.
///
/// # Errors
/// The application cannot be reached, or a user cannot log in.
pub(crate) fn run(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(args))
}

async fn measure(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let state = Arc::new(State::default());
    let (ready, mut readies) = mpsc::channel(args.tasks);
    let connections = (0..args.tasks).map(|task| {
        let (state, ready) = (Arc::clone(&state), ready.clone());
        let (url, users) = (args.url.clone(), task..args.records.max(args.tasks));
        let users = users.step_by(args.tasks).collect();
        tokio::spawn(async move {
            let mut visitors = Visitors::log_in(&url, users).await?;
            ready.send(()).await.map_err(io::Error::other)?;
            // The other end waits until all have sent or failed.
            drop(ready);
            visitors.visit(task, &state).await
        })
    });
    let connections: Vec<_> = connections.collect();
    drop(ready);
    let mut waiting = args.tasks;
    while waiting > 0 && readies.recv().await.is_some() {
        waiting -= 1;
    }
    let parent = std::os::unix::process::parent_id().to_string();
    let processor = || match args.server {
        0 => cpu_nanos(&parent),
        server => cpu_nanos(&parent) + with_children_nanos(server),
    };
    tokio::time::sleep(args.warm_up).await;
    state.measuring.store(true, Relaxed);
    let (start, before) = (stopwatch(), processor());
    tokio::time::sleep(args.measured).await;
    state.measuring.store(false, Relaxed);
    let (elapsed, after) = (start.elapsed(), processor());
    state.stop.store(true, Relaxed);
    let (mut times, mut failed) = (Vec::new(), 0);
    for connection in connections {
        let (micros, failures) = connection.await??;
        times.extend(micros);
        failed += failures;
    }
    times.sort_unstable();
    if times.is_empty() {
        return Err("no request was answered".into());
    }
    let at = |part: usize| f64::from(times[(times.len() - 1) * part / 100]);
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let [count, failed, nanos] = [times.len() as f64, failed as f64, after.saturating_sub(before) as f64];
    Ok(Sample::new()
        .with("rate", count / elapsed.as_secs_f64())
        .with("p50_us", at(50))
        .with("p99_us", at(99))
        .with("request_ns", nanos / count)
        .with("failed", failed))
}

#[derive(Debug, Default)]
struct State {
    measuring: AtomicBool,
    stop: AtomicBool,
}

/// The users of one connection, each with the cookie of a browser.
struct Visitors {
    connection: Connection,
    users: Vec<(usize, Option<String>)>,
    /// The user who is logged out, if there is one.
    out: Option<usize>,
}

impl Visitors {
    async fn log_in(url: &str, users: Vec<usize>) -> io::Result<Self> {
        let connection = Connection::open(url).await?;
        let users = users.into_iter().map(|user| (user, None)).collect();
        let mut visitors = Self { connection, users, out: None };
        for place in 0..visitors.users.len() {
            if !visitors.log_in_user(place).await? {
                return Err(io::Error::other("a login was not answered with 200 and a cookie"));
            }
        }
        Ok(visitors)
    }

    /// Sends requests one after the other. Returns how many microseconds each of the measured ones took, and how many
    /// requests failed.
    async fn visit(&mut self, task: usize, state: &State) -> io::Result<(Vec<u32>, u64)> {
        let mut random = Random::new(task as u64);
        let (mut times, mut failed) = (Vec::new(), 0);
        while !state.stop.load(Relaxed) {
            let start = stopwatch();
            let good = match random.word() % 100 {
                draw if draw < READS => self.ask("GET /read", &mut random).await?,
                draw if draw < READS + SAVES => self.ask("POST /save", &mut random).await?,
                _ => match self.out.take() {
                    Some(place) => self.log_in_user(place).await?,
                    None => self.log_out(&mut random).await?,
                },
            };
            failed += u64::from(!good);
            if state.measuring.load(Relaxed) {
                times.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
        }
        Ok((times, failed))
    }

    /// The place of a user who is logged in.
    fn draw(&self, random: &mut Random) -> usize {
        let place = random.word() as usize % self.users.len();
        if self.out == Some(place) { (place + 1) % self.users.len() } else { place }
    }

    async fn ask(&mut self, line: &str, random: &mut Random) -> io::Result<bool> {
        let place = self.draw(random);
        let (_, cookie) = &mut self.users[place];
        self.connection.ask(line, cookie).await
    }

    async fn log_in_user(&mut self, place: usize) -> io::Result<bool> {
        let (user, cookie) = &mut self.users[place];
        let good = self.connection.ask(&format!("POST /login/{user}"), cookie).await?;
        Ok(good && cookie.is_some())
    }

    async fn log_out(&mut self, random: &mut Random) -> io::Result<bool> {
        let place = self.draw(random);
        let (_, cookie) = &mut self.users[place];
        let good = self.connection.ask("POST /logout", cookie).await?;
        self.out = Some(place);
        Ok(good && cookie.is_none())
    }
}

/// A connection with the bytes of an answer.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(url: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(url).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }

    /// Sends a request with the cookie, and keeps the cookie that the answer sets. Returns whether the status is 200.
    async fn ask(&mut self, line: &str, cookie: &mut Option<String>) -> io::Result<bool> {
        self.request.clear();
        self.request.extend_from_slice(line.as_bytes());
        self.request.extend_from_slice(b" HTTP/1.1\r\nhost: example.org\r\n");
        if line.starts_with("POST") {
            self.request.extend_from_slice(b"content-length: 0\r\n");
        }
        if let Some(cookie) = cookie {
            self.request.extend_from_slice(b"cookie: ");
            self.request.extend_from_slice(cookie.as_bytes());
            self.request.extend_from_slice(b"\r\n");
        }
        self.request.extend_from_slice(b"\r\n");
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(good) = understood(&self.answer, cookie)? {
                return Ok(good);
            }
        }
    }
}

/// Whether a whole answer has the status 200; `None` if it is not complete. Keeps the cookie that it sets.
fn understood(answer: &[u8], cookie: &mut Option<String>) -> io::Result<Option<bool>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(answer).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let named = |name: &'static str| {
        head.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    let text = |value| std::str::from_utf8(value).map_err(io::Error::other);
    let body = named("content-length").next().map(text).transpose()?;
    let body: usize = body.map_or(Ok(0), |text| text.parse().map_err(io::Error::other))?;
    if answer.len() < length + body {
        return Ok(None);
    }
    for value in named("set-cookie") {
        let value = text(value)?;
        let pair = value.split_once(';').map_or(value, |(pair, _)| pair);
        let ends = value.to_ascii_lowercase().contains("max-age=0");
        *cookie = Some(pair.to_owned()).filter(|pair| !ends && !pair.ends_with('='));
    }
    Ok(Some(head.code == Some(200)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_complete_with_their_body() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nSet-Cookie: id=a1; Path=/; HttpOnly\r\n\r\nok";
        for end in 0..whole.len() {
            let mut cookie = None;
            assert_eq!(understood(&whole[..end], &mut cookie).unwrap(), None, "{end}");
            assert_eq!(cookie, None);
        }
        let mut cookie = None;
        assert_eq!(understood(whole, &mut cookie).unwrap(), Some(true));
        assert_eq!(cookie.as_deref(), Some("id=a1"));
    }

    #[test]
    fn deleted_cookies_are_not_sent_again() {
        for set in ["id=; Max-Age=0; Path=/", "id=x; max-age=0", "id="] {
            let mut cookie = Some("id=a1".to_owned());
            let answer = format!("HTTP/1.1 500 Oh\r\nset-cookie: {set}\r\n\r\n");
            assert_eq!(understood(answer.as_bytes(), &mut cookie).unwrap(), Some(false));
            assert_eq!(cookie, None, "{set}");
        }
    }
}
