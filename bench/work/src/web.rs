//! The cost that a session layer adds to a request, in process and without a socket.

use std::hint::black_box;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{MethodRouter, get};
use http::{HeaderValue, Method, Request, StatusCode, header};
use tower_service::Service;

use crate::alloc::{counted, start_counting};
use crate::args::{Args, Work};
use crate::run::stopwatch;
use crate::sample::Sample;

/// The number of requests that are timed together: enough to hide the cost of the clock, few enough that bare and layered
/// requests alternate a thousand times a second.
const BATCH: usize = 100;

/// The handler without a session that all work is compared with.
async fn plain() -> &'static str {
    "ok"
}

/// A router with one route.
fn bare() -> Router {
    Router::new().route("/", get(plain))
}

/// Measures `layer` around a handler, and a router without it, in turns on this thread. The handlers fill the session,
/// read from it, and change it.
///
/// The figures are `added_ns` (median of layered minus median of bare), `bare_ns`, `layered_ns`, `added_allocations` and
/// `bare_allocations`.
///
/// # Errors
/// A response is not 200, or a request with the cookie is not understood.
pub async fn measure(
    args: &Args,
    layer: impl Fn(Router) -> Router,
    [fill, read, save]: [MethodRouter; 3],
) -> Result<Sample, String> {
    let layered = |handler| layer(Router::new().route("/", handler));
    let cookie = Some(cookie_from(layered(fill)).await?).filter(|_| args.work != Work::WebBare);
    let mut bare = bare();
    let mut layered = layered(match args.work {
        Work::WebBare | Work::WebCookie => get(plain),
        Work::WebRead => read,
        Work::WebSave => save,
        _ => return Err("not the work of a layer".into()),
    });
    let mut plain = Vec::new();
    let mut with_layer = Vec::new();
    let start = stopwatch();
    while start.elapsed() < args.warm_up + args.measured {
        let (a, b) = (batch(&mut bare, cookie.as_ref()).await?, batch(&mut layered, cookie.as_ref()).await?);
        if start.elapsed() > args.warm_up {
            plain.push(a);
            with_layer.push(b);
        }
    }
    let (bare_ns, layered_ns) = (median(plain), median(with_layer));

    start_counting();
    let bare_allocations = allocations(&mut bare, cookie.as_ref()).await?;
    let all = allocations(&mut layered, cookie.as_ref()).await?;
    Ok(Sample::new()
        .with("added_ns", layered_ns - bare_ns)
        .with("bare_ns", bare_ns)
        .with("layered_ns", layered_ns)
        .with("added_allocations", all - bare_allocations)
        .with("bare_allocations", bare_allocations))
}

/// Sends one request and returns the cookie that the response sets, in the form that a browser sends.
async fn cookie_from(mut router: Router) -> Result<HeaderValue, String> {
    let Ok(response) = router.call(request(None)).await;
    if response.status() != StatusCode::OK {
        return Err(format!("answered {}", response.status()));
    }
    let set = response.headers().get(header::SET_COOKIE).ok_or("set no cookie")?;
    let text = set.to_str().map_err(|error| error.to_string())?;
    let pair = text.split(';').next().unwrap_or_default();
    HeaderValue::from_str(pair).map_err(|error| error.to_string())
}

fn request(cookie: Option<&HeaderValue>) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::GET;
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("example.org"));
    if let Some(cookie) = cookie {
        request.headers_mut().insert(header::COOKIE, cookie.clone());
    }
    request
}

/// Nanoseconds per request, including dropping the responses but not creating the requests.
async fn batch(router: &mut Router, cookie: Option<&HeaderValue>) -> Result<f64, String> {
    let requests: Vec<_> = (0..BATCH).map(|_| request(cookie)).collect();
    let mut good = true;
    let start = stopwatch();
    for request in requests {
        let Ok(response) = router.call(request).await;
        good &= response.status() == StatusCode::OK;
        drop(black_box(response));
    }
    let elapsed = start.elapsed();
    if good { Ok(nanos(elapsed) / BATCH as f64) } else { Err("an answer was not 200".into()) }
}

/// The minimum allocations of a request over three batches, which excludes occasional allocations.
async fn allocations(router: &mut Router, cookie: Option<&HeaderValue>) -> Result<f64, String> {
    let mut least = u64::MAX;
    for _ in 0..3 * BATCH {
        let request = request(cookie);
        let before = counted();
        let Ok(response) = router.call(request).await;
        if response.status() != StatusCode::OK {
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
