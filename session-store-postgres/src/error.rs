//! How errors of PostgreSQL map to errors of the driver.

use std::error::Error as _;

use session_core::{Operation, StoreError, StoreErrorKind};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// An error of the server or of the connection: its SQLSTATE and message. Without the detail, which can show the values
/// of a row.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}{}", .code.as_ref().map(|code| format!(" (SQLSTATE {})", code.code())).unwrap_or_default())]
pub(crate) struct Cause {
    code: Option<SqlState>,
    io: Option<std::io::ErrorKind>,
    /// Whether the server ended the session with this error (`FATAL` or `PANIC`).
    ends_session: bool,
    text: String,
}

impl Cause {
    pub(crate) fn new(error: &Error) -> Self {
        let io = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        Self {
            code: error.code().cloned(),
            io: match io {
                Some(io) => Some(io.kind()),
                // The other side closed the connection, for example in the handshake.
                None => error.is_closed().then_some(std::io::ErrorKind::ConnectionAborted),
            },
            ends_session: error.as_db_error().is_some_and(ends_session),
            text: match (error.as_db_error(), error.source()) {
                (Some(answer), _) => answer.message().to_owned(),
                (None, Some(cause)) => format!("{error}: {cause}"),
                (None, None) => error.to_string(),
            },
        }
    }

    /// A cause without a server.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { code: None, io: None, ends_session: false, text: text.into() }
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
            // A constraint was violated, or the system of the server failed, such as a disk.
            "40002" | "58030" => StoreErrorKind::Backend,
            // A part of a large record is gone.
            "23502" => StoreErrorKind::Unavailable,
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

fn ends_session(error: &DbError) -> bool {
    match error.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        // A proxy may leave out the field that is never translated.
        None => matches!(error.severity(), "FATAL" | "PANIC"),
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
    /// It was not sent in time, because of this.
    Stuck(&'static str),
    /// The server is a standby, whose rows may be old.
    Standby,
    /// An answer that these statements do not have.
    Unexpected,
    /// It was not sent, because the store was closed meanwhile.
    Closed,
}

impl Failure {
    /// The failure of a statement that was sent.
    pub(crate) fn of(error: &Error) -> Self {
        Self::sent(Cause::new(error))
    }

    fn sent(cause: Cause) -> Self {
        match cause.code.as_ref().map(SqlState::code) {
            Some("25006") => Self::Standby,
            // The server is starting or ending, and accepts no session.
            Some("57P03") => Self::Refused(cause),
            // The backend was terminated, or the server does not know whether the commit happened.
            Some("57P01" | "57P02" | "57P04" | "57P05" | "40003") => Self::Lost(cause),
            Some(code) if code.starts_with("08") => Self::Lost(cause),
            // The session may have ended after the commit.
            Some(_) if cause.ends_session => Self::Lost(cause),
            Some(_) => Self::Refused(cause),
            None => Self::Lost(cause),
        }
    }

    /// The SQLSTATE of a refusal.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Refused(cause) => cause.code.as_ref().map_or("", SqlState::code),
            _ => "",
        }
    }

    /// Whether the same statement may be sent again, and succeed later without a change of the configuration.
    pub(crate) fn may_repeat(&self, is_change: bool) -> bool {
        match self {
            Self::Unsent(cause) => {
                matches!(cause.of_connecting(), StoreErrorKind::Unavailable | StoreErrorKind::Timeout)
            }
            // Another transaction was in the way, or the server is starting or ending.
            Self::Refused(_) => matches!(self.code(), "40001" | "40P01" | "57P03"),
            Self::Lost(_) => !is_change,
            Self::Standby => true,
            Self::Late | Self::Stuck(_) | Self::Unexpected | Self::Closed => false,
        }
    }

    pub(crate) fn during(self, operation: Operation) -> StoreError {
        let new = |kind| StoreError::new(kind, operation);
        match self {
            Self::Unsent(cause) => new(cause.of_connecting()).with_source(cause),
            Self::Refused(cause) => new(cause.of_answer()).with_source(cause),
            Self::Lost(cause) => new(StoreErrorKind::Unavailable).with_source(cause).applied_unknown(),
            Self::Late => new(StoreErrorKind::Timeout).applied_unknown(),
            Self::Stuck(detail) => new(StoreErrorKind::Timeout).with_detail(detail),
            Self::Standby => new(StoreErrorKind::Unavailable).with_detail("the server is a standby"),
            Self::Closed => StoreError::closed(operation),
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
    use std::io::ErrorKind as Io;

    use session_core::Applied;

    use super::*;

    fn answer(code: &str) -> Cause {
        Cause { code: Some(SqlState::from_code(code)), ..Cause::text("") }
    }

    fn fatal(code: &str) -> Cause {
        Cause { ends_session: true, ..answer(code) }
    }

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
            (StoreErrorKind::Backend, &["58030", "40002", "XX000", "22000"]),
        ] {
            for code in codes {
                assert_eq!(answer(code).of_answer(), kind, "{code}");
            }
        }
    }

    /// A change may be applied unless the server refused it in a session that continues.
    #[test]
    fn lost_answers_leave_a_change_unknown() {
        let lost = |cause| matches!(Failure::sent(cause), Failure::Lost(_));
        for code in ["40001", "53200", "XX000", "25P04", "58030", "57P01", "57P02", "57P05", "08006", "40003"]
        {
            assert!(lost(fatal(code)), "{code}");
        }
        for code in ["57P01", "57P02", "57P05", "08006", "08P01", "40003"] {
            assert!(lost(answer(code)), "{code}");
        }
        assert!(lost(Cause::text("connection closed")));
        for cause in ["40001", "40P01", "40002", "53100", "57014", "55P03", "42501", "XX000"].map(answer) {
            assert!(matches!(Failure::sent(cause.clone()), Failure::Refused(_)), "{cause}");
        }
        assert!(matches!(Failure::sent(fatal("57P03")), Failure::Refused(_)));
        assert!(matches!(Failure::sent(answer("25006")), Failure::Standby));
        for (cause, applied) in [
            (fatal("XX000"), Applied::Unknown),
            (answer("40003"), Applied::Unknown),
            (answer("40001"), Applied::No),
            (fatal("57P03"), Applied::No),
        ] {
            let error = Failure::sent(cause.clone()).during(Operation::Store);
            assert_eq!(error.applied(), applied, "{cause}");
        }
    }

    #[test]
    fn only_safe_failures_are_repeated() {
        for cause in [answer("40001"), answer("40P01"), fatal("57P03")] {
            assert!(Failure::sent(cause.clone()).may_repeat(true), "{cause}");
        }
        for cause in [answer("40002"), answer("40003"), fatal("40001"), fatal("40P01"), answer("57014")] {
            assert!(!Failure::sent(cause.clone()).may_repeat(true), "{cause}");
        }
        for cause in [answer("40003"), fatal("40001"), answer("08006")] {
            assert!(Failure::sent(cause.clone()).may_repeat(false), "{cause}");
        }
        for (failure, is_change, repeats) in [
            (Failure::Standby, true, true),
            (Failure::Unsent(fatal("57P03")), true, true),
            (Failure::Unsent(fatal("28P01")), false, false),
            (Failure::Unsent(Cause::timed_out("")), true, true),
            (Failure::Late, false, false),
            (Failure::Stuck(""), false, false),
            (Failure::Closed, false, false),
            (Failure::Unexpected, false, false),
        ] {
            assert_eq!(failure.may_repeat(is_change), repeats, "{failure:?}");
        }
    }

    #[test]
    fn failed_connections_have_the_right_kinds() {
        let io = |io| Cause { io: Some(io), ..Cause::text("") };
        for (kind, causes) in [
            (
                StoreErrorKind::Unavailable,
                vec![
                    io(Io::ConnectionRefused),
                    io(Io::ConnectionAborted),
                    io(Io::UnexpectedEof),
                    io(Io::PermissionDenied),
                    fatal("57P03"),
                    fatal("53300"),
                    fatal("XX000"),
                ],
            ),
            (StoreErrorKind::Timeout, vec![io(Io::TimedOut), Cause::timed_out("")]),
            (
                StoreErrorKind::Misconfigured,
                vec![io(Io::InvalidData), fatal("28P01"), fatal("3D000"), Cause::text("no TLS")],
            ),
        ] {
            for cause in causes {
                assert_eq!(cause.of_connecting(), kind, "{cause:?}");
            }
        }
    }
}
