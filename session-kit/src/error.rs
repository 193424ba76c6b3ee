//! Why a store was not opened.

use std::error::Error;
use std::fmt;

use session_core::StoreError;

/// Why a URL is not one of a store, or why its store was not opened.
///
/// The text says what would be right. It never contains a user name or password, or the value of an option.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    text: String,
    cause: Option<StoreError>,
}

/// The kinds of [`OpenError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The URL's form is wrong: no scheme, a missing path or host, wrong percent-encoding.
    InvalidUrl,
    /// No driver has this scheme.
    UnknownScheme,
    /// The scheme needs a feature of this crate that is off.
    MissingFeature,
    /// The driver has no such option.
    UnknownOption,
    /// An option is given twice.
    DuplicateOption,
    /// An option has no value, or a value of the wrong form.
    InvalidValue,
    /// No tokio runtime runs the call.
    NoRuntime,
    /// The driver refused its options or could not open the store: see [`OpenError::store_error`].
    Store,
}

impl OpenError {
    pub(crate) fn new(kind: OpenErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), cause: None }
    }

    pub(crate) fn store(scheme: &str, cause: StoreError) -> Self {
        let text = format!("{scheme} store did not {cause}");
        Self { kind: OpenErrorKind::Store, text, cause: Some(cause) }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> OpenErrorKind {
        self.kind
    }

    /// The driver's error, for [`OpenErrorKind::Store`].
    #[must_use]
    pub fn store_error(&self) -> Option<&StoreError> {
        self.cause.as_ref()
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for OpenError {
    /// What caused the driver's error, whose own text is part of this one.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().and_then(Error::source)
    }
}
