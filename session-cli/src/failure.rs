//! Exit codes, and why a verb ended early.

use std::error::Error as StdError;
use std::io;

use session_kit::migrate::MigrateError;
use session_kit::{Error, ErrorKind, OpenError, OpenErrorKind, StoreError, StoreErrorKind};

/// The exit codes of `sessionctl`. They stay the same in all releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// Done.
    Done,
    /// The store, a file, the input or the output failed.
    Failed,
    /// The arguments or a URL are wrong. Nothing was done.
    Usage,
    /// No store is at the place that the URL names.
    NoStore,
    /// No live session has that handle, id or user.
    NotFound,
    /// Done, except for damaged, different or too large records.
    Damaged,
    /// Interrupted by SIGINT (Ctrl-C), between two records.
    Interrupted,
    /// Ended by SIGTERM, between two records.
    Terminated,
}

impl Exit {
    /// The code of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoStore => 3,
            Self::NotFound => 4,
            Self::Damaged => 5,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why a verb ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    /// A line of standard input is wrong. The lines before it were used.
    #[error("{0}")]
    Line(&'static str),
    #[error("{0}")]
    NotFound(&'static str),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Session(#[from] Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error("{what}: {cause}")]
    Io { what: String, cause: io::Error },
    /// The reader of standard output has gone, as `head` does. The exit code is 0.
    #[error("the reader of the output has gone")]
    NoReader,
    /// A signal came before anything was done.
    #[error("interrupted")]
    Stopped(Exit),
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |cause| Self::Io { what: what.into(), cause }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::NotFound(_) => Exit::NotFound,
            Self::Open(error) => match (error.kind(), error.store_error().map(StoreError::kind)) {
                (_, Some(StoreErrorKind::Missing)) => Exit::NoStore,
                (OpenErrorKind::Store, _) => Exit::Failed,
                _ => Exit::Usage,
            },
            Self::Session(error) if error.kind() == ErrorKind::Corrupt => Exit::Damaged,
            Self::Session(_) | Self::Store(_) | Self::Migrate(_) | Self::Io { .. } | Self::Line(_) => {
                Exit::Failed
            }
            Self::NoReader => Exit::Done,
            Self::Stopped(exit) => *exit,
        }
    }

    /// The text with its causes, each once. Errors of the stores show no id, no value and no password.
    pub(crate) fn text(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        text
    }
}
