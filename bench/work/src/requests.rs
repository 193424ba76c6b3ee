//! The cost that a session layer adds to a request, in process and without a socket, for any framework.

use std::future::Future;
use std::hint::black_box;
use std::time::Duration;

use crate::alloc::{counted, start_counting};
use crate::args::{Args, Work};
use crate::run::stopwatch;
use crate::sample::Sample;

/// The number of requests that are timed together: enough to hide the cost of the clock, few enough that bare and layered
/// requests alternate a thousand times a second.
const BATCH: usize = 100;

/// An application of a framework, which answers requests in this process.
pub trait Application {
    /// A request of the framework.
    type Request;
    /// A response of the framework.
    type Response;

    /// A request for the only route.
    fn request(cookie: Option<&str>) -> Self::Request;

    /// Answers a request.
    fn call(&mut self, request: Self::Request) -> impl Future<Output = Result<Self::Response, String>>;

    /// Whether the status is 200.
    fn is_ok(response: &Self::Response) -> bool;

    /// The values of the `Set-Cookie` headers.
    fn cookies(response: &Self::Response) -> Vec<String>;
}

/// Sends one request, and returns the cookies that the response sets, in the form that a browser sends.
///
/// # Errors
/// The response is not 200, or sets no cookie.
pub async fn cookies_from<A: Application>(mut application: A) -> Result<String, String> {
    let response = application.call(A::request(None)).await?;
    if !A::is_ok(&response) {
        return Err("an answer was not 200".into());
    }
    let set = A::cookies(&response);
    let pairs: Vec<_> = set.iter().map(|set| set.split(';').next().unwrap_or_default()).collect();
    if pairs.is_empty() { Err("set no cookie".into()) } else { Ok(pairs.join("; ")) }
}

/// Measures an application with a session layer, and one without it, in turns on this thread. `cookie` is left out if the
/// work is without one.
///
/// The figures are `added_ns` (median of layered minus median of bare), `bare_ns`, `layered_ns`, `added_allocations` and
/// `bare_allocations`.
///
/// # Errors
/// A response is not 200.
pub async fn added<B: Application, L: Application>(
    args: &Args,
    bare: &mut B,
    layered: &mut L,
    cookie: &str,
) -> Result<Sample, String> {
    let cookie = Some(cookie).filter(|_| args.work != Work::WebBare);
    if args.requests > 0 {
        for _ in 0..args.requests.div_ceil(BATCH) {
            batch(layered, cookie).await?;
        }
        return Ok(Sample::new());
    }
    let mut plain = Vec::new();
    let mut with_layer = Vec::new();
    let start = stopwatch();
    while start.elapsed() < args.warm_up + args.measured {
        let (a, b) = (batch(bare, cookie).await?, batch(layered, cookie).await?);
        if start.elapsed() > args.warm_up {
            plain.push(a);
            with_layer.push(b);
        }
    }
    let (bare_ns, layered_ns) = (median(plain), median(with_layer));

    start_counting();
    let bare_allocations = allocations(bare, cookie).await?;
    let all = allocations(layered, cookie).await?;
    Ok(Sample::new()
        .with("added_ns", layered_ns - bare_ns)
        .with("bare_ns", bare_ns)
        .with("layered_ns", layered_ns)
        .with("added_allocations", all - bare_allocations)
        .with("bare_allocations", bare_allocations))
}

/// Nanoseconds per request, including dropping the responses but not creating the requests.
async fn batch<A: Application>(application: &mut A, cookie: Option<&str>) -> Result<f64, String> {
    let requests: Vec<_> = (0..BATCH).map(|_| A::request(cookie)).collect();
    let mut good = true;
    let start = stopwatch();
    for request in requests {
        let response = application.call(request).await?;
        good &= A::is_ok(&response);
        drop(black_box(response));
    }
    let elapsed = start.elapsed();
    if good { Ok(nanos(elapsed) / BATCH as f64) } else { Err("an answer was not 200".into()) }
}

/// The minimum allocations of a request over three batches, which excludes occasional allocations.
async fn allocations<A: Application>(application: &mut A, cookie: Option<&str>) -> Result<f64, String> {
    let mut least = u64::MAX;
    for _ in 0..3 * BATCH {
        let request = A::request(cookie);
        let before = counted();
        let response = application.call(request).await?;
        if !A::is_ok(&response) {
            return Err("an answer was not 200".into());
        }
        drop(black_box(response));
        least = least.min(counted() - before);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    Ok(least as f64)
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
