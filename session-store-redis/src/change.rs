//! Storing, removing and touching one record.

use redis::{Cmd, Value};
use session_core::{
    Change, ChangeRequest, Condition, Key, Operation, Record, Result, Timestamp, Touch, check_record_bytes,
    is_live,
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
        if let ChangeRequest::Store { record, condition } = request
            && let Some(upload) =
                Upload::new(self.config.namespace.as_bytes(), &name, record, *condition, now)
            // Boxed, because large records are rare.
            && let Some(answer) = Box::pin(self.link.upload(&upload, &self.scripts)).await?
        {
            return change_of(answer, operation);
        }
        let answer = match request {
            ChangeRequest::Store { record, condition: Condition::Any } => {
                self.put(&name, record, now).await?;
                return Ok(Change::Applied);
            }
            ChangeRequest::Store { record, condition } => {
                let swap = Swap::new(&name, record, *condition, loaded, now);
                self.link.swap(&swap, &self.scripts).await?
            }
            ChangeRequest::Remove { condition } => self.delete(&name, now, *condition).await?,
            ChangeRequest::Touch(touch) => self.move_deadline(&name, now, touch).await?,
        };
        change_of(answer, operation)
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

/// What the answer of a script means.
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
