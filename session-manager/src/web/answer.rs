//! What the responses to errors say, for all frameworks.

use http::StatusCode;

use crate::error::Error;
use crate::event::TARGET;

impl Error {
    /// Reports in an event that this error replaces the response, and returns the text for the client.
    pub(crate) fn report(&self) -> &'static str {
        let cause = self.store_error().map(tracing::field::display);
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(target: TARGET, error = %self, cause, "a session error replaces the response");
            "Sessions are not available at the moment. Please try again."
        } else {
            tracing::error!(target: TARGET, error = %self, cause, "a session error replaces the response");
            "Something went wrong with the session."
        }
    }
}
