//! How errors of PostgreSQL map to errors of the driver.

use std::error::Error as _;

use session_core::{Operation, StoreError, StoreErrorKind};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// An error of the server or of the connection: its SQLSTATE and message. Without the detail, which can show the values
/// of a row.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}{}", .code.as_ref().map(|code| format!(" (SQLSTATE {})", code.code())).unwrap_or_default())]
pub(crate) struct Cause {
    code: Option<SqlState>,
    io: Option<std::io::ErrorKind>,
    text: String,
}

impl Cause {
    pub(crate) fn new(error: &Error) -> Self {
        let io = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        Self {
            code: error.code().cloned(),
            io: io.map(std::io::Error::kind),
            text: match (error.as_db_error(), error.source()) {
                (Some(answer), _) => answer.message().to_owned(),
                (None, Some(cause)) => format!("{error}: {cause}"),
                (None, None) => error.to_string(),
            },
        }
    }

    /// A cause without a server.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { code: None, io: None, text: text.into() }
    }

    pub(crate) fn timed_out(text: &str) -> Self {
        Self { io: Some(std::io::ErrorKind::TimedOut), ..Self::text(text) }
    }

    fn class(&self) -> &str {
        self.code.as_ref().map_or("", |code| code.code().get(..2).unwrap_or_default())
    }

    /// The kind of a statement's error.
    fn of_answer(&self) -> StoreErrorKind {
        let code = self.code.as_ref().map_or("", SqlState::code);
        match code {
            // statement_timeout or a cancel, lock_timeout, transaction_timeout.
            "57014" | "55P03" | "25P04" => StoreErrorKind::Timeout,
            "53100" => StoreErrorKind::Full,
            // A standby; a closed idle transaction of a proxy.
            "25006" | "25P03" => StoreErrorKind::Unavailable,
            // The system of the server failed, such as a disk.
            "58030" => StoreErrorKind::Backend,
            "XX001" | "XX002" => StoreErrorKind::Corrupt,
            // A statement is unknown or known already: `prepare` behind a proxy that does not keep statements apart.
            "26000" | "42P05" => StoreErrorKind::Misconfigured,
            _ => match self.class() {
                // Connections, resources, the operator, conflicts of transactions, dropped objects in use.
                "08" | "53" | "57" | "40" | "55" => StoreErrorKind::Unavailable,
                // Wrong password, role, database, schema, right, table or column.
                "28" | "3D" | "3F" | "42" => StoreErrorKind::Misconfigured,
                "54" => StoreErrorKind::TooLarge,
                _ => StoreErrorKind::Backend,
            },
        }
    }

    /// The kind of an error while connecting.
    fn of_connecting(&self) -> StoreErrorKind {
        use std::io::ErrorKind as Io;
        match (&self.code, self.io) {
            (Some(_), _) => match self.of_answer() {
                StoreErrorKind::Backend => StoreErrorKind::Unavailable,
                kind => kind,
            },
            // PermissionDenied is what tokio-postgres reports for a server that does not accept writes.
            (None, Some(Io::TimedOut)) => StoreErrorKind::Timeout,
            (None, Some(Io::InvalidData | Io::InvalidInput | Io::Unsupported)) => {
                StoreErrorKind::Misconfigured
            }
            (None, Some(_)) => StoreErrorKind::Unavailable,
            (None, None) => StoreErrorKind::Misconfigured,
        }
    }
}

/// How a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was not sent, because the driver has no connection.
    Unsent(Cause),
    /// The server refused it and changed nothing.
    Refused(Cause),
    /// It was sent, and the answer was lost.
    Lost(Cause),
    /// It was sent, and no answer arrived in time.
    Late,
    /// It was not sent in time.
    Stuck,
    /// The server is a standby, whose rows may be old.
    Standby,
    /// An answer that these statements do not have.
    Unexpected,
}

impl Failure {
    /// The failure of a statement that was sent.
    pub(crate) fn of(error: &Error) -> Self {
        let cause = Cause::new(error);
        match cause.code.as_ref().map(SqlState::code) {
            Some("25006") => Self::Standby,
            // The backend was terminated, or the proxy lost it. The commit may have happened before.
            Some("57P01" | "57P02" | "57P04" | "57P05") => Self::Lost(cause),
            Some(code) if code.starts_with("08") => Self::Lost(cause),
            Some(_) => Self::Refused(cause),
            None => Self::Lost(cause),
        }
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self::Refused(Cause::new(&error))
    }

    /// Whether the same statement may be sent again, and succeed later without a change of the configuration.
    pub(crate) fn may_repeat(&self, is_change: bool) -> bool {
        match self {
            Self::Unsent(cause) => {
                matches!(cause.of_connecting(), StoreErrorKind::Unavailable | StoreErrorKind::Timeout)
            }
            // Another transaction was in the way (40), or the server is starting or ending.
            Self::Refused(cause) => {
                cause.class() == "40" || cause.code.as_ref().is_some_and(|code| code.code() == "57P03")
            }
            Self::Lost(_) => !is_change,
            Self::Standby => true,
            Self::Late | Self::Stuck | Self::Unexpected => false,
        }
    }

    pub(crate) fn during(self, operation: Operation) -> StoreError {
        let new = |kind| StoreError::new(kind, operation);
        match self {
            Self::Unsent(cause) => new(cause.of_connecting()).with_source(cause),
            Self::Refused(cause) => new(cause.of_answer()).with_source(cause),
            Self::Lost(cause) => new(StoreErrorKind::Unavailable).with_source(cause).applied_unknown(),
            Self::Late => new(StoreErrorKind::Timeout).applied_unknown(),
            Self::Stuck => new(StoreErrorKind::Timeout).with_detail("no connection was free in time"),
            Self::Standby => new(StoreErrorKind::Unavailable).with_detail("the server is a standby"),
            Self::Unexpected => {
                new(StoreErrorKind::Backend).with_detail("unexpected answer").applied_unknown()
            }
        }
    }
}

pub(crate) fn corrupt(operation: Operation, what: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, operation).with_detail(what)
}

/// The detail of a row that the index finds under another key.
pub(crate) const INDEX: &str = "index of the keys is damaged; REINDEX repairs it";
/// The detail of a row without a readable revision.
pub(crate) const REVISION: &str = "revision is not 8 bytes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_right_kinds() {
        for (kind, codes) in [
            (
                StoreErrorKind::Unavailable,
                &["53300", "53200", "57P03", "40001", "40P01", "25006", "08006"][..],
            ),
            (StoreErrorKind::Timeout, &["57014", "55P03"]),
            (StoreErrorKind::Full, &["53100"]),
            (StoreErrorKind::Misconfigured, &["42501", "28P01", "28000", "3D000", "42P01", "42703", "26000"]),
            (StoreErrorKind::Corrupt, &["XX001", "XX002"]),
            (StoreErrorKind::Backend, &["58030", "XX000", "22000"]),
        ] {
            for code in codes {
                let cause = Cause { code: Some(SqlState::from_code(code)), io: None, text: String::new() };
                assert_eq!(cause.of_answer(), kind, "{code}");
            }
        }
    }
}
