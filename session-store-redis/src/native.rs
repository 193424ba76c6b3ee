//! Whether a server compares and sets without a script: `SET` with `IFEQ`, which Valkey 8.1 and Redis 8.4 know.
//!
//! The driver asks the server of each connection by trying. Version numbers do not tell: forks, services and proxies have
//! their own. The question is a `SET` that changes nothing, because its key does not exist.

use std::sync::atomic::{AtomicU32, Ordering};

use redis::{Cmd, RedisResult, Value};

use crate::error::is_unknown_option;

/// The knowledge of a connection about `IFEQ`.
pub(crate) struct Native {
    /// [`HAS`], [`LACKS`] or [`BARRED`], or how many stores have found the answer unknown.
    state: AtomicU32,
}

const HAS: u32 = u32::MAX;
const LACKS: u32 = u32::MAX - 1;
/// The configuration wants scripts.
const BARRED: u32 = u32::MAX - 2;
/// While the answer is unknown, because the server is loading or full, the first stores ask, and later one in so many.
const FIRST: u32 = 16;
const ONE_IN: u32 = 1_024;

impl Native {
    pub(crate) fn new(allowed: bool) -> Self {
        Self { state: AtomicU32::new(if allowed { 0 } else { BARRED }) }
    }

    /// Whether this store has to ask first.
    pub(crate) fn must_ask(&self) -> bool {
        if self.state.load(Ordering::Relaxed) >= BARRED {
            return false;
        }
        let next = |seen: u32| (seen < BARRED).then(|| (seen + 1) % (ONE_IN * FIRST));
        let seen = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        seen.is_ok_and(|seen| seen < FIRST || seen.is_multiple_of(ONE_IN))
    }

    pub(crate) fn is_there(&self) -> bool {
        self.state.load(Ordering::Relaxed) == HAS
    }

    /// Uses scripts until [`forget`](Self::forget).
    pub(crate) fn rule_out(&self) {
        self.put(LACKS);
    }

    /// Asks again, because the server may be another one now.
    pub(crate) fn forget(&self) {
        self.put(0);
    }

    /// Takes note of the answer to [`question`]. Only nil says that the server compares: a server that ignores the option
    /// answers `OK`.
    pub(crate) fn learn(&self, answer: &RedisResult<Value>) {
        match answer {
            Ok(Value::Nil) => self.put(HAS),
            Ok(_) => self.rule_out(),
            Err(cause) if is_unknown_option(cause) => self.rule_out(),
            Err(_) => {}
        }
    }

    fn put(&self, state: u32) {
        // An error means that the configuration wants scripts.
        let _ = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now != BARRED).then_some(state));
    }
}

/// A `SET` that changes nothing on a server that compares. A server that ignores `IFEQ` keeps the value for 1 ms. Its key
/// is the name of no record, begins with the namespace, as the user's rights may demand, and has the slot of `name`.
pub(crate) fn question(namespace: &[u8], name: &[u8]) -> Cmd {
    let key = [namespace, b"?{", name, b"}"].concat();
    let mut question = Cmd::new();
    question.arg("SET").arg(key).arg("").arg("PX").arg(1).arg("IFEQ").arg("session-kit");
    question
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> RedisResult<Value> {
        redis::parse_redis_value(format!("{line}\r\n").as_bytes()).and_then(Value::extract_error)
    }

    #[test]
    fn only_nil_is_a_server_that_compares() {
        for (line, asks, there) in [
            ("$-1", false, true),
            ("+OK", false, false),
            ("-ERR syntax error", false, false),
            ("-LOADING x", true, false),
            ("-OOM x", true, false),
            ("-NOPERM x", true, false),
        ] {
            let native = Native::new(true);
            native.learn(&answer(line));
            assert_eq!((native.must_ask(), native.is_there()), (asks, there), "{line}");
            native.forget();
            assert!(native.must_ask() && !native.is_there(), "{line}");
            let barred = Native::new(false);
            barred.learn(&answer(line));
            barred.forget();
            assert!(!barred.must_ask() && !barred.is_there(), "{line}");
        }
    }

    #[test]
    fn questions_without_an_answer_become_rare() {
        let native = Native::new(true);
        let asked = |stores| (0..stores).filter(|_| native.must_ask()).count();
        assert_eq!(asked(FIRST), 16);
        assert_eq!(asked(10 * ONE_IN), 10);
    }
}
