//! A statement between its sending and its answer.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Client;
use session_core::{Clock, Key, Timestamp};
use tokio::time::timeout;
use tokio_postgres::{Error, Row};

use crate::home::Home;
use crate::pending::Pending;
use crate::statement::{Statement, Values, millis};
use crate::tls::Transport;

/// A statement on its way. Dropped before its answer, it keeps the connection out of the pool and the key of a change
/// pending until the server has answered.
pub(crate) struct Flight<'a> {
    client: Option<Client>,
    key: Option<&'a Key>,
    after: &'a Afterwards,
}

/// The answer to a statement.
pub(crate) struct Answer {
    pub(crate) rows: Vec<Row>,
    /// How many rows a statement without rows in its answer has changed.
    pub(crate) changed: u64,
    /// When the statement was sent, by the caller's clock.
    pub(crate) sent: Timestamp,
}

/// The parts of the store that a dropped flight needs.
pub(crate) struct Afterwards {
    pub(crate) pending: Arc<Pending>,
    pub(crate) home: Home,
    /// The time limit of each step of the wait.
    pub(crate) limit: Duration,
    /// The way to cancel a statement.
    pub(crate) transport: Transport,
}

impl<'a> Flight<'a> {
    pub(crate) fn new(client: Client, key: Option<&'a Key>, after: &'a Afterwards) -> Self {
        Self { client: Some(client), key, after }
    }

    /// Sends a statement, with the time if the statement has it.
    pub(crate) async fn send(
        &self,
        statement: &Statement,
        values: Values<'_>,
        prepare: bool,
        clock: &dyn Clock,
    ) -> Result<Answer, Error> {
        let mut answer = Answer { rows: Vec::new(), changed: 0, sent: clock.now() };
        let Some(client) = &self.client else { return Ok(answer) };
        let prepared = match prepare {
            true => Some(client.prepare_typed_cached(&statement.sql, &statement.types).await?),
            false => None,
        };
        answer.sent = clock.now();
        let (now, mut values) = (millis(answer.sent), values.to_vec());
        if values.len() < statement.types.len() {
            values.push(&now);
        }
        match prepared {
            Some(prepared) if statement.has_rows => answer.rows = client.query(&prepared, &values).await?,
            Some(prepared) => answer.changed = client.execute(&prepared, &values).await?,
            None => {
                let typed: Vec<_> = values.into_iter().zip(statement.types.iter().cloned()).collect();
                if statement.has_rows {
                    answer.rows = client.query_typed(&statement.sql, &typed).await?;
                } else {
                    answer.changed = client.execute_typed(&statement.sql, &typed).await?;
                }
            }
        }
        Ok(answer)
    }

    /// The server has answered, or the connection is lost.
    pub(crate) fn land(mut self) -> Option<Client> {
        self.client.take()
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let Afterwards { pending, home, limit, transport } = self.after;
        let (abandoned, limit) = (self.key.map(|key| pending.begin(key)), *limit);
        let transport = transport.clone();
        home.handle().spawn(async move {
            settle(client, limit, transport).await;
            drop(abandoned);
        });
    }
}

/// Waits until the server has answered everything that was sent on a connection, at most three times the limit.
async fn settle(client: Client, limit: Duration, transport: Transport) {
    // The answer to a later message comes after all earlier answers.
    if timeout(limit, client.check_connection()).await.is_ok() {
        return;
    }
    // The statement hangs, although a lock would have ended its wait already. It is cancelled, because a backend does not
    // notice that its client has gone. For a pool of the application, the cancel is in clear text, which fails where the
    // pool demands TLS.
    let client = Client::take(client);
    let cancel = client.cancel_token();
    drop(timeout(limit, transport.cancel(cancel)).await);
    drop(timeout(limit, client.check_connection()).await);
}
