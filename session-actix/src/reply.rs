//! A response of actix-web, as session-web needs it.

use actix_web::HttpResponse;
use actix_web::body::EitherBody;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap as ActixHeaders, HeaderValue as ActixValue, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use session_core::{Operation, StoreError, StoreErrorKind};
use session_manager::{NotStored, Refused, Unrendered};
use session_web::{Refusal, Reply, is_json, keep_headers, varies_on};

use crate::convert;
use crate::refuse::Refuser;

/// A response, and what replaces it.
pub(crate) struct ActixReply<'a, B> {
    pub(crate) response: &'a mut HttpResponse<EitherBody<B>>,
    pub(crate) refuse: &'a Refuser,
}

impl<B> Reply for ActixReply<'_, B> {
    #[inline]
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.response.status().as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn is_json(&self) -> bool {
        let kind = self.response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| HeaderValue::from_bytes(kind.as_bytes()).ok());
        is_json(&kind.into_iter().map(|kind| (http::header::CONTENT_TYPE, kind)).collect())
    }

    fn take_unrendered(&mut self) -> Option<Unrendered> {
        self.response.extensions_mut().remove()
    }

    fn mark_not_stored(&mut self) {
        self.response.extensions_mut().insert(NotStored);
    }

    fn refuse(&mut self, refusal: &Refusal, keeps_headers: bool) {
        let mut response = self.refuse.make(refusal).map_into_right_body();
        response.extensions_mut().insert(Refused::new(refusal.kind));
        let old = std::mem::replace(self.response, response);
        if keeps_headers && let Ok(old) = convert::all(old.headers()) {
            let _ = self.change_headers(|headers| {
                keep_headers(headers, old);
                Ok(())
            });
        }
    }

    fn change_headers(
        &mut self,
        change: impl FnOnce(&mut HeaderMap) -> session_core::Result<()>,
    ) -> session_core::Result<()> {
        change_headers(self.response.headers_mut(), change)
    }

    #[inline]
    fn vary(&mut self, on: HeaderName) {
        let headers = self.response.headers_mut();
        if headers.get_all(VARY).any(|line| varies_on(line.as_bytes(), &on)) {
            return;
        }
        let value = match on {
            http::header::COOKIE => Ok(ActixValue::from_static("Cookie")),
            _ => ActixValue::from_str(on.as_str()),
        };
        if let Ok(value) = value {
            headers.append(VARY, value);
        }
    }
}

fn change_headers(
    headers: &mut ActixHeaders,
    change: impl FnOnce(&mut HeaderMap) -> session_core::Result<()>,
) -> session_core::Result<()> {
    let Ok(mut all) = convert::all(headers) else {
        return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store));
    };
    change(&mut all)?;
    convert::replace(headers, &all);
    Ok(())
}
