//! A cluster whose slots move during writes and traversals.

use std::collections::BTreeSet;
use std::time::Duration;

use session_core::{Condition, Cursor, Driver, DriverExt, Key, Prefix};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Cluster, Options, Server};

use crate::counter::{Counters, all_there};
use crate::traverse::{self, fill};
use crate::{breaks, key, put, record, recovered, touch};

pub(crate) async fn connect(cluster: &Cluster) -> RedisStore {
    RedisStore::open(RedisConfig::cluster(cluster.urls())).await.unwrap()
}

pub(crate) fn expect_ok(server: &Server, command: &str) {
    assert_eq!(server.command(command).unwrap(), "+OK", "{command}");
}

/// How many errors of this code a server sent since its statistics were reset.
fn errors(server: &Server, code: &str) -> u64 {
    let statistics = server.command("INFO errorstats").unwrap();
    let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("errorstat_{code}:count=")));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

fn slot(server: &Server, key: &Key) -> u16 {
    let said = server.command(&format!("CLUSTER KEYSLOT {}", name(key))).unwrap();
    said[1..].parse().unwrap()
}

fn name(key: &Key) -> String {
    format!("session-kit:{}", key.as_str())
}

/// The server among the first three that owns the slot of a key.
fn owner(cluster: &Cluster, key: &Key) -> usize {
    let mut owners = (0..3).filter(|n| {
        let said = cluster.servers[*n].command(&format!("EXISTS {}", name(key))).unwrap();
        said.starts_with(':')
    });
    owners.next().expect("a primary owns the slot")
}

/// A slot that moves from one server to another.
struct Move<'a> {
    cluster: &'a Cluster,
    slot: u16,
    from: &'a Server,
    to: &'a Server,
}

impl<'a> Move<'a> {
    fn begin(cluster: &'a Cluster, slot: u16, from: usize, to: usize) -> Self {
        let (from, to) = (&cluster.servers[from], &cluster.servers[to]);
        let id = |server: &Server| server.command("CLUSTER MYID").unwrap();
        expect_ok(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from)));
        expect_ok(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to)));
        Self { cluster, slot, from, to }
    }

    fn carry(&self, key: &Key) {
        let port = self.to.port();
        expect_ok(self.from, &format!("MIGRATE 127.0.0.1 {port} {} 0 5000", name(key)));
    }

    fn end(self) {
        let id = self.to.command("CLUSTER MYID").unwrap();
        // The new owner first, then the old one and the others.
        let others = self.cluster.servers[..3].iter().filter(|server| server.port() != self.to.port());
        for server in [self.to].into_iter().chain(others) {
            expect_ok(server, &format!("CLUSTER SETSLOT {} NODE {id}", self.slot));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_slot_loses_no_write_and_fails_no_call() {
    let cluster = Cluster::start().unwrap();
    let store = connect(&cluster).await;
    // The text between the braces puts all keys into one slot.
    let keys: Vec<_> = (0..8).map(|n| key(&format!("{{slot}}{n}"))).collect();
    let (from, slot) = (owner(&cluster, &keys[0]), slot(&cluster.servers[0], &keys[0]));
    let to = (from + 1) % 3;
    cluster.servers.iter().for_each(|server| expect_ok(server, "CONFIG RESETSTAT"));
    let counters = Counters::begin(&store, keys.clone()).await;
    counters.steps(100).await;
    let moving = Move::begin(&cluster, slot, from, to);
    for key in &keys {
        moving.carry(key);
        counters.steps(50).await;
    }
    moving.end();
    counters.steps(100).await;
    let counters = counters.end().await;
    all_there(&counters);
    assert_eq!(counters.iter().map(|counter| counter.errors).sum::<u64>(), 0, "no call fails");
    let met = |code| errors(&cluster.servers[from], code);
    assert!(met("ASK") > 0 && met("MOVED") > 0, "{} ASK, {} MOVED", met("ASK"), met("MOVED"));
    assert_eq!(owner(&cluster, &keys[0]), to);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slot_moves_to_a_new_node() {
    let cluster = Cluster::start().unwrap();
    let new = Server::start(xtask_redis::Options::new().set("cluster-enabled", "yes")).unwrap();
    let store = connect(&cluster).await;
    let first = &cluster.servers[0];
    expect_ok(&new, &format!("CLUSTER MEET 127.0.0.1 {}", first.port()));
    let id = new.command("CLUSTER MYID").unwrap();
    let knows = |server: &Server| server.command("CLUSTER NODES").unwrap().contains(&id);
    let is_well = |server: &Server| server.command("CLUSTER INFO").unwrap().contains("cluster_state:ok");
    while !(cluster.servers.iter().all(knows) && is_well(&new)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let place = key("{slot}");
    put(&store, &place, record(1), Condition::Absent).await;
    let from = &cluster.servers[owner(&cluster, &place)];
    let moving = Move { cluster: &cluster, slot: slot(first, &place), from, to: &new };
    expect_ok(
        &new,
        &format!("CLUSTER SETSLOT {} IMPORTING {}", moving.slot, from.command("CLUSTER MYID").unwrap()),
    );
    expect_ok(from, &format!("CLUSTER SETSLOT {} MIGRATING {id}", moving.slot));
    moving.carry(&place);
    // The client does not know the new node, which owns no slot yet.
    assert_eq!(store.retrieve(&place).await.unwrap(), Some(record(1)));
    put(&store, &place, record(2), crate::at(1)).await;
    assert!(store.touch(&place, touch(2, 3, None)).await.unwrap());
    moving.end();
    put(&store, &place, record(4), crate::at(3)).await;
    assert!(store.remove(&place, Condition::Any).await.unwrap().is_applied());
}

/// Traverses more than `first` keys, calls `meanwhile`, and traverses the rest. Returns all keys found.
async fn walk(store: &RedisStore, first: usize, meanwhile: impl FnOnce()) -> BTreeSet<Key> {
    let users = Prefix::new("user").unwrap();
    let (mut found, mut from, mut meanwhile) = (BTreeSet::new(), Cursor::start(), Some(meanwhile));
    for _ in 0..10_000 {
        let page = store.traverse(&users, from, 20).await.unwrap();
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        if found.len() > first
            && let Some(meanwhile) = meanwhile.take()
        {
            meanwhile();
        }
        match page.next {
            Some(next) => from = next,
            None => {
                assert!(meanwhile.is_none(), "the traversal ended before the event");
                return found;
            }
        }
    }
    panic!("a traversal without end");
}

/// A traversal scans the primaries in the order of their addresses. It also finds a key that moves from the last to the
/// first when the first is already scanned.
#[tokio::test]
async fn traversal_finds_a_key_that_moves_backwards() {
    let cluster = Cluster::start().unwrap();
    let store = connect(&cluster).await;
    let keys: BTreeSet<_> = (0..300).map(|n| key(&n.to_string())).collect();
    for key in &keys {
        put(&store, key, record(1), Condition::Absent).await;
    }
    let mut order: Vec<_> = (0..3).collect();
    order.sort_by_key(|n| format!("127.0.0.1:{}", cluster.servers[*n].port()));
    let (first, last) = (order[0], order[2]);
    let on_first = keys.iter().filter(|key| owner(&cluster, key) == first).count();
    let mut movable = keys.iter().filter(|key| owner(&cluster, key) == last);
    let (one, other) = (movable.next().unwrap(), movable.next().unwrap());

    let found = walk(&store, on_first, || {
        let moving = Move::begin(&cluster, slot(&cluster.servers[0], one), last, first);
        moving.carry(one);
        moving.end();
    });
    assert_eq!(found.await, keys, "the slot has a new owner");

    let half_way = || Move::begin(&cluster, slot(&cluster.servers[0], other), last, first).carry(other);
    assert_eq!(walk(&store, on_first + 1, half_way).await, keys, "the slot is moving");
}

/// It is back before a replica takes over, with its name and slots.
#[tokio::test]
async fn primary_restarted_during_a_traversal_hides_no_key() {
    let mut cluster = Cluster::start_with(Options::new().lasting()).unwrap();
    let store = connect(&cluster).await;
    let keys = fill(&store, 600).await;
    let first = (0..3).min_by_key(|n| format!("127.0.0.1:{}", cluster.servers[*n].port())).unwrap();
    let found = traverse::walk(&store, async || {
        cluster.servers[first].restart().unwrap();
        recovered(async || store.count(&Prefix::new("user").unwrap()).await).await;
    });
    assert_eq!(found.await, keys);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaks_under_load_make_no_false_answer() {
    let cluster = Cluster::start().unwrap();
    breaks::no_false_answers(connect(&cluster).await, &cluster.servers[..3]).await;
}

#[test]
fn cluster_handle_outlives_the_runtime_it_connected_in() {
    let cluster = Cluster::start().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime().block_on(connect(&cluster));
    runtime().block_on(put(&store, &key("a"), record(1), Condition::Absent));
    let there = runtime().block_on(async { store.retrieve(&key("a")).await });
    assert_eq!(there.unwrap(), Some(record(1)));
}
