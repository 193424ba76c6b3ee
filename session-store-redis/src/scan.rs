//! Traversal by SCAN, on one server or on all primaries of a cluster.

use futures_util::future::try_join_all;
use redis::{Cmd, Value};
use session_core::{Cursor, Entry, Key, Operation, Page, Prefix, Result, StoreErrorKind};

use crate::error::unexpected;
use crate::stand::{Stand, hash, invalid};
use crate::store::Inner;
use crate::topology::Topology;
use crate::value::{HEAD, decode_head};
use crate::wire::Route;

impl Inner {
    /// In a cluster the primaries are scanned in the order of their names. A slot may go from one that is still to come
    /// to one that was already scanned, and its keys with it, unseen: whoever owns the slots is compared on each page
    /// with what it was when the walk began, and where that changed the walk begins again; where a slot is on its way,
    /// one more round is made. So a key may be reported twice, but none is missed.
    ///
    /// A cursor of SCAN is a place in a table that is laid out anew by each process of a server, under a random seed. So
    /// it goes with the run of the server that gave it, and another run is scanned from its beginning. The run is asked
    /// for after the keys: if it is the one that gave the cursor, then so was the one that took it, for no run returns.
    pub(crate) async fn page(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        let stand = Stand::read(from)?;
        let topology = self.topology().await?;
        let begin = |round| Stand {
            node: topology.first(),
            owners: topology.owners,
            round,
            moving: false,
            cursor: 0,
            run: 0,
        };
        let mut stand = match stand {
            Some(stand) if stand.node.is_empty() == self.config.cluster => return Err(invalid()),
            Some(stand) if stand.owners == topology.owners => stand,
            _ => begin(0),
        };
        let follower = topology.after(&stand.node).ok_or_else(invalid)?;
        if stand.cursor == 0 {
            stand.run = self.run(&stand.node).await?;
        }
        let (cursor, keys) = self.scan(prefix, &stand, limit).await?;
        let (run, moving, entries) = futures_util::future::try_join3(
            self.run(&stand.node),
            self.is_moving(&stand.node),
            try_join_all(keys.into_iter().map(|key| self.look_at(key))),
        )
        .await?;
        let moving = moving || stand.moving;
        let next = match (cursor, follower) {
            _ if run != stand.run => Some(Stand { cursor: 0, run: 0, moving, ..stand }),
            (0, Some(node)) => Some(Stand { node, cursor: 0, run: 0, moving, ..stand }),
            (0, None) if moving && stand.round == 0 => Some(begin(1)),
            (0, None) => self.changed_since(&topology).await?.then(|| begin(0)),
            (cursor, _) => Some(Stand { cursor, moving, ..stand }),
        };
        Ok(Page { entries: entries.into_iter().flatten().collect(), next: next.map(|stand| stand.write()) })
    }

    async fn scan(&self, prefix: &Prefix, stand: &Stand, limit: usize) -> Result<(u64, Vec<Key>)> {
        let mut command = Cmd::new();
        let pattern = format!("{}{prefix}:*", escape(&self.config.namespace));
        command.arg("SCAN").arg(stand.cursor).arg("MATCH").arg(pattern);
        command.arg("COUNT").arg(limit.clamp(1, 10_000));
        let answer = self.link.ask(&command, self.route(&stand.node)?, Operation::Traverse).await?;
        let wrong = || unexpected(Operation::Traverse);
        let Value::Array(parts) = answer else { return Err(wrong()) };
        let [Value::BulkString(cursor), Value::Array(found)] = &parts[..] else { return Err(wrong()) };
        let cursor = std::str::from_utf8(cursor).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        let keys = found.iter().filter_map(|key| match key {
            // What a stranger wrote into the namespace ends nobody's traversal.
            Value::BulkString(name) => {
                let text = std::str::from_utf8(name.get(self.config.namespace.len()..)?).ok()?;
                Key::parse(text).ok()
            }
            _ => None,
        });
        Ok((cursor, keys.collect()))
    }

    /// SCAN gives names only: whether a key is live, and what is cheap to know of it, is in its first bytes. These
    /// commands are on their way together, so that a page costs one more round trip.
    async fn look_at(&self, key: Key) -> Result<Option<Entry>> {
        let answer = self.link.run(&self.scripts.look, &self.name(&key), &[], Operation::Traverse).await;
        let parts = match answer {
            Ok(Value::Array(parts)) => parts,
            Ok(_) => return Err(unexpected(Operation::Traverse)),
            // Of another type: damaged, and not this traversal's business.
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

    async fn changed_since(&self, before: &Topology) -> Result<bool> {
        Ok(self.config.cluster && self.topology().await?.owners != before.owners)
    }

    /// Which run of its server a node is, as a hash; 0 where the server, or the user's rights, do not say.
    async fn run(&self, node: &str) -> Result<u64> {
        let mut command = Cmd::new();
        command.arg("INFO").arg("server");
        let answer = match self.link.ask(&command, self.route(node)?, Operation::Traverse).await {
            // Should it be more than this command that is refused, the scan says so.
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

    /// Whether a slot is on its way to or from a node.
    async fn is_moving(&self, node: &str) -> Result<bool> {
        if !self.config.cluster {
            return Ok(false);
        }
        let mut command = Cmd::new();
        command.arg("CLUSTER").arg("NODES");
        match self.link.ask(&command, self.route(node)?, Operation::Traverse).await? {
            Value::BulkString(text) => Ok(crate::topology::is_moving(&text)),
            Value::VerbatimString { text, .. } => Ok(crate::topology::is_moving(text.as_bytes())),
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

/// `text` as a pattern that matches only itself.
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
    fn a_namespace_is_no_pattern() {
        assert_eq!(escape(r"a*b[c]?\d"), r"a\*b\[c\]\?\\d");
    }
}
