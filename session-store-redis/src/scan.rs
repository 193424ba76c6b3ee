//! Traversal by SCAN, on one server or on all primaries of a cluster.

use futures_util::future::try_join_all;
use redis::{Cmd, Value};
use session_core::{Cursor, Entry, Error, ErrorKind, Key, Operation, Page, Prefix, Result};

use crate::error::unexpected;
use crate::store::Inner;
use crate::value::{HEAD, decode_head};

/// Where a traversal stands: which primary, in the order of their names, and SCAN's own cursor there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stand {
    /// `host:port` of the primary; empty on a single server.
    node: String,
    cursor: u64,
}

/// The first byte of a cursor's bytes.
const VERSION: u8 = 1;

impl Stand {
    fn read(cursor: &Cursor) -> Result<Option<Self>> {
        if cursor.is_start() {
            return Ok(None);
        }
        let stand = match cursor.as_bytes() {
            [VERSION, rest @ ..] => rest.split_first_chunk().and_then(|(number, node)| {
                let node = std::str::from_utf8(node).ok()?.to_owned();
                Some(Self { node, cursor: u64::from_be_bytes(*number) })
            }),
            _ => None,
        };
        stand.map(Some).ok_or_else(invalid)
    }

    fn write(&self) -> Cursor {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.cursor.to_be_bytes());
        bytes.extend_from_slice(self.node.as_bytes());
        Cursor::from_bytes(bytes)
    }
}

impl Inner {
    pub(crate) async fn page(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        let stand = Stand::read(from)?;
        let nodes = self.nodes().await?;
        let stand = match stand {
            Some(stand) => stand,
            None => Stand { node: nodes.first().cloned().unwrap_or_default(), cursor: 0 },
        };
        // A primary that is gone took its cursor along.
        let at = nodes.iter().position(|node| *node == stand.node).ok_or_else(invalid)?;
        let (next, keys) = self.scan(prefix, &stand, limit).await?;
        let entries = try_join_all(keys.into_iter().map(|key| self.look_at(key))).await?;
        let next = match (next, nodes.get(at + 1)) {
            (0, None) => None,
            (0, Some(node)) => Some(Stand { node: node.clone(), cursor: 0 }),
            (cursor, _) => Some(Stand { cursor, ..stand }),
        };
        Ok(Page { entries: entries.into_iter().flatten().collect(), next: next.map(|stand| stand.write()) })
    }

    async fn scan(&self, prefix: &Prefix, stand: &Stand, limit: usize) -> Result<(u64, Vec<Key>)> {
        let mut command = Cmd::new();
        let pattern = format!("{}{prefix}:*", escape(&self.config.namespace));
        command.arg("SCAN").arg(stand.cursor).arg("MATCH").arg(pattern);
        command.arg("COUNT").arg(limit.clamp(1, 10_000));
        let answer = self.ask_at(command, &stand.node).await?;
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
    /// commands are on their way together, so that a page costs two round trips.
    async fn look_at(&self, key: Key) -> Result<Option<Entry>> {
        let name = self.name(&key);
        let mut head = Cmd::new();
        head.arg("GETRANGE").arg(&name).arg(0).arg(HEAD - 1);
        let mut length = Cmd::new();
        length.arg("STRLEN").arg(&name);
        let (limit, operation) = (self.config.timeout, Operation::Traverse);
        let both = futures_util::future::join(
            self.link.ask(&head, limit, operation),
            self.link.ask(&length, limit, operation),
        );
        let (Value::BulkString(head), Value::Int(length)) = (match both.await {
            (Ok(head), Ok(length)) => (head, length),
            // Of another type: damaged, and not this traversal's business.
            (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::Corrupt => return Ok(None),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        }) else {
            return Err(unexpected(operation));
        };
        let Ok((expires, revision)) = decode_head(&head) else { return Ok(None) };
        if !session_core::is_live(expires, self.config.clock.now()) {
            return Ok(None);
        }
        let size = u64::try_from(length).unwrap_or_default().saturating_sub(HEAD as u64);
        Ok(Some(Entry::new(key).with_expires(expires).with_revision(revision).with_size(size)))
    }

    /// The names of all primaries, in order; one empty name for a single server.
    async fn nodes(&self) -> Result<Vec<String>> {
        #[cfg(feature = "cluster")]
        if self.config.cluster {
            let mut command = Cmd::new();
            command.arg("CLUSTER").arg("SLOTS");
            let answer = self.link.ask(&command, self.config.timeout, Operation::Traverse).await?;
            return primaries(answer).ok_or_else(|| unexpected(Operation::Traverse));
        }
        Ok(vec![String::new()])
    }

    async fn ask_at(&self, command: Cmd, node: &str) -> Result<Value> {
        #[cfg(feature = "cluster")]
        if self.config.cluster {
            let address =
                node.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
            let address = address.ok_or_else(invalid)?;
            return self.link.ask_node(command, address, self.config.timeout, Operation::Traverse).await;
        }
        let _ = node;
        self.link.ask(&command, self.config.timeout, Operation::Traverse).await
    }
}

/// The primaries in an answer to `CLUSTER SLOTS`: of each range of slots, the first node.
#[cfg(feature = "cluster")]
fn primaries(answer: Value) -> Option<Vec<String>> {
    let Value::Array(ranges) = answer else { return None };
    let mut nodes = Vec::new();
    for range in ranges {
        let Value::Array(parts) = range else { return None };
        let Value::Array(primary) = parts.get(2)? else { return None };
        let (Value::BulkString(host), Value::Int(port)) = (primary.first()?, primary.get(1)?) else {
            return None;
        };
        nodes.push(format!("{}:{port}", std::str::from_utf8(host).ok()?));
    }
    nodes.sort_unstable();
    nodes.dedup();
    Some(nodes)
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

fn invalid() -> Error {
    Error::new(ErrorKind::InvalidCursor, Operation::Traverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_was_written_or_invalid() {
        let stand = Stand { node: "127.0.0.1:7000".into(), cursor: u64::MAX };
        assert_eq!(Stand::read(&stand.write()).unwrap(), Some(stand));
        assert_eq!(Stand::read(&Cursor::start()).unwrap(), None);
        for bytes in [&[0][..], &[1], &[1, 0, 0], &[2; 20], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]] {
            let error = Stand::read(&Cursor::from_bytes(bytes.to_vec())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidCursor, "{bytes:?}");
        }
    }

    #[test]
    fn a_namespace_is_no_pattern() {
        assert_eq!(escape(r"a*b[c]?\d"), r"a\*b\[c\]\?\\d");
    }
}
