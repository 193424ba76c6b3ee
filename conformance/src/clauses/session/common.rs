//! Level session: the helpers of its checks.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
pub(super) use session_core::{Operation, Persistence, Revision, SessionId};
use session_manager::{Committed, Event, Observer, SessionTag, SessionsBuilder};
pub(super) use session_manager::{
    EndReason, Error, ErrorKind, IdUpdate, Outcome, RequestInfo, Session, Sessions,
};

pub(super) use crate::common::*;
pub(super) use crate::testing::Fault;

/// A probe around the driver of the stage.
pub(super) type Probe = crate::testing::Probe<DynDriver>;

/// A manager over a probe of the stage's driver.
pub(super) type Manager = Sessions<Probe>;

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

impl From<Error> for Failure {
    /// An error where none was expected.
    fn from(error: Error) -> Self {
        unmet("the call succeeds", format!("{error:?}"))
    }
}

/// A manager with the default options.
pub(super) async fn fresh(stage: &Stage) -> Result<(Probe, Manager), Failure> {
    with(stage, |options| options).await
}

/// A manager with options.
pub(super) async fn with(
    stage: &Stage,
    options: impl FnOnce(SessionsBuilder<Probe>) -> SessionsBuilder<Probe>,
) -> Result<(Probe, Manager), Failure> {
    let probe = Probe::new(stage.open().await?);
    // No clause is about a slow machine.
    let builder = Sessions::builder(probe.clone()).touch_timeout(HOUR);
    let sessions = options(builder).build()?;
    Ok((probe, sessions))
}

/// The same, and a session with the value 1 under `a`.
pub(super) async fn with_one(stage: &Stage) -> Result<(Probe, Manager, SessionId), Failure> {
    let (probe, sessions) = fresh(stage).await?;
    let id = begun(&sessions, |session| session.insert("a", &1)).await?;
    Ok((probe, sessions, id))
}

/// Notes the events of a manager.
#[derive(Debug, Default)]
pub(super) struct Ears(Mutex<Vec<(Option<SessionTag>, Event)>>);

impl Observer for Ears {
    fn event(&self, session: Option<SessionTag>, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((session, event.clone()));
    }
}

impl Ears {
    pub(super) fn heard(&self) -> Vec<(Option<SessionTag>, Event)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A new session, filled and stored: its id.
pub(super) async fn begun(
    sessions: &Manager,
    fill: impl FnOnce(&Session) -> Result<(), Error>,
) -> Result<SessionId, Failure> {
    let session = sessions.load(None).await?;
    fill(&session)?;
    let committed = sessions.finish(&session).await?;
    equal("the outcome of a first write", &committed.outcome, &Outcome::Created)?;
    new_id(&session)
}

/// A whole request: opens, changes, finishes.
pub(super) async fn request(
    sessions: &Manager,
    id: SessionId,
    change: impl FnOnce(&Session) -> Result<(), Error>,
) -> Result<Committed, Failure> {
    let session = opened(sessions, id).await?;
    change(&session)?;
    Ok(sessions.finish(&session).await?)
}

/// A whole request that must not find its session ended.
pub(super) async fn does(
    sessions: &Manager,
    id: SessionId,
    change: impl FnOnce(&Session) -> Result<(), Error>,
) -> Check {
    goes_well(&request(sessions, id, change).await?)
}

/// Finishes a request that must not find its session ended.
pub(super) async fn done(sessions: &Manager, session: &Session) -> Check {
    goes_well(&sessions.finish(session).await?)
}

pub(super) fn goes_well(committed: &Committed) -> Check {
    let ended = matches!(committed.outcome, Outcome::Ended(_));
    ensure(!ended, "the session has not ended", committed)
}

/// A whole request that rotates: the new id.
pub(super) async fn rotated(sessions: &Manager, id: SessionId) -> Result<SessionId, Failure> {
    let session = opened(sessions, id).await?;
    session.rotate()?;
    done(sessions, &session).await?;
    new_id(&session)
}

/// Adds one to the value of `key`.
pub(super) fn add_to(session: &Session, key: &str) -> Result<(), Error> {
    session.update(key, |count: Option<u64>| count.unwrap_or(0) + 1).map(drop)
}

/// A request's handle on a session that must exist.
pub(super) async fn opened(sessions: &Manager, id: SessionId) -> Result<Session, Failure> {
    let session = sessions.load(id).await?;
    ensure(session.exists()?, "the session is there", session.end_reason())?;
    Ok(session)
}

/// The id that the client receives.
pub(super) fn new_id(session: &Session) -> Result<SessionId, Failure> {
    match session.id_update() {
        IdUpdate::Set { id, .. } => Ok(id),
        other => Err(unmet("the client receives a new id", format!("{other:?}"))),
    }
}

/// Fails unless the client receives nothing.
pub(super) fn tells_nothing(session: &Session, what: &str) -> Check {
    equal(&format!("the client's instruction after {what}"), &session.id_update(), &IdUpdate::None)
}

/// Fails unless the commit has this outcome.
pub(super) fn came_to(committed: &Committed, expected: &Outcome, what: &str) -> Check {
    equal(&format!("the outcome of {what}"), &committed.outcome, expected)
}

/// Fails unless these calls, and no others, were made since the last question.
pub(super) fn called(probe: &Probe, expected: &[Operation], what: &str) -> Check {
    equal(&format!("the calls of {what}"), &probe.operations()[..], expected)
}

/// Fails unless the stored session has this deadline.
pub(super) async fn expires(probe: &Probe, id: SessionId, at: Timestamp, what: &str) -> Check {
    equal(&format!("the deadline of {what}"), &stored(probe, id).await?.expires, &Some(at))
}

/// Fails unless this is an error of `kind`.
pub(super) fn refused<T: Debug>(
    answer: Result<T, Error>,
    kind: ErrorKind,
    what: &str,
) -> Result<Error, Failure> {
    match answer {
        Err(error) if error.kind() == kind => Ok(error),
        other => Err(unmet(format!("{what} fails with {kind:?}"), format!("{other:?}"))),
    }
}

/// Fails unless a later request finds the session with this value.
pub(super) async fn finds<T: DeserializeOwned + PartialEq + Debug>(
    sessions: &Manager,
    id: SessionId,
    key: &str,
    expected: Option<T>,
) -> Check {
    let session = opened(sessions, id).await?;
    equal(&format!("{key:?} in a later request"), &session.get::<T>(key)?, &expected)
}

/// The stored record of a session.
pub(super) async fn raw(probe: &Probe, id: SessionId) -> Result<Option<Record>, Failure> {
    Ok(probe.inner().retrieve(&id.key()).await?)
}

/// The stored record of a session that must exist.
pub(super) async fn stored(probe: &Probe, id: SessionId) -> Result<Record, Failure> {
    raw(probe, id).await?.ok_or_else(|| unmet("the store has the session", "nothing"))
}

/// Fails unless the session has no record.
pub(super) async fn nothing(probe: &Probe, id: SessionId, what: &str) -> Check {
    equal(&format!("the stored record {what}"), &raw(probe, id).await?, &None)
}

/// Fails if a key that was stored since the last `calls()` has a record, except for these sessions.
pub(super) async fn nothing_else(probe: &Probe, expected: &[SessionId], what: &str) -> Check {
    let expected: Vec<Key> = expected.iter().map(SessionId::key).collect();
    for call in probe.calls() {
        let Some(key) = call.key.filter(|key| call.operation == Operation::Store && !expected.contains(key))
        else {
            continue;
        };
        equal(&format!("the stored record elsewhere {what}"), &probe.inner().retrieve(&key).await?, &None)?;
    }
    Ok(())
}

/// Whether this is the tombstone that a rotation without a login leaves.
pub(super) fn is_marker(record: &Record) -> bool {
    record.data == Bytes::from_static(&[1, 2, 4, 0])
}

/// A moment from now.
pub(super) fn after(stage: &Stage, time: Duration) -> Timestamp {
    stage.now().saturating_add(time)
}

/// Moves the virtual clock on.
pub(super) fn advance(stage: &Stage, time: Duration) {
    stage.set(after(stage, time));
}
