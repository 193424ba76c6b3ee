//! Traversal by SCAN, on one server or on all primaries of a cluster.

use futures_util::future::try_join_all;
use redis::{Cmd, Value};
use session_core::{Cursor, Entry, Key, Operation, Page, Prefix, Result, StoreErrorKind};

use crate::connection::Route;
use crate::cursor::{Position, hash, invalid};
use crate::error::unexpected;
use crate::layout::{HEAD, decode_head};
use crate::open::Inner;
use crate::topology::{Own, Topology};

impl Inner {
    /// Returns one page. A key may be reported twice, but none is missed.
    ///
    /// In a cluster the primaries are scanned in the order of their addresses. A slot may move, with its keys, from a
    /// primary that is not scanned yet to a scanned one. Each page therefore compares the owners of all slots with those
    /// at the start, and after the scan the slots that the scanned primary itself has: where they differ, the traversal
    /// starts again. Only the primary's own account is sure, because other nodes learn of a moved slot later. Where a
    /// slot is moving key by key, a second round follows.
    ///
    /// A cursor of `SCAN` is a position in a hash table whose seed each server process draws at random. The position
    /// therefore holds the server's `run_id`, and a restarted server is scanned from the beginning. The `run_id` is
    /// read after the keys: a `run_id` never returns, so the same process answered both. In a cluster the primary's
    /// epoch is part of it, because a slot may leave and return, with its keys, behind the cursor.
    pub(crate) async fn traverse(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        self.link.gate.check(Operation::Traverse)?;
        let position = Position::read(from)?;
        let topology = self.topology().await?;
        let begin = |round| Position {
            node: topology.first(),
            owners: topology.owners,
            round,
            moving: false,
            cursor: 0,
            run: 0,
        };
        let mut position = match position {
            Some(position) if position.node.is_empty() == self.config.cluster => return Err(invalid()),
            Some(position) if position.owners == topology.owners => position,
            _ => begin(0),
        };
        let follower = topology.after(&position.node).ok_or_else(invalid)?;
        if position.cursor == 0 {
            (position.run, _) = self.state_of(&position.node).await?;
        }
        let (cursor, keys) = self.scan(prefix, &position, limit).await?;
        let ((run, own), entries) = futures_util::future::try_join(
            self.state_of(&position.node),
            try_join_all(keys.into_iter().map(|key| self.look_at(key))),
        )
        .await?;
        let moving = position.moving || own.as_ref().is_some_and(|own| own.is_moving);
        let next = match (cursor, follower) {
            _ if own.is_some_and(|own| topology.differs(&position.node, &own)) => Some(begin(0)),
            _ if run != position.run => Some(Position { cursor: 0, run: 0, moving, ..position }),
            (0, Some(node)) => Some(Position { node, cursor: 0, run: 0, moving, ..position }),
            (0, None) if moving && position.round == 0 => Some(begin(1)),
            (0, None) => None,
            (cursor, _) => Some(Position { cursor, moving, ..position }),
        };
        Ok(Page {
            entries: entries.into_iter().flatten().collect(),
            next: next.map(|position| position.write()),
        })
    }

    async fn scan(&self, prefix: &Prefix, position: &Position, limit: usize) -> Result<(u64, Vec<Key>)> {
        let mut command = Cmd::new();
        let pattern = format!("{}{prefix}:*", escape(&self.config.namespace));
        command.arg("SCAN").arg(position.cursor).arg("MATCH").arg(pattern);
        // A page may be longer than the limit. Fewer than ten keys at a time would be slow in a database with other keys.
        command.arg("COUNT").arg(limit.clamp(10, 10_000));
        let answer = self.link.ask(&command, self.route(&position.node)?, Operation::Traverse).await?;
        let wrong = || unexpected(Operation::Traverse);
        let Value::Array(parts) = answer else { return Err(wrong()) };
        let [Value::BulkString(cursor), Value::Array(found)] = &parts[..] else { return Err(wrong()) };
        let cursor = std::str::from_utf8(cursor).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        let keys = found.iter().filter_map(|key| match key {
            // Keys of other programs in the namespace are skipped.
            Value::BulkString(name) => {
                let text = std::str::from_utf8(name.get(self.config.namespace.len()..)?).ok()?;
                Key::parse(text).ok()
            }
            _ => None,
        });
        Ok((cursor, keys.collect()))
    }

    /// Reads whether a key is live, its deadline, revision and size: `SCAN` returns names only. The commands of a page
    /// are sent together, so they cost one round trip.
    async fn look_at(&self, key: Key) -> Result<Option<Entry>> {
        let answer = self.link.run(&self.scripts.look, &self.name(&key), &[], Operation::Traverse).await;
        let parts = match answer {
            Ok(Value::Array(parts)) => parts,
            Ok(_) => return Err(unexpected(Operation::Traverse)),
            // A value of another type is damaged, and traversals skip damaged records.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => return Ok(None),
            Err(error) => return Err(error),
        };
        let [Value::BulkString(head), Value::Int(length)] = &parts[..] else {
            return Err(unexpected(Operation::Traverse));
        };
        let Ok((expires, revision)) = decode_head(head) else { return Ok(None) };
        if !session_core::is_live(expires, self.config.clock.now()) {
            return Ok(None);
        }
        let size = u64::try_from(*length).unwrap_or_default().saturating_sub(HEAD as u64);
        Ok(Some(Entry::new(key).with_deadline(expires).with_revision(revision).with_size(size)))
    }

    async fn topology(&self) -> Result<Topology> {
        #[cfg(feature = "cluster")]
        if self.config.cluster {
            let mut command = Cmd::new();
            command.arg("CLUSTER").arg("SLOTS");
            let answer = self.link.ask(&command, Route::Key, Operation::Traverse).await?;
            return Topology::read(&answer, &self.link.host()).ok_or_else(|| unexpected(Operation::Traverse));
        }
        Ok(Topology::single())
    }

    /// A hash that changes where a cursor of `SCAN` becomes invalid, and the account of a cluster's node of itself.
    async fn state_of(&self, node: &str) -> Result<(u64, Option<Own>)> {
        let (run, own) = futures_util::future::try_join(self.run(node), self.own(node)).await?;
        let epoch = own.as_ref().map_or(0, |own| own.epoch);
        Ok((run ^ hash(&epoch.to_be_bytes()), own))
    }

    /// The hash of a node's `run_id`; 0 where the server, or the user's rights, do not show it.
    async fn run(&self, node: &str) -> Result<u64> {
        let mut command = Cmd::new();
        command.arg("INFO").arg("server");
        let answer = match self.link.ask(&command, self.route(node)?, Operation::Traverse).await {
            // Where more than this command is refused, the scan fails.
            Err(error) if matches!(error.kind(), StoreErrorKind::Misconfigured | StoreErrorKind::Backend) => {
                return Ok(0);
            }
            answer => answer?,
        };
        let text = match &answer {
            Value::BulkString(text) => String::from_utf8_lossy(text),
            Value::VerbatimString { text, .. } => text.into(),
            _ => return Err(unexpected(Operation::Traverse)),
        };
        let run = text.lines().find_map(|line| line.trim_end().strip_prefix("run_id:"));
        Ok(run.map_or(0, |run| hash(run.as_bytes())))
    }

    async fn own(&self, node: &str) -> Result<Option<Own>> {
        if !self.config.cluster {
            return Ok(None);
        }
        let mut command = Cmd::new();
        command.arg("CLUSTER").arg("NODES");
        match self.link.ask(&command, self.route(node)?, Operation::Traverse).await? {
            Value::BulkString(text) => Ok(Own::read(&text)),
            Value::VerbatimString { text, .. } => Ok(Own::read(text.as_bytes())),
            _ => Err(unexpected(Operation::Traverse)),
        }
    }

    fn route(&self, node: &str) -> Result<Route> {
        #[cfg(feature = "cluster")]
        if self.config.cluster {
            let address =
                node.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
            let (host, port) = address.ok_or_else(invalid)?;
            return Ok(Route::Node { host, port, asking: false });
        }
        if node.is_empty() { Ok(Route::Key) } else { Err(invalid()) }
    }
}

/// A pattern that matches only `text`.
fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_is_not_a_pattern() {
        assert_eq!(escape(r"a*b[c]?\d"), r"a\*b\[c\]\?\\d");
    }
}
