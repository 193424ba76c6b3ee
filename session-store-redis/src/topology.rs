//! The primaries of a cluster and their slots.

use std::collections::BTreeMap;

#[cfg(feature = "cluster")]
use redis::Value;

#[cfg(feature = "cluster")]
use crate::cursor::hash;

/// The primaries of a cluster, or the single server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    /// Addresses as `host:port` with their slots, sorted; one empty address for a single server.
    primaries: BTreeMap<String, Slots>,
    /// Hash of the owners of all slots.
    pub(crate) owners: u64,
}

impl Topology {
    pub(crate) fn single() -> Self {
        Self { primaries: BTreeMap::from([(String::new(), Slots::new())]), owners: 0 }
    }

    /// Reads an answer to `CLUSTER SLOTS`. The first node of each range is its primary. A node that does not know its
    /// own host is at `host`.
    #[cfg(feature = "cluster")]
    pub(crate) fn read(answer: &Value, host: &str) -> Option<Self> {
        let Value::Array(ranges) = answer else { return None };
        let mut primaries = BTreeMap::<_, Slots>::new();
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
            primaries
                .entry(address)
                .or_default()
                .push((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?));
        }
        primaries.values_mut().for_each(|slots| slots.sort_unstable());
        owners.sort_unstable();
        (!primaries.is_empty()).then(|| Self { primaries, owners: hash(owners.concat().as_bytes()) })
    }

    pub(crate) fn first(&self) -> String {
        self.primaries.keys().next().cloned().unwrap_or_default()
    }

    /// The primary after `node`; `Some(None)` after the last one, `None` where `node` is not a primary.
    pub(crate) fn after(&self, node: &str) -> Option<Option<String>> {
        let mut from = self.primaries.keys().skip_while(|primary| *primary != node);
        from.next()?;
        Some(from.next().cloned())
    }

    /// Whether a primary has other slots by its own account.
    pub(crate) fn differs(&self, node: &str, own: &Own) -> bool {
        self.primaries.get(node) != Some(&own.slots)
    }
}

/// Ranges of slots, first and last, sorted.
type Slots = Vec<(u16, u16)>;

/// The part of a node's answer to `CLUSTER NODES` about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    slots: Slots,
    /// Grows with every slot that the node gets, so that a slot that left and returned is noticed.
    pub(crate) epoch: u64,
    /// Whether it is moving a slot, key by key. Its line then ends with `[slot->-node]` or `[slot-<-node]`. A slot that
    /// moves at once, as Valkey 9 can do it, leaves no such mark.
    pub(crate) is_moving: bool,
}

impl Own {
    /// `None` where the answer has no line of the node itself.
    pub(crate) fn read(nodes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(nodes);
        let mut fields = text.lines().find(|line| line.contains("myself"))?.trim_end().split(' ').skip(6);
        let mut own = Self { epoch: fields.next()?.parse().ok()?, ..Self::default() };
        for part in fields.skip(1).filter(|part| !part.is_empty()) {
            if part.starts_with('[') {
                own.is_moving = true;
            } else {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                own.slots.push((first.parse().ok()?, last.parse().ok()?));
            }
        }
        own.slots.sort_unstable();
        Some(own)
    }
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
        assert!(before.primaries.keys().eq(["::1:7002", "h:7001"]));
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
        let own = |rest| Own::read(&line("myself,master", rest)).unwrap();
        let still = Own { slots: vec![(0, 5460)], epoch: 1, is_moving: false };
        assert_eq!(own(""), still);
        for mark in ["[93->-1a]", "[93-<-1a]"] {
            assert_eq!(own(mark), Own { slots: vec![(0, 5460)], epoch: 1, is_moving: true });
        }
        assert_eq!(own("5462 7000-7001").slots, [(0, 5460), (5462, 5462), (7000, 7001)]);
        assert_eq!(Own::read(&line("master", "[93->-1a]")), None);
    }

    #[test]
    fn slots_by_a_nodes_own_account_are_compared() {
        let one = |first, last| range(first, last, host("::1"), 7002, "a");
        let topology = Topology::read(&Value::Array(vec![one(7, 7), one(0, 5)]), "seed").unwrap();
        let own = |slots| Own { slots, epoch: 1, is_moving: false };
        assert!(!topology.differs("::1:7002", &own(vec![(0, 5), (7, 7)])));
        assert!(topology.differs("::1:7002", &own(vec![(0, 5)])));
        assert!(topology.differs("gone:1", &own(vec![(0, 5)])));
    }
}
