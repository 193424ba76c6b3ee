//! What Redis' errors mean to a caller.

use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};
use session_core::{Error, ErrorKind, Operation};

/// An error of Redis in `operation`.
pub(crate) fn from_redis(cause: RedisError, operation: Operation) -> Error {
    let (kind, certain) = match cause.kind() {
        RedisKind::AuthenticationFailed | RedisKind::InvalidClientConfig | RedisKind::RESP3NotSupported => {
            (ErrorKind::Misconfigured, true)
        }
        RedisKind::Server(server) => (of_server(server), true),
        RedisKind::Extension => (of_code(cause.code().unwrap_or_default()), true),
        RedisKind::ClusterConnectionNotFound => (ErrorKind::Unavailable, false),
        RedisKind::Io if cause.is_timeout() => (ErrorKind::Timeout, false),
        RedisKind::Io => (ErrorKind::Unavailable, cause.is_connection_refusal()),
        _ => (ErrorKind::Backend, false),
    };
    let error = Error::new(kind, operation).with_source(cause);
    if certain || !changes(operation) { error } else { error.applied_unknown() }
}

/// Nothing came back in time.
pub(crate) fn timeout(operation: Operation) -> Error {
    let error = Error::new(ErrorKind::Timeout, operation);
    if changes(operation) { error.applied_unknown() } else { error }
}

pub(crate) fn corrupt(operation: Operation) -> Error {
    Error::new(ErrorKind::Corrupt, operation).with_detail("not a record of session-kit")
}

/// An answer that no version of Redis gives to this command.
pub(crate) fn unexpected(operation: Operation) -> Error {
    let error = Error::new(ErrorKind::Backend, operation).with_detail("an answer of an unexpected type");
    if changes(operation) { error.applied_unknown() } else { error }
}

/// Whether the same command may be sent again at once, for it was refused and another node may take it, or this one
/// in a moment.
pub(crate) fn is_passing(cause: &RedisError) -> bool {
    matches!(
        cause.kind(),
        RedisKind::Server(
            ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
        )
    )
}

pub(crate) fn is_unknown_script(cause: &RedisError) -> bool {
    cause.kind() == RedisKind::Server(ServerErrorKind::NoScript)
}

fn changes(operation: Operation) -> bool {
    matches!(operation, Operation::Store | Operation::Remove | Operation::Touch)
}

fn of_server(kind: ServerErrorKind) -> ErrorKind {
    match kind {
        ServerErrorKind::NoPerm => ErrorKind::Misconfigured,
        ServerErrorKind::BusyLoading
        | ServerErrorKind::Moved
        | ServerErrorKind::Ask
        | ServerErrorKind::TryAgain
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown
        | ServerErrorKind::ReadOnly => ErrorKind::Unavailable,
        _ => ErrorKind::Backend,
    }
}

fn of_code(code: &str) -> ErrorKind {
    match code {
        "OOM" => ErrorKind::Full,
        "NOAUTH" | "WRONGPASS" | "NOPERM" => ErrorKind::Misconfigured,
        "WRONGTYPE" | "SKDAMAGED" => ErrorKind::Corrupt,
        // A script of somebody else's that runs too long, a disk that the server cannot write, replicas it misses.
        "BUSY" | "MISCONF" | "NOREPLICAS" | "UNBLOCKED" => ErrorKind::Unavailable,
        _ => ErrorKind::Backend,
    }
}
