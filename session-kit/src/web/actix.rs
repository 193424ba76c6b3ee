//! Extractors of actix-web for handlers that need a user, and the refusal of forms from other sites.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::EitherBody;
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::error::InternalError;
use actix_web::http::header::{ACCEPT, HeaderValue, LOCATION};
use actix_web::http::uri::Authority;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::future::{Either, MapOk, TryFutureExt as _};
use http::StatusCode;

use super::require_user::{CHALLENGE, HEADERS, LoginPage, RequireFresh, RequireUser};
use super::same_origin::SameOriginLayer;
use crate::{ErrorKind, Refusal, Refused, Session, Unrendered, accepts_json};

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, actix_web::Error>>>>;

impl FromRequest for RequireUser {
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (session, request) = (Session::from_request(request, payload), request.clone());
        Box::pin(async move {
            let session = session.await?;
            match session.user()? {
                Some(name) => Ok(Self { name, session }),
                None => Err(refusal(&request, ErrorKind::NoUser)),
            }
        })
    }
}

impl<const SECONDS: u64> FromRequest for RequireFresh<SECONDS> {
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (user, request) = (RequireUser::from_request(request, payload), request.clone());
        Box::pin(async move {
            let RequireUser { name, session } = user.await?;
            match session.is_fresh(Duration::from_secs(SECONDS))? {
                true => Ok(Self { name, session }),
                false => Err(refusal(&request, ErrorKind::NotFresh)),
            }
        })
    }
}

/// A redirect, or a response that the session layer renders as the client accepts it.
fn refusal(request: &HttpRequest, kind: ErrorKind) -> actix_web::Error {
    let accept = request.headers().get_all(ACCEPT).map(HeaderValue::as_bytes);
    let page = request.app_data::<LoginPage>().and_then(|page| page.for_accept(accept));
    let mut response = match page {
        Some(_) => HttpResponse::SeeOther(),
        None => HttpResponse::Unauthorized(),
    };
    for header in HEADERS {
        response.insert_header(header);
    }
    let response = match page {
        Some(page) => response.insert_header((LOCATION, page.as_bytes())).finish(),
        None => {
            let mut response = response.insert_header(CHALLENGE).body("Please log in.");
            response.extensions_mut().insert(Unrendered::new(StatusCode::UNAUTHORIZED, kind));
            response
        }
    };
    InternalError::from_response(kind, response).into()
}

impl<S, B> Transform<S, ServiceRequest> for SameOriginLayer
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Transform = SameOriginMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(SameOriginMiddleware { inner, layer: self.clone() }))
    }
}

/// The service that [`SameOriginLayer`] makes of one of actix-web.
#[derive(Clone, Debug)]
pub struct SameOriginMiddleware<S> {
    inner: S,
    layer: SameOriginLayer,
}

impl<S, B> Service<ServiceRequest> for SameOriginMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Future = Either<
        Ready<Result<Self::Response, Self::Error>>,
        MapOk<S::Future, fn(ServiceResponse<B>) -> ServiceResponse<EitherBody<B>>>,
    >;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let header = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
        let target = request.uri().authority().map(Authority::as_str);
        if self.layer.accepts(request.method().as_str(), header, target) {
            let pass: fn(ServiceResponse<B>) -> _ = ServiceResponse::map_into_left_body;
            return Either::Right(self.inner.call(request).map_ok(pass));
        }
        let error = Unrendered::new(StatusCode::FORBIDDEN, ErrorKind::OtherSite);
        let accept = request.headers().get_all(ACCEPT).map(HeaderValue::as_bytes);
        let refusal = Refusal::new(error.status, error.kind, accepts_json(accept));
        let mut response = session_actix::refuse(&refusal).map_into_right_body();
        response.extensions_mut().insert(Refused::new(error.kind));
        response.extensions_mut().insert(error);
        Either::Left(ready(Ok(request.into_response(response))))
    }
}
