//! The cost that session middleware adds to a request through an actix-web application.

use actix_http::Request;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::{App, Error, Route, test, web};

use crate::args::{Args, Work};
use crate::requests::{Application, added, cookies_from};
use crate::sample::Sample;

/// Measures an application with session middleware, and one without it, in turns on this thread. `layered` makes the
/// application with this route. The routes fill the session, read from it, and change it.
///
/// The figures are those of [`added`]. Runs within actix' runtime.
///
/// # Errors
/// A response is not 200, or a request with the cookie is not understood.
pub async fn measure<S, B>(
    args: &Args,
    layered: impl AsyncFn(Route) -> S,
    [fill, read, save]: [Route; 3],
) -> Result<Sample, String>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let cookie = cookies_from(Actix(layered(fill).await)).await?;
    let mut bare = Actix(test::init_service(App::new().route("/", plain())).await);
    let route = match args.work {
        Work::WebBare | Work::WebCookie => plain(),
        Work::WebRead => read,
        Work::WebSave => save,
        _ => return Err("not the work of a layer".into()),
    };
    added(args, &mut bare, &mut Actix(layered(route).await), &cookie).await
}

/// The handler without a session that all work is compared with.
fn plain() -> Route {
    web::get().to(async || "ok")
}

struct Actix<S>(S);

impl<S, B> Application for Actix<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Request = Request;
    type Response = ServiceResponse<B>;

    fn request(cookie: Option<&str>) -> Request {
        let request = test::TestRequest::get().insert_header((header::HOST, "example.org"));
        match cookie {
            Some(cookie) => request.insert_header((header::COOKIE, cookie)).to_request(),
            None => request.to_request(),
        }
    }

    async fn call(&mut self, request: Request) -> Result<ServiceResponse<B>, String> {
        self.0.call(request).await.map_err(|error| error.to_string())
    }

    fn is_ok(response: &ServiceResponse<B>) -> bool {
        response.status() == StatusCode::OK
    }

    fn cookies(response: &ServiceResponse<B>) -> Vec<String> {
        let set = response.headers().get_all(header::SET_COOKIE);
        set.filter_map(|set| set.to_str().ok().map(str::to_owned)).collect()
    }
}
