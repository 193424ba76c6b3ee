//! Storing, removing and touching one record.

use redis::{Cmd, Value};
use session_core::{
    Change, ChangeRequest, Condition, Decision, Found, Key, Operation, Record, Result, StoreError,
    StoreErrorKind, Timestamp, Touch, check_record_bytes, is_live,
};

use crate::connection::Route;
use crate::error::{corrupt, unexpected};
use crate::layout::{Stored, decode, time_to_live, words};
use crate::open::Inner;
use crate::script::Argument::Text;
use crate::swap::Swap;
use crate::upload::Upload;

impl Inner {
    /// Makes a change. A touch that finds another revision is `Conflict(None)`. `loaded` is the record that a store
    /// replaces, if the caller has it.
    pub(crate) async fn change(
        &self,
        key: &Key,
        request: &ChangeRequest,
        loaded: Option<&Record>,
    ) -> Result<Change> {
        let operation = request.operation();
        self.link.gate.check(operation)?;
        check_record_bytes(request.data_len(), self.config.max_record_bytes)?;
        let (name, now) = (self.name(key), self.config.clock.now());
        for _ in 0..TRIES {
            let change = match self.attempt(&name, request, loaded, now).await? {
                Value::Int(LARGE) => {
                    let found = self.link.read(&name, operation).await?;
                    conflict_with(found, request, now)?
                }
                answer => Some(change_of(answer, operation)?),
            };
            if let Some(change) = change {
                return Ok(change);
            }
        }
        let changing = StoreError::new(StoreErrorKind::Unavailable, operation);
        Err(changing.with_detail("the large record was changed again and again"))
    }

    /// The answer of the server: as the change script.
    async fn attempt(
        &self,
        name: &[u8],
        request: &ChangeRequest,
        loaded: Option<&Record>,
        now: Timestamp,
    ) -> Result<Value> {
        if let ChangeRequest::Store { record, condition } = request
            && let Some(upload) =
                Upload::new(self.config.namespace.as_bytes(), name, record, *condition, now)
            // Boxed, because large records are rare.
            && let Some(answer) = Box::pin(self.link.upload(&upload, &self.scripts)).await?
        {
            return Ok(answer);
        }
        match request {
            ChangeRequest::Store { record, condition: Condition::Any } => {
                self.put(name, record, now).await.map(|_| Value::Int(1))
            }
            ChangeRequest::Store { record, condition } => {
                let swap = Swap::new(name, record, *condition, loaded, now);
                self.link.swap(&swap, &self.scripts).await
            }
            ChangeRequest::Remove { condition } => self.delete(name, now, *condition).await,
            ChangeRequest::Touch(touch) => self.move_deadline(name, now, touch).await,
        }
    }

    /// An unconditional store needs no script.
    async fn put(&self, name: &[u8], record: &Record, now: Timestamp) -> Result<Value> {
        let value = Stored(record);
        let mut command = Cmd::with_capacity(5, name.len() + value.len() + 30);
        if record.is_live(now) {
            command.arg("SET").arg(name).arg(value);
            if let Some(ttl) = time_to_live(record.expires, now) {
                command.arg("PX").arg(ttl);
            }
        } else {
            command.arg("DEL").arg(name);
        }
        self.link.ask(&command, Route::Key, Operation::Store).await
    }

    async fn delete(&self, name: &[u8], now: Timestamp, condition: Condition) -> Result<Value> {
        let now = now.as_millis().to_string();
        let expected = match condition {
            Condition::Any => b"any".to_vec(),
            Condition::Absent => Vec::new(),
            Condition::Revision(revision) => revision.to_bytes().to_vec(),
        };
        let arguments = [now.as_bytes(), &expected, b"", b"", b""].map(Text);
        self.link.run(&self.scripts.change, name, &arguments, Operation::Remove).await
    }

    async fn move_deadline(&self, name: &[u8], now: Timestamp, touch: &Touch) -> Result<Value> {
        let Touch { from, to, deadline } = *touch;
        let ttl = if is_live(deadline, now) { time_to_live(deadline, now) } else { Some("0".into()) };
        let now = now.as_millis().to_string();
        let (old, new, words) = (from.to_bytes(), to.to_bytes(), words(to, deadline));
        let ttl = ttl.as_deref().unwrap_or_default().as_bytes();
        let arguments = [now.as_bytes(), &old, &new, &words, ttl].map(Text);
        self.link.run(&self.scripts.touch, name, &arguments, Operation::Touch).await
    }
}

/// The answer of a script that conflicts with a large record.
const LARGE: i64 = 2;
/// How often a change that conflicts with a large record is tried, if the record that is then read would not conflict.
const TRIES: u32 = 8;

/// The answer to a change that has conflicted with a large record, by the value that was read after it; `None` if the
/// change would be made now.
fn conflict_with(found: Value, request: &ChangeRequest, now: Timestamp) -> Result<Option<Change>> {
    let operation = request.operation();
    let record = match found {
        Value::Nil => None,
        Value::BulkString(value) => Some(decode(value).map_err(|_| corrupt(operation))?),
        _ => return Err(unexpected(operation)),
    };
    Ok(match request.decide(Found::of(record.as_ref(), now), now) {
        Decision::AlreadyApplied | Decision::AlreadyAbsent => Some(Change::Applied),
        Decision::Conflict => Some(Change::Conflict(record.filter(|record| record.is_live(now)))),
        Decision::Write | Decision::Delete | Decision::Corrupt => None,
    })
}

/// The meaning of the answer of a script.
fn change_of(answer: Value, operation: Operation) -> Result<Change> {
    match answer {
        Value::Int(1) => Ok(Change::Applied),
        Value::Nil => Ok(Change::Conflict(None)),
        Value::BulkString(value) => {
            let record = decode(value).map_err(|_| corrupt(operation))?;
            Ok(Change::Conflict(Some(record)))
        }
        _ => Err(unexpected(operation)),
    }
}
