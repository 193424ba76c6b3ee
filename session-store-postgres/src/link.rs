//! Sending a statement over a connection of the pool, and the retry of statements.
//!
//! A statement is sent again only if that is safe: it was refused, was never sent, or only reads. A change whose answer
//! is lost is an error with `Applied::Unknown`, because a second try could meet the effect of the first.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, Pool, PoolError, TimeoutType};
use session_core::{Clock, Gate, Key, Opener, Operation, Result};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Row;

use crate::config::PostgresConfig;
use crate::error::{Cause, Failure};
use crate::flight::{Afterwards, Answer, Flight};
use crate::home::Home;
use crate::statement::{Attempts, Statement, Values};
use crate::tls::Transport;

/// The connections that all handles of a store share.
pub(crate) struct Link {
    pool: Pool,
    /// Whether the pool is the driver's and not the application's.
    is_own: bool,
    prepare: bool,
    pub(crate) gate: Gate,
    opener: Opener,
    clock: Arc<dyn Clock>,
    after: Afterwards,
}

/// The first pause before a retry. Each pause is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// The detail of a call that waited for a connection.
const NO_CONNECTION: &str = "no connection was free in time";

/// The progress of one call, for when its time runs out.
struct Trial {
    /// Whether a statement without an answer was sent.
    sent: bool,
    waits_for: &'static str,
    /// Why the statement was not sent or must be sent again.
    last: Option<Failure>,
    pauses: u32,
    /// A statement that is sent at the last moment would have an unknown effect instead of a reason.
    last_repeat: Instant,
}

impl Link {
    /// `own` is the way of the driver's own connections, and `None` for a pool of the application.
    pub(crate) fn new(pool: Pool, own: Option<Transport>, home: Home, config: &PostgresConfig) -> Self {
        Self {
            pool,
            is_own: own.is_some(),
            prepare: config.prepare,
            gate: Gate::new(),
            opener: Opener::this_process(),
            clock: Arc::clone(&config.clock),
            after: Afterwards {
                pending: Default::default(),
                home,
                limit: config.response_timeout,
                transport: own.unwrap_or(Transport::Clear),
            },
        }
    }

    /// Makes one attempt to connect.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<Client> {
        let failure = match timeout(limit, self.get()).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Unsent(Cause::timed_out("connecting timed out")),
        };
        Err(failure.during(Operation::Open))
    }

    /// Passes while the store is open, in the process that opened it.
    pub(crate) fn check(&self, operation: Operation) -> Result<()> {
        self.check_process(operation)?;
        self.gate.check(operation)
    }

    /// Passes in the process that opened the store.
    pub(crate) fn check_process(&self, operation: Operation) -> Result<()> {
        self.opener.check(operation)
    }

    /// Sends a statement and returns its answer, within `response_timeout`. `key` is the key of a change.
    pub(crate) async fn ask(
        &self,
        statement: &Statement,
        values: Values<'_>,
        operation: Operation,
        key: Option<&Key>,
    ) -> Result<Answer> {
        self.check(operation)?;
        self.within_limit(None, statement, values, operation, key, self.after.limit).await
    }

    /// As [`ask`](Self::ask) for a step of a longer call, which ends at `until`.
    pub(crate) async fn ask_until(
        &self,
        statement: &Statement,
        values: Values<'_>,
        operation: Operation,
        until: Instant,
    ) -> Result<Answer> {
        self.check(operation)?;
        let limit = until.saturating_duration_since(Instant::now());
        self.within_limit(None, statement, values, operation, None, limit).await
    }

    /// Makes a change, and returns the answer of the deciding statement, or `None` if the plain one made the change. Both
    /// together are within `response_timeout`, and end at `until`.
    pub(crate) async fn change(
        &self,
        attempts: &Attempts,
        values: Values<'_>,
        operation: Operation,
        key: &Key,
        until: Option<Instant>,
    ) -> Result<Option<Answer>> {
        self.check(operation)?;
        let Attempts { plain, deciding } = attempts;
        let limit = until.map_or(self.after.limit, |until| until.saturating_duration_since(Instant::now()));
        let answer = self.within_limit(Some(plain), deciding, values, operation, Some(key), limit).await?;
        Ok(Some(answer).filter(|answer| answer.changed != 1))
    }

    /// As [`ask`](Self::ask), also while the gate is closed.
    pub(crate) async fn ask_inside(&self, statement: &Statement, operation: Operation) -> Result<Answer> {
        self.within_limit(None, statement, &[], operation, None, self.after.limit).await
    }

    /// Sends `first`, and `statement` if `first` changed no row.
    async fn within_limit(
        &self,
        first: Option<&Statement>,
        statement: &Statement,
        values: Values<'_>,
        operation: Operation,
        key: Option<&Key>,
        limit: Duration,
    ) -> Result<Answer> {
        let last_repeat = Instant::now() + limit / 4 * 3;
        let mut trial = Trial { sent: false, waits_for: "", last: None, pauses: 0, last_repeat };
        let work = async {
            if let Some(first) = first {
                let answer = self.persist(first, values, operation, key, &mut trial).await?;
                if answer.changed == 1 {
                    return Ok(answer);
                }
                // Boxed, because conflicts are rare.
                return Box::pin(self.persist(statement, values, operation, key, &mut trial)).await;
            }
            self.persist(statement, values, operation, key, &mut trial).await
        };
        let answer = timeout(limit, work).await;
        let failure = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) if trial.sent => Failure::Late,
            Err(_) => trial.last.unwrap_or(Failure::Stuck(trial.waits_for)),
        };
        Err(failure.during(operation))
    }

    /// Sends a statement until it is answered, refused, or lost.
    async fn persist(
        &self,
        statement: &Statement,
        values: Values<'_>,
        operation: Operation,
        key: Option<&Key>,
        trial: &mut Trial,
    ) -> std::result::Result<Answer, Failure> {
        if let Some(key) = key {
            trial.waits_for = "an abandoned change of the key was not answered in time";
            self.after.pending.settled(key).await;
        }
        trial.waits_for = NO_CONNECTION;
        loop {
            let failure = match self.get().await {
                Ok(client) => {
                    trial.sent = true;
                    let flight = Flight::new(client, key, &self.after);
                    let answer = flight.send(statement, values, self.prepare, &*self.clock).await;
                    let failure = match answer {
                        Ok(answer) if is_of_standby(&answer.rows, operation) => Failure::Standby,
                        Ok(answer) => {
                            flight.land();
                            return Ok(answer);
                        }
                        Err(cause) => Failure::of(&cause),
                    };
                    let client = flight.land();
                    if matches!(failure, Failure::Standby) {
                        // The same name may lead to the primary next time. The application decides about its own pool.
                        drop(client.map(Client::take));
                        if self.is_own {
                            self.pool.retain(|_, _| false);
                        }
                    }
                    trial.sent = false;
                    failure
                }
                Err(failure) => failure,
            };
            if !failure.may_repeat(operation.is_change()) || Instant::now() > trial.last_repeat {
                return Err(failure);
            }
            trial.last = Some(failure);
            let pause = PAUSE.saturating_mul(1 << trial.pauses.min(8)).min(LONGEST_PAUSE);
            trial.pauses += 1;
            sleep(pause).await;
        }
    }

    async fn get(&self) -> std::result::Result<Client, Failure> {
        self.pool.get().await.map_err(|cause| match cause {
            PoolError::Backend(cause) => Failure::Unsent(Cause::new(&cause)),
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                Failure::Unsent(Cause::timed_out("connecting timed out"))
            }
            PoolError::Timeout(TimeoutType::Wait) => Failure::Stuck(NO_CONNECTION),
            PoolError::Closed if self.gate.is_closed() => Failure::Closed,
            other => Failure::Unsent(Cause::text(other.to_string())),
        })
    }

    /// Closes the connections if they are the driver's own. Calls in progress finish by themselves.
    pub(crate) fn close_pool(&self) {
        if self.is_own {
            self.pool.close();
        }
    }
}

/// Whether a standby answered. The first column of each statement that a standby executes says so.
fn is_of_standby(rows: &[Row], operation: Operation) -> bool {
    let says =
        matches!(operation, Operation::Retrieve | Operation::Traverse | Operation::Flush | Operation::Close);
    says && rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false))
}
