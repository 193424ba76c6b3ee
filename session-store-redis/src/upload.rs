//! Storing a large value in parts.
//!
//! Building one command of many megabytes and sending it copies the value several times without a pause, and keeps all
//! other tasks from running on that thread. The driver therefore sends a large value in parts under a name of its own.
//! One script then puts it in the place of the record, so that the change is still one step. If the caller drops the
//! call before that, nothing has changed, and the server removes the parts later.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use redis::{Cmd, Value};
use session_core::{Condition, Operation, Record, Result, Timestamp};
use tokio::time::timeout;

use crate::connection::Route;
use crate::error::{Failure, is_missing_command, lost_parts};
use crate::layout::{HEAD, WHOLE, head, time_to_live};
use crate::link::{Link, Trial, Words};
use crate::script::{Argument, Scripts};

/// The bytes of a part.
const PART: usize = 1 << 20;
/// How long the server keeps parts whose upload does not end, in milliseconds, beyond the time limit of the call.
const KEPT: u128 = 60_000;
const DAY: u128 = 86_400_000;

/// A store of a large record.
pub(crate) struct Upload<'a> {
    name: &'a [u8],
    /// The name of the parts.
    parts: Vec<u8>,
    record: &'a Record,
    condition: Condition,
    now: Timestamp,
}

impl<'a> Upload<'a> {
    /// `None` if one command can carry the value, or if the parts cannot have the slot of `name` in a cluster.
    pub(crate) fn new(
        namespace: &[u8],
        name: &'a [u8],
        record: &'a Record,
        condition: Condition,
        now: Timestamp,
    ) -> Option<Self> {
        let has_braces = name.iter().any(|byte| matches!(byte, b'{' | b'}'));
        if record.data.len() <= WHOLE || has_braces || !record.is_live(now) {
            return None;
        }
        // Random keys of the hasher: no other call uses the name.
        let number = format!("{:016x}", RandomState::new().hash_one(record.revision));
        let parts = [namespace, b"?{", name, b"}", number.as_bytes()].concat();
        Some(Self { name, parts, record, condition, now })
    }

    fn len(&self) -> usize {
        HEAD + self.record.data.len()
    }

    /// The commands that send the parts.
    fn appends(&self) -> impl Iterator<Item = Cmd> {
        let data = &self.record.data;
        let (first, others) = data.split_at(data.len().min(PART - HEAD));
        let first = [&head(self.record), first].concat();
        let others = others.chunks(PART).map(|part| self.command("APPEND", |append| append.arg(part)));
        std::iter::once(self.command("APPEND", |append| append.arg(first))).chain(others)
    }

    fn command(&self, name: &str, arguments: impl FnOnce(&mut Cmd) -> &mut Cmd) -> Cmd {
        let mut command = Cmd::new();
        arguments(command.arg(name).arg(&self.parts));
        command
    }
}

impl Link {
    /// Stores a large record, within `response_timeout`. Answers as the change script, or `None` and changes nothing if
    /// the user has no right to `APPEND` or `RENAME`.
    pub(crate) async fn upload(
        self: &Arc<Self>,
        upload: &Upload<'_>,
        scripts: &Scripts,
    ) -> Result<Option<Value>> {
        let mut trial = Trial::default();
        let work = async {
            let answer = match self.send_parts(upload, &mut trial).await {
                Ok(()) => self.put_in_place(upload, scripts, &mut trial).await,
                Err(failure) => Err(failure),
            };
            match answer {
                Ok(answer) => Ok(Some(answer)),
                // Parts that only this call knows. Without this command the server removes them later.
                Err(failure @ Failure::Refused(_)) => {
                    let gone = upload.command("DEL", |command| command);
                    drop(self.persist(Words::Fixed(&gone), &Route::Key, true, &mut trial).await);
                    Err(failure)
                }
                Err(failure) => Err(failure),
            }
        };
        let answer = timeout(self.config.response_timeout, work).await;
        match answer {
            Ok(Err(Failure::Refused(cause))) if is_missing_command(&cause) => Ok(None),
            answer => self.conclude(answer, trial, Operation::Store),
        }
    }

    /// Each part waits for the answer to the one before, so that other tasks run in between.
    async fn send_parts(
        self: &Arc<Self>,
        upload: &Upload<'_>,
        trial: &mut Trial,
    ) -> std::result::Result<(), Failure> {
        let kept = self.config.response_timeout.as_millis().min(DAY) + KEPT;
        let empty = upload.command("SET", |set| set.arg("").arg("PX").arg(kept.to_string()));
        self.part(&empty, trial).await?;
        let mut sent = 0;
        for append in upload.appends() {
            sent = upload.len().min(sent + PART);
            // A server that was restarted or that took over may not have the earlier parts.
            if self.part(&append, trial).await? != Value::Int(i64::try_from(sent).unwrap_or(i64::MAX)) {
                return Err(Failure::Refused(lost_parts()));
            }
        }
        Ok(())
    }

    /// A part whose answer is lost has changed no record.
    async fn part(self: &Arc<Self>, command: &Cmd, trial: &mut Trial) -> std::result::Result<Value, Failure> {
        let answer = self.persist(Words::Fixed(command), &Route::Key, false, trial).await;
        answer.map_err(|failure| match failure {
            Failure::Lost(cause) => Failure::Unsent(cause),
            failure => failure,
        })
    }

    async fn put_in_place(
        self: &Arc<Self>,
        upload: &Upload<'_>,
        scripts: &Scripts,
        trial: &mut Trial,
    ) -> std::result::Result<Value, Failure> {
        let (script, expected) = match upload.condition {
            Condition::Any => (&scripts.place, Vec::new()),
            Condition::Absent => (&scripts.place_over, Vec::new()),
            Condition::Revision(revision) => (&scripts.place_over, revision.to_bytes().to_vec()),
        };
        let (now, length) = (upload.now.as_millis().to_string(), upload.len().to_string());
        let ttl = time_to_live(upload.record.expires, upload.now).unwrap_or_default();
        let offered = upload.record.revision.to_bytes();
        let arguments = [now.as_bytes(), &expected, &offered, ttl.as_bytes(), length.as_bytes()];
        let names = [upload.name, &upload.parts];
        self.run_script(script, &names, &arguments.map(Argument::Text), false, trial).await
    }
}
