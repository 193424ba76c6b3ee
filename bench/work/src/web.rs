//! The cost that a session layer adds to a request through an axum router.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::{HeaderValue, Method, Request, StatusCode, header};
use tower_service::Service;

use crate::args::{Args, Work};
use crate::requests::{Application, added, cookies_from};
use crate::sample::Sample;

/// The handler without a session that all work is compared with.
async fn plain() -> &'static str {
    "ok"
}

/// Measures `layer` around a handler, and a router without it, in turns on this thread. The handlers fill the session,
/// read from it, and change it.
///
/// The figures are those of [`added`].
///
/// # Errors
/// A response is not 200, or a request with the cookie is not understood.
pub async fn measure(
    args: &Args,
    layer: impl Fn(Router) -> Router,
    [fill, read, save]: [MethodRouter; 3],
) -> Result<Sample, String> {
    let layered = |handler| Axum(layer(Router::new().route("/", handler)));
    let cookie = cookies_from(layered(fill)).await?;
    let mut bare = Axum(Router::new().route("/", get(plain)));
    let mut layered = layered(match args.work {
        Work::WebBare | Work::WebCookie => get(plain),
        Work::WebRead => read,
        Work::WebSave => save,
        _ => return Err("not the work of a layer".into()),
    });
    added(args, &mut bare, &mut layered, &cookie).await
}

/// A router with one route.
struct Axum(Router);

impl Application for Axum {
    type Request = Request<Body>;
    type Response = Response;

    fn request(cookie: Option<&str>) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::GET;
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("example.org"));
        if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(cookie).ok()) {
            request.headers_mut().insert(header::COOKIE, cookie);
        }
        request
    }

    async fn call(&mut self, request: Request<Body>) -> Result<Response, String> {
        let Ok(response) = self.0.call(request).await;
        Ok(response)
    }

    fn is_ok(response: &Response) -> bool {
        response.status() == StatusCode::OK
    }

    fn cookies(response: &Response) -> Vec<String> {
        let set = response.headers().get_all(header::SET_COOKIE).iter();
        set.filter_map(|set| set.to_str().ok().map(str::to_owned)).collect()
    }
}
