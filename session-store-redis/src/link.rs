//! The way to the server: a connection that is replaced when it is lost, and what is sent again.
//!
//! A command is sent again only where that is safe: where it was refused or never left, and where it reads. A change
//! whose answer is lost is an error that says so (`Applied::Unknown`), for its second try could meet the first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::{Cmd, RedisError, Value};
use session_core::{Operation, Result};
use tokio::sync::Mutex;
use tokio::time::{error::Elapsed, sleep, timeout};

use crate::config::RedisConfig;
use crate::error::{Failure, Verdict, is_unknown_script, may_connect_later, verdict};
use crate::script::Known;
use crate::wire::{Route, Target, Wire};

/// What all handles of a store share.
pub(crate) struct Link {
    config: Arc<RedisConfig>,
    target: Target,
    wire: RwLock<Option<Arc<Wire>>>,
    /// Held while a connection is made; what came of the last attempt if it failed.
    connecting: Arc<Mutex<Option<RedisError>>>,
    attempts: AtomicU64,
    renewing: AtomicBool,
    closed: AtomicBool,
}

/// How long to wait before a command is sent again, at first. Each wait is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// One call: what is known of it should its time run out.
#[derive(Default)]
struct Trial {
    /// Where a command is under way, and what had been heard of that connection before.
    sent: Option<(Arc<Wire>, u64)>,
    /// Why it was not sent, or is to be sent again.
    last: Option<Failure>,
    pauses: u32,
}

impl Trial {
    async fn pause(&mut self, why: Failure) {
        self.last = Some(why);
        let pause = PAUSE.saturating_mul(1 << self.pauses.min(8)).min(LONGEST_PAUSE);
        self.pauses += 1;
        sleep(pause).await;
    }
}

impl Link {
    /// Connects, in one attempt.
    pub(crate) async fn connect(config: Arc<RedisConfig>) -> Result<Arc<Self>> {
        let target = Target::new(&config).map_err(|cause| Failure::Unsent(cause).during(Operation::Open))?;
        let link = Arc::new(Self {
            config,
            target,
            wire: RwLock::default(),
            connecting: Arc::default(),
            attempts: AtomicU64::new(0),
            renewing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        link.wire().await.map_err(|failure| failure.during(Operation::Open))?;
        Ok(link)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Lets go of the connection; calls that are under way end by themselves.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        drop(self.put(None));
    }

    /// The host of a node that does not know its own.
    #[cfg(feature = "cluster")]
    pub(crate) fn host(&self) -> String {
        match &self.target {
            Target::Cluster(cluster) => cluster.host(),
            Target::Single(_) => String::new(),
        }
    }

    /// Sends a command and gives its answer, within the configured time altogether.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        command: &Cmd,
        route: Route,
        operation: Operation,
    ) -> Result<Value> {
        let mut trial = Trial::default();
        let work = self.persist(command, &route, repeats(operation), &mut trial);
        let answer = timeout(self.config.timeout, work).await;
        self.conclude(answer, trial, operation)
    }

    /// Runs a script by its hash, and by its source where the server does not know it: after a restart, after a
    /// failover, for replicas know none. The crate's own way loads it on all nodes, and waits for one that hangs.
    pub(crate) async fn run(
        self: &Arc<Self>,
        script: &Known,
        key: &[u8],
        arguments: &[&[u8]],
        operation: Operation,
    ) -> Result<Value> {
        let mut trial = Trial::default();
        let work = async {
            let by_hash = script.call("EVALSHA", &script.hash, key, arguments);
            match self.persist(&by_hash, &Route::Key, repeats(operation), &mut trial).await {
                Err(Failure::Refused(cause)) if is_unknown_script(&cause) => {
                    let by_source = script.call("EVAL", script.source, key, arguments);
                    self.persist(&by_source, &Route::Key, repeats(operation), &mut trial).await
                }
                answer => answer,
            }
        };
        let answer = timeout(self.config.timeout, work).await;
        self.conclude(answer, trial, operation)
    }

    fn conclude(
        self: &Arc<Self>,
        answer: std::result::Result<std::result::Result<Value, Failure>, Elapsed>,
        trial: Trial,
        operation: Operation,
    ) -> Result<Value> {
        let failure = match (answer, trial.sent) {
            (Ok(Ok(value)), _) => return Ok(value),
            (Ok(Err(failure)), _) => failure,
            (Err(_), Some((wire, heard))) => {
                self.suspect(&wire, heard);
                Failure::Late
            }
            (Err(_), None) => trial.last.unwrap_or(Failure::Stuck),
        };
        Err(failure.during(operation))
    }

    /// Sends a command until it is answered, refused for good, or lost.
    async fn persist(
        self: &Arc<Self>,
        command: &Cmd,
        route: &Route,
        repeats: bool,
        trial: &mut Trial,
    ) -> std::result::Result<Value, Failure> {
        let mut redirected: Option<Route> = None;
        loop {
            let wire = match self.wire().await {
                Ok(wire) => wire,
                Err(Failure::Unsent(cause)) if may_connect_later(&cause) => {
                    trial.pause(Failure::Unsent(cause)).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            trial.sent = Some((Arc::clone(&wire), wire.heard()));
            let way = redirected.as_ref().unwrap_or(route);
            let answer = wire.send(command, way, &self.target, &self.config).await;
            trial.sent = None;
            let cause = match answer {
                Ok(value) => return Ok(value),
                Err(cause) => cause,
            };
            match verdict(&cause) {
                Verdict::Final => return Err(Failure::Refused(cause)),
                Verdict::Again => trial.pause(Failure::Refused(cause)).await,
                Verdict::Replica => {
                    // Its name or address may lead to the primary next time.
                    if !self.is_cluster() {
                        self.discard(&wire);
                    }
                    trial.pause(Failure::Refused(cause)).await;
                }
                #[cfg(feature = "cluster")]
                Verdict::Elsewhere { host, port, asking } if self.is_cluster() => {
                    // The first hint is followed at once. Two nodes that name each other do not agree yet.
                    let first = redirected.is_none();
                    redirected = first.then_some(Route::Node { host, port, asking });
                    if !first {
                        trial.pause(Failure::Refused(cause)).await;
                    }
                    continue;
                }
                Verdict::Elsewhere { .. } => return Err(Failure::Unsent(not_single())),
                Verdict::Unsent => trial.pause(Failure::Unsent(cause)).await,
                Verdict::Lost => {
                    self.lost(&wire, &cause);
                    if !repeats {
                        return Err(Failure::Lost(cause));
                    }
                    trial.pause(Failure::Lost(cause)).await;
                }
            }
            redirected = None;
        }
    }

    fn is_cluster(&self) -> bool {
        !matches!(self.target, Target::Single(_))
    }

    /// The connection, made anew where there is none. One attempt serves all that wait for it, and goes on when they
    /// wait no longer: a call may have less time than a connection takes.
    async fn wire(self: &Arc<Self>) -> std::result::Result<Arc<Wire>, Failure> {
        if let Some(wire) = self.living() {
            return Ok(wire);
        }
        let before = self.attempts.load(Ordering::Acquire);
        let mut last = Arc::clone(&self.connecting).lock_owned().await;
        if let Some(wire) = self.living() {
            return Ok(wire);
        }
        if self.is_closed() {
            return Err(Failure::Closed);
        }
        if self.attempts.load(Ordering::Acquire) != before
            && let Some(cause) = &*last
        {
            return Err(Failure::Unsent(cause.clone()));
        }
        let link = Arc::clone(self);
        let attempt = tokio::spawn(async move {
            let answer = link.target.connect(&link.config).await.map(Arc::new);
            link.attempts.fetch_add(1, Ordering::AcqRel);
            *last = answer.as_ref().err().cloned();
            if let Ok(wire) = &answer {
                drop(link.put(Some(Arc::clone(wire))));
            }
            answer
        });
        // It does not panic, and is never aborted but with its runtime, which is this call's own.
        attempt.await.unwrap_or_else(|_| Err(ended())).map_err(Failure::Unsent)
    }

    fn living(&self) -> Option<Arc<Wire>> {
        let wire = self.wire.read().unwrap_or_else(PoisonError::into_inner);
        wire.as_ref().filter(|wire| wire.is_alive()).map(Arc::clone)
    }

    /// Puts another connection in the place of what is there, unless the handle is closed. Gives what goes.
    fn put(&self, wire: Option<Arc<Wire>>) -> Option<Arc<Wire>> {
        let mut place = self.wire.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() { place.take().and(wire) } else { std::mem::replace(&mut *place, wire) }
    }

    /// A single server's connection that broke is of no more use. A cluster's repairs itself, node by node, as long as
    /// the crate's task for it lives.
    fn lost(self: &Arc<Self>, wire: &Arc<Wire>, cause: &RedisError) {
        if cause.is_timeout() {
            self.suspect(wire, wire.heard());
        } else if !self.is_cluster() || cause.to_string().starts_with("redis_cluster: ") {
            self.discard(wire);
        }
    }

    fn discard(&self, wire: &Arc<Wire>) {
        let mut place = self.wire.write().unwrap_or_else(PoisonError::into_inner);
        let gone = place.take_if(|there| Arc::ptr_eq(there, wire));
        drop(place);
        drop(gone);
    }

    /// A command got no answer in time. If nobody else got one meanwhile either, the server hangs, or the connection
    /// leads nowhere, which TCP may not notice for a quarter of an hour: another one is made beside it and takes its
    /// place. In a cluster other nodes are heard all the time, and a node that hangs is replaced by its replica without
    /// closing a connection; so there every late answer is a reason to ask who is who.
    fn suspect(self: &Arc<Self>, wire: &Arc<Wire>, heard: u64) {
        let hangs = self.is_cluster() || wire.heard() == heard;
        if !hangs || self.is_closed() || self.renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (renewal, old) = (Renewal(Arc::clone(self)), Arc::clone(wire));
        tokio::spawn(async move {
            let link = &renewal.0;
            if let Ok(fresh) = link.target.connect(&link.config).await {
                let mut place = link.wire.write().unwrap_or_else(PoisonError::into_inner);
                if place.as_ref().is_some_and(|there| Arc::ptr_eq(there, &old)) {
                    *place = Some(Arc::new(fresh));
                }
            }
        });
    }
}

/// A renewal under way. It ends when this is dropped, as it is too where its runtime ends first.
struct Renewal(Arc<Link>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.renewing.store(false, Ordering::Release);
    }
}

/// Whether a command of this operation may be sent again when its answer is lost: it only reads.
fn repeats(operation: Operation) -> bool {
    matches!(operation, Operation::Retrieve | Operation::Traverse)
}

fn ended() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::Interrupted, "connecting was interrupted").into()
}

fn not_single() -> RedisError {
    let text = "the server is a node of a cluster, for which there is RedisConfig::cluster";
    (redis::ErrorKind::InvalidClientConfig, text).into()
}
