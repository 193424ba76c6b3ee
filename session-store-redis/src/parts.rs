//! Reading a value, a large one in parts.
//!
//! The redis crate copies each answer as a whole, and the other tasks of its thread wait meanwhile. So the driver asks for
//! the first MiB, and nearly every value ends there. The others are read part by part. Every change draws a new revision,
//! so all parts are of one record if the head after the last part equals the head before the first.

use std::sync::Arc;

use redis::{Cmd, Value};
use session_core::{Operation, Result};
use tokio::time::timeout;

use crate::connection::Route;
use crate::error::Failure;
use crate::layout::{HEAD, WHOLE};
use crate::link::{Link, Trial, Words};

/// The bytes of a part. The change scripts know this number too.
pub(crate) const PART: usize = HEAD + WHOLE;
/// How often a value may change while its parts are read. After that, one command reads it.
const TRIES: u32 = 4;

type Answer<T> = std::result::Result<T, Failure>;

impl Link {
    /// Reads the value of a key, within `response_timeout`. Nil if there is none.
    pub(crate) async fn read(self: &Arc<Self>, name: &[u8], operation: Operation) -> Result<Value> {
        let mut trial = Trial::default();
        let answer = timeout(self.config.response_timeout, self.value(name, &mut trial)).await;
        self.conclude(answer, trial, operation)
    }

    /// Reads the value of a key. Nil if there is none.
    pub(crate) async fn value(self: &Arc<Self>, name: &[u8], trial: &mut Trial) -> Answer<Value> {
        for _ in 0..TRIES {
            let first = match self.range(name, 0, PART, trial).await? {
                Value::BulkString(value) if value.is_empty() => break,
                Value::BulkString(value) if value.len() >= PART => value,
                answer => return Ok(answer),
            };
            // Boxed, because large values are rare.
            if let Some(value) = Box::pin(self.others(name, first, trial)).await? {
                return Ok(Value::BulkString(value));
            }
        }
        // `GETRANGE` does not tell an empty value from none.
        let mut whole = Cmd::new();
        whole.arg("GET").arg(name);
        self.persist(Words::Fixed(&whole), &Route::Key, true, trial).await
    }

    /// The value that begins with `value`, or `None` if another one has taken its place.
    async fn others(
        self: &Arc<Self>,
        name: &[u8],
        mut value: Vec<u8>,
        trial: &mut Trial,
    ) -> Answer<Option<Vec<u8>>> {
        let mut ask = Cmd::new();
        ask.arg("STRLEN").arg(name);
        let Value::Int(len) = self.persist(Words::Fixed(&ask), &Route::Key, true, trial).await? else {
            return Ok(None);
        };
        let len = usize::try_from(len).unwrap_or_default();
        // Once, because to grow copies everything.
        value.reserve_exact(len.saturating_sub(value.len()));
        while value.len() < len {
            match self.range(name, value.len(), PART, trial).await? {
                Value::BulkString(part) if !part.is_empty() => value.extend_from_slice(&part),
                _ => return Ok(None),
            }
        }
        let head = self.range(name, 0, HEAD, trial).await?;
        let same = value.len() == len && head == Value::BulkString(value[..HEAD.min(len)].to_vec());
        Ok(same.then_some(value))
    }

    async fn range(
        self: &Arc<Self>,
        name: &[u8],
        from: usize,
        length: usize,
        trial: &mut Trial,
    ) -> Answer<Value> {
        let mut range = Cmd::with_capacity(4, name.len() + 30);
        range.arg("GETRANGE").arg(name).arg(from).arg(from + length - 1);
        self.persist(Words::Fixed(&range), &Route::Key, true, trial).await
    }
}
