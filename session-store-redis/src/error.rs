//! How errors of Redis map to errors of the driver.

use std::sync::Arc;

use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};
use session_core::{Operation, StoreError, StoreErrorKind};

/// How a command failed.
pub(crate) enum Failure {
    /// It was never sent, because the driver had no connection.
    Unsent(RedisError),
    /// The server refused it and changed nothing.
    Refused(RedisError),
    /// It was sent, and the answer was lost.
    Lost(RedisError),
    /// It was sent, and no answer arrived in time.
    Late,
    /// It was not sent in time. The cause is unknown.
    Stuck,
    /// The handle was closed.
    Closed,
}

impl Failure {
    pub(crate) fn during(self, operation: Operation) -> StoreError {
        let new = |kind| StoreError::new(kind, operation);
        match self {
            Self::Unsent(cause) => new(of_connecting(&cause)).with_source(cause),
            Self::Refused(cause) => new(of_answer(&cause)).with_source(without_arguments(cause)),
            Self::Lost(cause) if cause.is_timeout() => {
                new(StoreErrorKind::Timeout).with_source(cause).applied_unknown()
            }
            Self::Lost(cause) if cause.is_io_error() => {
                new(StoreErrorKind::Unavailable).with_source(cause).applied_unknown()
            }
            // Without the malformed answer, which may hold stored data.
            Self::Lost(_) => {
                new(StoreErrorKind::Backend).with_detail("malformed server response").applied_unknown()
            }
            Self::Late => new(StoreErrorKind::Timeout).applied_unknown(),
            Self::Stuck => new(StoreErrorKind::Timeout).with_detail("connecting timed out"),
            Self::Closed => StoreError::closed(operation),
        }
    }
}

pub(crate) fn corrupt(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, operation).with_detail("the value is not a record")
}

/// The error of an answer that Redis does not give to this command.
pub(crate) fn unexpected(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Backend, operation)
        .with_detail("unexpected type of answer")
        .applied_unknown()
}

/// How the driver reacts to an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Return it.
    Final,
    /// Refused for the moment: send the command again to the same node.
    Again,
    /// Refused by a server that has become a replica.
    Replica,
    /// Refused by a node of a cluster, which names another node; `asking` for this command only.
    Elsewhere { host: String, port: u16, asking: bool },
    /// Not sent, because the node is not connected.
    Unsent,
    /// Sent, and the answer was lost.
    Lost,
}

pub(crate) fn verdict(cause: &RedisError) -> Verdict {
    match cause.kind() {
        RedisKind::ClusterConnectionNotFound => Verdict::Unsent,
        RedisKind::Io | RedisKind::Parse => Verdict::Lost,
        _ => match code(cause) {
            "MOVED" | "ASK" => elsewhere(cause),
            "READONLY" => Verdict::Replica,
            // BUSY: another client's script has been running for long.
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

/// Whether the server does not know an option of a command. It parses all options before it does anything.
pub(crate) fn is_unknown_option(cause: &RedisError) -> bool {
    code(cause) == "ERR" && cause.detail().is_some_and(|text| text.starts_with("syntax error"))
}

/// Whether the server refused a write because its memory is full.
pub(crate) fn is_full(cause: &RedisError) -> bool {
    code(cause) == "OOM"
}

/// Whether a later attempt to connect may succeed without any change of the configuration.
pub(crate) fn may_connect_later(cause: &RedisError) -> bool {
    of_connecting(cause) != StoreErrorKind::Misconfigured
}

/// Whether the server lacks a command, or the user the right to it.
pub(crate) fn is_missing_command(cause: &RedisError) -> bool {
    let unknown = |text: &str| text.to_ascii_lowercase().starts_with("unknown command");
    match code(cause) {
        "NOPERM" => true,
        "ERR" => cause.detail().is_some_and(unknown),
        _ => false,
    }
}

fn of_connecting(cause: &RedisError) -> StoreErrorKind {
    use std::io::ErrorKind as Io;

    match (cause.kind(), io_kind(cause)) {
        // An untrusted certificate, a server without TLS, or a socket without permission.
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

/// The kind of the I/O error, which the redis crate keeps inside an `Arc` that is itself an error.
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
        // The disk is not writable, or too few replicas are connected.
        "MISCONF" | "NOREPLICAS" | PARTS => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Backend,
    }
}

/// At `maxclients` the server sends this to a new connection before any command.
fn is_crowded(cause: &RedisError) -> bool {
    cause.detail().is_some_and(|text| text.starts_with("max number of clients"))
}

/// The error code of our scripts for a value that is not a record.
const DAMAGED: &str = "SKDAMAGED";

/// The error code of our scripts where the parts of a large value are not all there.
const PARTS: &str = "SKPARTS";

/// The error of a large value whose parts are not all there: another server answers now. Nothing has changed.
pub(crate) fn lost_parts() -> RedisError {
    redis::make_extension_error(PARTS.into(), Some("parts of the value are gone".into()))
}

/// The code of an error. A right that a script lacks has no code on any server. Redis 6 has no code for any error of a
/// command inside a script: `ERR` or the name of the script stands in its place, and the code is in the text.
fn code(cause: &RedisError) -> &str {
    match cause.code().unwrap_or_default() {
        code if code == "ERR" || code.starts_with("@user_script") => {
            cause.detail().and_then(code_inside).unwrap_or("ERR")
        }
        code => code,
    }
}

/// The texts of errors where a script uses a command or a key without the right to it.
const NO_RIGHT: [&str; 2] = [
    // Redis 6.2 to 7.2.
    "The user executing the script can't",
    // Redis 7.4 and newer, and Valkey.
    "ACL failure in script",
];

fn code_inside(text: &str) -> Option<&'static str> {
    if NO_RIGHT.iter().any(|said| text.contains(said)) {
        return Some("NOPERM");
    }
    ["OOM", "READONLY", "NOPERM", "MISCONF", "NOREPLICAS", "WRONGTYPE"].into_iter().find(|code| {
        let follows = |mark: &str| text.contains(&format!("{mark}{code} "));
        // `WRONGTYPE` has no hyphen in Redis 6.
        follows("-") || text.contains("@user_script") && follows(": ")
    })
}

/// Removes the arguments, keys and data, that a server repeats when it does not know a command.
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
    fn redirections_are_followed_or_retried() {
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
        let old = "ERR Error running script (call to f_0): @user_script:19: @user_script: 19: -READONLY You can't write \
                   against a read only replica.";
        assert_eq!(verdict(&answer(old)), Verdict::Replica);
    }

    #[test]
    fn error_inside_a_script_is_read_from_the_text() {
        let old = "ERR Error running script (call to f_0): @user_script:19: @user_script: 19: -OOM command not allowed";
        for line in ["OOM command not allowed", old] {
            let error = Failure::Refused(answer(line)).during(Operation::Store);
            assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Full, session_core::Applied::No));
        }
        for (kind, line) in [
            (
                StoreErrorKind::Misconfigured,
                "ERR Error running script (call to f_1f): @user_script:1: @user_script: 1: \
              The user executing the script can't run this command or subcommand",
            ),
            (
                StoreErrorKind::Misconfigured,
                "@user_script: 1: The user executing the script can't run this command or \
              subcommand",
            ),
            (
                StoreErrorKind::Misconfigured,
                "ERR The user executing the script can't access at least one of the keys \
              mentioned in the command arguments script: 05, on @user_script:1.",
            ),
            (
                StoreErrorKind::Misconfigured,
                "ERR ACL failure in script: User app has no permissions to run the 'set' \
              command script: 1f, on @user_script:1.",
            ),
            (
                StoreErrorKind::Misconfigured,
                "ERR ACL failure in script: No permissions to access a key script: on \
              @user_script:1.",
            ),
            (
                StoreErrorKind::Corrupt,
                "ERR Error running script (call to f_f9): @user_script:1: WRONGTYPE Operation \
              against a key holding the wrong kind of value",
            ),
            (
                StoreErrorKind::Corrupt,
                "WRONGTYPE Operation against a key holding the wrong kind of value script: on \
              @user_script:1.",
            ),
            (StoreErrorKind::Backend, "ERR WRONGTYPE in other words"),
        ] {
            assert_eq!(Failure::Refused(answer(line)).during(Operation::Store).kind(), kind, "{line}");
        }
        let other = Failure::Refused(answer("ERR something -OOMPH")).during(Operation::Store);
        assert_eq!(other.kind(), StoreErrorKind::Backend);
    }

    #[test]
    fn missing_command_is_told_from_other_refusals() {
        let without =
            ["ERR unknown command 'HELLO'", "ERR unknown command `HELLO`, with args", "NOPERM this user"];
        for line in without {
            assert!(is_missing_command(&answer(line)), "{line}");
        }
        for line in
            ["ERR max number of clients reached", "ERR something", "LOADING x", "NOAUTH x", "MASTERDOWN x"]
        {
            assert!(!is_missing_command(&answer(line)), "{line}");
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
    fn repeated_arguments_are_not_shown() {
        let line = "ERR unknown command 'GET', with args beginning with: 'session-kit:user:alice' ";
        let error = Failure::Refused(answer(line)).during(Operation::Retrieve);
        assert!(!format!("{error:?}").contains("alice"), "{error:?}");
        assert!(format!("{error:?}").contains("unknown command 'GET'"), "{error:?}");
    }
}
