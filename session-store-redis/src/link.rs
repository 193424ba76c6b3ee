//! A connection that is replaced when it is lost, and the retry of commands.
//!
//! A command is retried only where that is safe: it was refused, was never sent, or only reads. A change whose answer
//! is lost is an error with `Applied::Unknown`, because a second try could meet the effect of the first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::{Cmd, RedisError, Value};
use session_core::{Gate, Operation, Result};
use tokio::sync::Mutex;
use tokio::time::{error::Elapsed, sleep, timeout};

use crate::config::RedisConfig;
use crate::connection::{Connection, Route, Target};
use crate::error::{
    Failure, Verdict, is_full, is_unknown_option, is_unknown_script, may_connect_later, verdict,
};
use crate::node::cluster_node;
use crate::script::{Argument, Known, Scripts};
use crate::swap::{Form, Swap};

/// The connection that all handles of a store share.
pub(crate) struct Link {
    pub(crate) config: Arc<RedisConfig>,
    target: RwLock<Arc<Target>>,
    connection: RwLock<Option<Arc<Connection>>>,
    /// Locked while a connection is made; holds the error of the last attempt if it failed.
    connecting: Arc<Mutex<Option<RedisError>>>,
    attempts: AtomicU64,
    renewing: AtomicBool,
    pub(crate) gate: Gate,
}

/// The first pause before a retry. Each pause is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What [`Link::persist`] sends.
#[derive(Clone, Copy)]
pub(crate) enum Words<'a> {
    Fixed(&'a Cmd),
    /// Makes the command for the key `name`, given whether the server compares without a script.
    ByServer {
        name: &'a [u8],
        make: &'a (dyn Fn(bool) -> Cmd + Send + Sync),
    },
}

/// The progress of one call, for when its time runs out.
#[derive(Default)]
pub(crate) struct Trial {
    /// The connection of a command without an answer, and how many answers it had received before.
    sent: Option<(Arc<Connection>, u64)>,
    /// Why the command was not sent or must be retried.
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
    /// Makes one attempt to connect.
    pub(crate) async fn connect(config: Arc<RedisConfig>) -> Result<Arc<Self>> {
        let target = Target::new(&config).map_err(|cause| Failure::Unsent(cause).during(Operation::Open))?;
        let link = Arc::new(Self {
            config,
            target: RwLock::new(Arc::new(target)),
            connection: RwLock::default(),
            connecting: Arc::default(),
            attempts: AtomicU64::new(0),
            renewing: AtomicBool::new(false),
            gate: Gate::new(),
        });
        link.connection().await.map_err(|failure| failure.during(Operation::Open))?;
        Ok(link)
    }

    /// Drops the connection. Calls in progress finish by themselves.
    pub(crate) fn close(&self) {
        self.gate.close();
        self.put(None);
    }

    /// The host for a node that does not know its own.
    #[cfg(feature = "cluster")]
    pub(crate) fn host(&self) -> String {
        match &*self.target() {
            Target::Cluster(cluster) => cluster.host(),
            Target::Single(_) => String::new(),
        }
    }

    /// Connects with another password. Later connections use it too, but only if the server accepts it now.
    pub(crate) async fn change_password(self: &Arc<Self>, password: String) -> Result<()> {
        self.gate.check(Operation::Open)?;
        let failed = |cause| Failure::Unsent(cause).during(Operation::Open);
        let config = RedisConfig { password: Some(password), ..(*self.config).clone() };
        let target = Target::new(&config).map_err(failed)?;
        // Locked, so that no attempt with the old password ends later.
        let mut last = self.connecting.lock().await;
        let connection = target.connect(&self.config).await.map_err(failed)?;
        *self.target.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(target);
        *last = None;
        self.put(Some(Arc::new(connection)));
        Ok(())
    }

    /// Sends a command and returns its answer, within `response_timeout`.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        command: &Cmd,
        route: Route,
        operation: Operation,
    ) -> Result<Value> {
        let mut trial = Trial::default();
        let work = self.persist(Words::Fixed(command), &route, !operation.is_change(), &mut trial);
        let answer = timeout(self.config.response_timeout, work).await;
        self.conclude(answer, trial, operation)
    }

    /// Runs a script on a key and returns its answer, within `response_timeout`.
    pub(crate) async fn run(
        self: &Arc<Self>,
        script: &Known,
        key: &[u8],
        arguments: &[Argument<'_>],
        operation: Operation,
    ) -> Result<Value> {
        let mut trial = Trial::default();
        let keys = [key];
        let work = self.run_script(script, &keys, arguments, !operation.is_change(), &mut trial);
        let answer = timeout(self.config.response_timeout, work).await;
        self.conclude(answer, trial, operation)
    }

    /// Stores on a condition, within `response_timeout`. Most stores are one command. Where it finds something else than
    /// the caller expects, the driver reads what is there, and runs the script only where the read decides nothing.
    /// Answers as the script.
    pub(crate) async fn swap(self: &Arc<Self>, swap: &Swap<'_>, scripts: &Scripts) -> Result<Value> {
        let mut trial = Trial::default();
        let work = async {
            if swap.has_first() {
                if self.try_swap(swap, &scripts.over, &mut trial).await? {
                    return Ok(Value::Int(1));
                }
                let found = self.value(swap.name, &mut trial).await?;
                if let Some(answer) = swap.judge(found) {
                    return Ok(answer);
                }
            }
            let now = swap.now();
            self.run_script(&scripts.change, &[swap.name], &swap.arguments(&now), false, &mut trial).await
        };
        let answer = timeout(self.config.response_timeout, work).await;
        self.conclude(answer, trial, Operation::Store)
    }

    /// Whether the first command made the change. If it did not, the server found something else than the caller
    /// expects, or had no memory; nothing has changed then.
    async fn try_swap(
        self: &Arc<Self>,
        swap: &Swap<'_>,
        over: &Known,
        trial: &mut Trial,
    ) -> std::result::Result<bool, Failure> {
        for form in [Form::Hash, Form::Source] {
            let make = |native| swap.first(if native { Form::Native } else { form }, over);
            let words = Words::ByServer { name: swap.name, make: &make };
            match self.persist(words, &Route::Key, false, trial).await {
                Ok(Value::Nil) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Failure::Refused(cause)) if form == Form::Hash && is_unknown_script(&cause) => {}
                // The record may be there already, from an earlier try.
                Err(Failure::Refused(cause)) if is_full(&cause) => return Ok(false),
                Err(failure) => return Err(failure),
            }
        }
        Ok(false)
    }

    /// Runs a script by its hash, and by its source where the server does not know it: after a restart, and after a
    /// failover, because replicas do not get scripts. The redis crate would load it on all nodes and wait for a node
    /// that hangs.
    pub(crate) async fn run_script(
        self: &Arc<Self>,
        script: &Known,
        keys: &[&[u8]],
        arguments: &[Argument<'_>],
        repeats: bool,
        trial: &mut Trial,
    ) -> std::result::Result<Value, Failure> {
        let by_hash = script.by_hash(keys, arguments);
        match self.persist(Words::Fixed(&by_hash), &Route::Key, repeats, trial).await {
            Err(Failure::Refused(cause)) if is_unknown_script(&cause) => {
                let by_source = script.by_source(keys, arguments);
                self.persist(Words::Fixed(&by_source), &Route::Key, repeats, trial).await
            }
            answer => answer,
        }
    }

    pub(crate) fn conclude<T>(
        self: &Arc<Self>,
        answer: std::result::Result<std::result::Result<T, Failure>, Elapsed>,
        trial: Trial,
        operation: Operation,
    ) -> Result<T> {
        let failure = match (answer, trial.sent) {
            (Ok(Ok(value)), _) => return Ok(value),
            (Ok(Err(failure)), _) => failure,
            (Err(_), Some((connection, answers))) => {
                self.suspect(&connection, answers);
                // A read that was repeated failed for the reason of its first try. A change may have been made.
                trial.last.filter(|_| !operation.is_change()).unwrap_or(Failure::Late)
            }
            (Err(_), None) => trial.last.unwrap_or(Failure::Stuck),
        };
        Err(failure.during(operation))
    }

    /// Sends a command until it is answered, refused, or lost.
    pub(crate) async fn persist(
        self: &Arc<Self>,
        words: Words<'_>,
        route: &Route,
        repeats: bool,
        trial: &mut Trial,
    ) -> std::result::Result<Value, Failure> {
        let mut redirected: Option<Route> = None;
        loop {
            let connection = match self.connection().await {
                Ok(connection) => connection,
                Err(Failure::Unsent(cause)) if may_connect_later(&cause) => {
                    trial.pause(Failure::Unsent(cause)).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let (built, native);
            let command = match words {
                Words::Fixed(command) => {
                    native = false;
                    command
                }
                Words::ByServer { name, make } => {
                    // Each connection may lead to another server.
                    connection.ask_native(name, &self.target(), &self.config).await;
                    native = connection.native.is_there();
                    built = make(native);
                    &built
                }
            };
            trial.sent = Some((Arc::clone(&connection), connection.answers()));
            let way = redirected.as_ref().unwrap_or(route);
            let answer = connection.send(command, way, &self.target(), &self.config).await;
            trial.sent = None;
            let cause = match answer {
                Ok(value) => return Ok(value),
                Err(cause) => cause,
            };
            match verdict(&cause) {
                // A node of a cluster that is older than the node that was asked.
                Verdict::Final if native && is_unknown_option(&cause) => connection.native.rule_out(),
                Verdict::Final => return Err(Failure::Refused(cause)),
                Verdict::Again => trial.pause(Failure::Refused(cause)).await,
                Verdict::Replica => {
                    // The same name may lead to the primary next time.
                    if !self.is_cluster() {
                        self.discard(&connection);
                    }
                    trial.pause(Failure::Refused(cause)).await;
                }
                #[cfg(feature = "cluster")]
                Verdict::Elsewhere { host, port, asking } if self.is_cluster() => {
                    // The first redirection is followed at once. Two nodes that name each other do not agree yet.
                    let first = redirected.is_none();
                    redirected = first.then_some(Route::Node { host, port, asking });
                    if !first {
                        trial.pause(Failure::Refused(cause)).await;
                    }
                    continue;
                }
                Verdict::Elsewhere { .. } => return Err(Failure::Unsent(cluster_node())),
                Verdict::Unsent => {
                    // In a cluster the connection stays, and another server may take the node's place.
                    connection.native.forget();
                    trial.pause(Failure::Unsent(cause)).await;
                }
                Verdict::Lost => {
                    connection.native.forget();
                    self.lost(&connection, &cause);
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
        !matches!(*self.target(), Target::Single(_))
    }

    fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the connection, or connects first. All waiting calls share one attempt, which continues after their
    /// time limits, because connecting may take longer than a call may.
    async fn connection(self: &Arc<Self>) -> std::result::Result<Arc<Connection>, Failure> {
        if let Some(connection) = self.living() {
            return Ok(connection);
        }
        let before = self.attempts.load(Ordering::Acquire);
        let mut last = Arc::clone(&self.connecting).lock_owned().await;
        if let Some(connection) = self.living() {
            return Ok(connection);
        }
        if self.gate.is_closed() {
            return Err(Failure::Closed);
        }
        if self.attempts.load(Ordering::Acquire) != before
            && let Some(cause) = &*last
        {
            return Err(Failure::Unsent(cause.clone()));
        }
        let link = Arc::clone(self);
        let attempt = tokio::spawn(async move {
            let answer = link.target().connect(&link.config).await.map(Arc::new);
            link.attempts.fetch_add(1, Ordering::AcqRel);
            *last = answer.as_ref().err().cloned();
            if let Ok(connection) = &answer {
                link.put(Some(Arc::clone(connection)));
            }
            answer
        });
        // The task fails only when its runtime ends, which is also the runtime of this call.
        attempt.await.unwrap_or_else(|ended| Err(std::io::Error::from(ended).into())).map_err(Failure::Unsent)
    }

    fn living(&self) -> Option<Arc<Connection>> {
        let connection = self.connection.read().unwrap_or_else(PoisonError::into_inner);
        connection.as_ref().filter(|connection| connection.is_alive()).map(Arc::clone)
    }

    /// Replaces the connection; a closed store has none.
    fn put(&self, connection: Option<Arc<Connection>>) {
        let mut place = self.connection.write().unwrap_or_else(PoisonError::into_inner);
        *place = connection.filter(|_| !self.gate.is_closed());
    }

    /// Drops a broken connection to a single server. A cluster's connection repairs itself, node by node, while the
    /// redis crate's task for it runs.
    fn lost(self: &Arc<Self>, connection: &Arc<Connection>, cause: &RedisError) {
        if cause.is_timeout() {
            self.suspect(connection, connection.answers());
        } else if !self.is_cluster() || cause.to_string().starts_with("redis_cluster: ") {
            self.discard(connection);
        }
    }

    fn discard(&self, connection: &Arc<Connection>) {
        let mut place = self.connection.write().unwrap_or_else(PoisonError::into_inner);
        place.take_if(|there| Arc::ptr_eq(there, connection));
    }

    /// Replaces the connection after a command got no answer in time, unless other commands got answers meanwhile. The
    /// server hangs or the connection is dead, which TCP may not report for 15 minutes.
    ///
    /// In a cluster other nodes keep answering, and a replica takes over from a node that hangs without closing a
    /// connection. Every late answer is therefore a reason to connect again and read the topology.
    fn suspect(self: &Arc<Self>, connection: &Arc<Connection>, answers: u64) {
        let hangs = self.is_cluster() || connection.answers() == answers;
        if !hangs || self.gate.is_closed() || self.renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (renewal, old) = (Renewal(Arc::clone(self)), Arc::clone(connection));
        tokio::spawn(async move {
            let link = &renewal.0;
            if let Ok(fresh) = link.target().connect(&link.config).await {
                let mut place = link.connection.write().unwrap_or_else(PoisonError::into_inner);
                if place.as_ref().is_some_and(|there| Arc::ptr_eq(there, &old)) {
                    *place = Some(Arc::new(fresh));
                }
            }
        });
    }
}

/// Marks a replacement in progress. Dropped at its end, or with its runtime.
struct Renewal(Arc<Link>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.renewing.store(false, Ordering::Release);
    }
}
