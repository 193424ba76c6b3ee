//! What Redis' errors mean to a caller.

use std::sync::Arc;

use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};
use session_core::{Operation, StoreError, StoreErrorKind};

/// How a command came to nothing.
pub(crate) enum Failure {
    /// It never left: there was no connection to send it on.
    Unsent(RedisError),
    /// The server said no, and changed nothing.
    Refused(RedisError),
    /// It was sent, and the answer is lost.
    Lost(RedisError),
    /// It was sent, and no answer came in time.
    Late,
    /// It was not sent in time, and nothing says why.
    Stuck,
    /// The handle was closed.
    Closed,
}

impl Failure {
    pub(crate) fn during(self, operation: Operation) -> StoreError {
        let new = |kind| StoreError::new(kind, operation);
        let unknown = |error: StoreError| if changes(operation) { error.applied_unknown() } else { error };
        match self {
            Self::Unsent(cause) => new(of_connecting(&cause)).with_source(cause),
            Self::Refused(cause) => new(of_answer(&cause)).with_source(without_arguments(cause)),
            Self::Lost(cause) if cause.is_timeout() => {
                unknown(new(StoreErrorKind::Timeout).with_source(cause))
            }
            Self::Lost(cause) if cause.is_io_error() => {
                unknown(new(StoreErrorKind::Unavailable).with_source(cause))
            }
            // What cannot be understood is not shown either, for it may hold what was stored.
            Self::Lost(_) => {
                unknown(new(StoreErrorKind::Backend).with_detail("an answer that is none of Redis"))
            }
            Self::Late => unknown(new(StoreErrorKind::Timeout)),
            Self::Stuck => new(StoreErrorKind::Timeout).with_detail("no connection in time"),
            Self::Closed => StoreError::closed(operation),
        }
    }
}

pub(crate) fn corrupt(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, operation).with_detail("not a record of session-kit")
}

/// An answer that no version of Redis gives to this command.
pub(crate) fn unexpected(operation: Operation) -> StoreError {
    let error =
        StoreError::new(StoreErrorKind::Backend, operation).with_detail("an answer of an unexpected type");
    if changes(operation) { error.applied_unknown() } else { error }
}

/// What to do about an error, besides telling the caller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The caller must know.
    Final,
    /// Refused for the moment: the same may be sent again, to the same place.
    Again,
    /// Refused by a server that only follows another one now.
    Replica,
    /// Refused by a node of a cluster, which says where to go: for good, or for this once.
    Elsewhere { host: String, port: u16, asking: bool },
    /// Not sent, for the node is not connected.
    Unsent,
    /// Sent, and the answer is lost.
    Lost,
}

pub(crate) fn verdict(cause: &RedisError) -> Verdict {
    match cause.kind() {
        RedisKind::ClusterConnectionNotFound => Verdict::Unsent,
        RedisKind::Io | RedisKind::Parse => Verdict::Lost,
        _ => match code(cause) {
            "MOVED" | "ASK" => elsewhere(cause),
            "READONLY" => Verdict::Replica,
            // BUSY: somebody's script has been running for long.
            "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" | "BUSY" => Verdict::Again,
            _ => Verdict::Final,
        },
    }
}

fn elsewhere(cause: &RedisError) -> Verdict {
    let parsed = cause.redirect_node().and_then(|(address, _)| {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((host.to_owned(), port.parse().ok()?))
    });
    match parsed {
        Some((host, port)) if !host.is_empty() => {
            Verdict::Elsewhere { host, port, asking: cause.kind() == RedisKind::Server(ServerErrorKind::Ask) }
        }
        _ => Verdict::Again,
    }
}

pub(crate) fn is_unknown_script(cause: &RedisError) -> bool {
    cause.kind() == RedisKind::Server(ServerErrorKind::NoScript)
}

/// Whether trying to connect again may help without anybody's doing.
pub(crate) fn may_connect_later(cause: &RedisError) -> bool {
    of_connecting(cause) != StoreErrorKind::Misconfigured
}

/// Whether the server lacks a command, or the user the right to it: a server that is there, and says nothing more.
pub(crate) fn is_not_to_be_had(cause: &RedisError) -> bool {
    let unknown = |text: &str| text.to_ascii_lowercase().starts_with("unknown command");
    match code(cause) {
        "NOPERM" => true,
        "ERR" => cause.detail().is_some_and(unknown),
        _ => false,
    }
}

fn changes(operation: Operation) -> bool {
    matches!(operation, Operation::Store | Operation::Remove | Operation::Touch)
}

fn of_connecting(cause: &RedisError) -> StoreErrorKind {
    use std::io::ErrorKind as Io;

    match (cause.kind(), io_kind(cause)) {
        // A certificate that is not trusted, or a server that speaks no TLS; a socket that is not ours to open.
        (RedisKind::Io, Some(Io::InvalidData | Io::PermissionDenied)) => StoreErrorKind::Misconfigured,
        (RedisKind::Io, _) if cause.is_timeout() => StoreErrorKind::Timeout,
        (RedisKind::Io | RedisKind::ClusterConnectionNotFound, _) => StoreErrorKind::Unavailable,
        (RedisKind::Server(_) | RedisKind::Extension, _) => match of_answer(cause) {
            StoreErrorKind::Backend => StoreErrorKind::Misconfigured,
            kind => kind,
        },
        _ => StoreErrorKind::Misconfigured,
    }
}

/// What the system said, which the crate keeps behind a pointer that is an error itself.
fn io_kind(cause: &RedisError) -> Option<std::io::ErrorKind> {
    let source =
        std::error::Error::source(cause)?.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?;
    source.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}

fn of_answer(cause: &RedisError) -> StoreErrorKind {
    match code(cause) {
        "OOM" => StoreErrorKind::Full,
        "NOAUTH" | "WRONGPASS" | "NOPERM" => StoreErrorKind::Misconfigured,
        "WRONGTYPE" | DAMAGED => StoreErrorKind::Corrupt,
        "ERR" if is_crowded(cause) => StoreErrorKind::Unavailable,
        "LOADING" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY" | "BUSY"
        | "UNBLOCKED" => StoreErrorKind::Unavailable,
        // A disk that the server cannot write, replicas that it misses.
        "MISCONF" | "NOREPLICAS" => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Backend,
    }
}

/// Said to a new connection before anything was asked, at `maxclients`.
fn is_crowded(cause: &RedisError) -> bool {
    cause.detail().is_some_and(|text| text.starts_with("max number of clients"))
}

/// What our scripts answer where there is no record of ours.
const DAMAGED: &str = "SKDAMAGED";

/// The code of an answer. What a script's command met is in the text only, before Redis 7, and rights that it lacks
/// are in 7 too.
fn code(cause: &RedisError) -> &str {
    let inner = |text: &str| {
        if text.contains("The user executing the script can't") {
            return Some("NOPERM");
        }
        ["OOM", "READONLY", "NOPERM", "MISCONF", "NOREPLICAS", "WRONGTYPE"]
            .into_iter()
            .find(|code| text.contains(&format!("-{code} ")))
    };
    match cause.code() {
        Some("ERR") => cause.detail().and_then(inner).unwrap_or("ERR"),
        code => code.unwrap_or_default(),
    }
}

/// A server that does not know a command, for it was renamed, repeats its arguments: keys and data.
fn without_arguments(cause: RedisError) -> RedisError {
    let kept = match (cause.code(), cause.detail()) {
        (Some("ERR"), Some(text)) => text.split_once(", with args").map(|(kept, _)| kept.to_owned()),
        _ => None,
    };
    kept.map_or(cause, |text| redis::make_extension_error("ERR".into(), Some(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("it is an answer");
        value.extract_error().expect_err("of an error")
    }

    #[test]
    fn where_to_go_is_understood_or_waited_for() {
        let there = |line, at: &str, port, asking| {
            assert_eq!(verdict(&answer(line)), Verdict::Elsewhere { host: at.into(), port, asking });
        };
        there("MOVED 7 127.0.0.1:7001", "127.0.0.1", 7001, false);
        there("ASK 7 [::1]:7001", "::1", 7001, true);
        there("ASK 7 fe80::1:7001", "fe80::1", 7001, true);
        for line in ["MOVED 7 :7001", "MOVED 7", "MOVED 7 host:port", "TRYAGAIN x", "LOADING x", "BUSY x"] {
            assert_eq!(verdict(&answer(line)), Verdict::Again, "{line}");
        }
        assert_eq!(verdict(&answer("READONLY x")), Verdict::Replica);
        assert_eq!(verdict(&answer("NOPERM x")), Verdict::Final);
        let old = "ERR StoreError running script (call to f_0): @user_script:19: @user_script: 19: -READONLY You can't write \
                   against a read only replica.";
        assert_eq!(verdict(&answer(old)), Verdict::Replica);
    }

    #[test]
    fn what_a_script_met_counts_even_where_only_the_text_says_so() {
        let old = "ERR StoreError running script (call to f_0): @user_script:19: @user_script: 19: -OOM command not allowed";
        for line in ["OOM command not allowed", old] {
            let error = Failure::Refused(answer(line)).during(Operation::Store);
            assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Full, session_core::Applied::No));
        }
        let other = Failure::Refused(answer("ERR something -OOMPH")).during(Operation::Store);
        assert_eq!(other.kind(), StoreErrorKind::Backend);
    }

    #[test]
    fn only_a_command_that_cannot_be_had_is_one_that_a_server_does_without() {
        let without =
            ["ERR unknown command 'HELLO'", "ERR unknown command `HELLO`, with args", "NOPERM this user"];
        for line in without {
            assert!(is_not_to_be_had(&answer(line)), "{line}");
        }
        for line in
            ["ERR max number of clients reached", "ERR something", "LOADING x", "NOAUTH x", "MASTERDOWN x"]
        {
            assert!(!is_not_to_be_had(&answer(line)), "{line}");
        }
        for failure in [Failure::Unsent, Failure::Refused] {
            let error = failure(answer("ERR max number of clients reached")).during(Operation::Store);
            assert_eq!(
                (error.kind(), error.applied()),
                (StoreErrorKind::Unavailable, session_core::Applied::No)
            );
        }
        assert!(may_connect_later(&answer("ERR max number of clients reached")));
    }

    #[test]
    fn arguments_that_the_server_repeats_are_not_shown() {
        let line = "ERR unknown command 'GET', with args beginning with: 'session-kit:user:alice' ";
        let error = Failure::Refused(answer(line)).during(Operation::Retrieve);
        assert!(!format!("{error:?}").contains("alice"), "{error:?}");
        assert!(format!("{error:?}").contains("unknown command 'GET'"), "{error:?}");
    }
}
