//! The primaries of a cluster and their slots.

#[cfg(feature = "cluster")]
use redis::Value;

#[cfg(feature = "cluster")]
use crate::cursor::hash;

/// The primaries of a cluster, or the single server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    /// Addresses as `host:port`, sorted; one empty address for a single server.
    primaries: Vec<String>,
    /// Hash of the owners of all slots.
    pub(crate) owners: u64,
}

impl Topology {
    pub(crate) fn single() -> Self {
        Self { primaries: vec![String::new()], owners: 0 }
    }

    /// Reads an answer to `CLUSTER SLOTS`. The first node of each range is its primary. A node that does not know its
    /// own host is at `host`.
    #[cfg(feature = "cluster")]
    pub(crate) fn read(answer: &Value, host: &str) -> Option<Self> {
        let Value::Array(ranges) = answer else { return None };
        let mut primaries = Vec::new();
        let mut owners = Vec::new();
        for range in ranges {
            let Value::Array(parts) = range else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = &parts[..] else {
                return None;
            };
            let host = match primary.first()? {
                Value::BulkString(name) if !matches!(&name[..], b"" | b"?") => {
                    std::str::from_utf8(name).ok()?
                }
                Value::BulkString(_) | Value::Nil => host,
                _ => return None,
            };
            let Value::Int(port) = primary.get(1)? else { return None };
            let address = format!("{host}:{port}");
            // By node id where there is one: another node may take over an address.
            let name = match primary.get(2) {
                Some(Value::BulkString(name)) => String::from_utf8_lossy(name).into_owned(),
                _ => address.clone(),
            };
            owners.push(format!("{first}-{last} {name}\n"));
            primaries.push(address);
        }
        primaries.sort_unstable();
        primaries.dedup();
        owners.sort_unstable();
        (!primaries.is_empty()).then(|| Self { primaries, owners: hash(owners.concat().as_bytes()) })
    }

    pub(crate) fn first(&self) -> String {
        self.primaries.first().cloned().unwrap_or_default()
    }

    /// The primary after `node`; `Some(None)` after the last one, `None` where `node` is not a primary.
    pub(crate) fn after(&self, node: &str) -> Option<Option<String>> {
        let at = self.primaries.iter().position(|primary| primary == node)?;
        Some(self.primaries.get(at + 1).cloned())
    }
}

/// Whether the node that gave this answer to `CLUSTER NODES` is moving a slot. Its own line then ends with
/// `[slot->-node]` or `[slot-<-node]`.
pub(crate) fn is_moving(nodes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(nodes);
    text.lines().any(|line| {
        line.contains("myself") && line.split(' ').any(|part| part.starts_with('[') && part.ends_with(']'))
    })
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: Value, port: i64, id: &str) -> Value {
        let bulk = |text: &str| Value::BulkString(text.into());
        let node = Value::Array(vec![host, Value::Int(port), bulk(id), Value::Array(Vec::new())]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node.clone(), node])
    }

    fn host(name: &str) -> Value {
        Value::BulkString(name.into())
    }

    #[test]
    fn owners_change_with_slots_and_nodes_only() {
        let one = || range(0, 99, host("::1"), 7002, "a");
        let two = || range(100, 16383, host("h"), 7001, "b");
        let read = |ranges| Topology::read(&Value::Array(ranges), "seed").unwrap();
        let before = read(vec![one(), two()]);
        assert_eq!(before.primaries, ["::1:7002", "h:7001"]);
        assert_eq!(read(vec![two(), one()]), before);
        let moved = vec![range(0, 98, host("::1"), 7002, "a"), range(99, 16383, host("h"), 7001, "b")];
        assert_ne!(read(moved).owners, before.owners);
        let promoted = vec![one(), range(100, 16383, host("h"), 7001, "c")];
        assert_ne!(read(promoted).owners, before.owners);
        assert_eq!(
            (before.after("::1:7002"), before.after("h:7001")),
            (Some(Some("h:7001".into())), Some(None))
        );
        assert_eq!(before.after("gone:1"), None);
    }

    #[test]
    fn node_without_host_takes_the_hosts_of_the_urls() {
        for unknown in [Value::Nil, host(""), host("?")] {
            let answer = Value::Array(vec![range(0, 16383, unknown, 7000, "a")]);
            assert_eq!(Topology::read(&answer, "seed").unwrap().first(), "seed:7000");
        }
        assert_eq!(Topology::read(&Value::Array(Vec::new()), "seed"), None);
        assert_eq!(Topology::read(&Value::Nil, "seed"), None);
    }

    #[test]
    fn moving_slot_is_seen_on_the_nodes_own_line() {
        let line = |flags: &str, rest: &str| {
            format!("0f 127.0.0.1:7000@17000 {flags} - 0 1 1 connected 0-5460 {rest}\n").into_bytes()
        };
        assert!(is_moving(&line("myself,master", "[93->-1a]")));
        assert!(is_moving(&line("myself,master", "[93-<-1a]")));
        assert!(!is_moving(&line("master", "[93->-1a]")) && !is_moving(&line("myself,master", "")));
    }
}
