//! A cluster whose slots move during writes and traversals.

use std::time::Duration;

use session_conformance::testing::full;
use session_core::{Condition, Driver, DriverExt, Key};
use session_store_redis::{RedisConfig, RedisStore};
use xtask_redis::{Cluster, Options, Server};

use crate::counter::{Counters, all_there};
use crate::traverse::{fill, walk, walk_by};
use crate::{breaks, key, put, record, recovered, touch, users};

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
fn owner<'a>(cluster: &'a Cluster, key: &Key) -> &'a Server {
    let owns = |server: &&Server| server.command(&format!("EXISTS {}", name(key))).unwrap().starts_with(':');
    cluster.servers[..3].iter().find(owns).expect("a primary owns the slot")
}

/// The first three servers in the order of a traversal.
fn in_order(cluster: &Cluster) -> [usize; 3] {
    let mut order = [0, 1, 2];
    order.sort_by_key(|n| format!("127.0.0.1:{}", cluster.servers[*n].port()));
    order
}

/// A slot that moves from one server to another.
struct Move<'a> {
    cluster: &'a Cluster,
    slot: u16,
    from: &'a Server,
    to: &'a Server,
}

impl<'a> Move<'a> {
    fn begin(cluster: &'a Cluster, slot: u16, from: &'a Server, to: &'a Server) -> Self {
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
    let to = cluster.servers[..3].iter().find(|server| server.port() != from.port()).unwrap();
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
    let met = |code| errors(from, code);
    assert!(met("ASK") > 0 && met("MOVED") > 0, "{} ASK, {} MOVED", met("ASK"), met("MOVED"));
    assert_eq!(owner(&cluster, &keys[0]).port(), to.port());
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
    let moving = Move::begin(&cluster, slot(first, &place), owner(&cluster, &place), &new);
    moving.carry(&place);
    // The client does not know the new node, which owns no slot yet.
    assert_eq!(store.retrieve(&place).await.unwrap(), Some(record(1)));
    put(&store, &place, record(2), crate::at(1)).await;
    assert!(store.touch(&place, touch(2, 3, None)).await.unwrap());
    moving.end();
    put(&store, &place, record(4), crate::at(3)).await;
    assert!(store.remove(&place, Condition::Any).await.unwrap().is_applied());
}

/// A traversal scans the primaries in the order of their addresses. It also finds a key that moves from the last to the
/// first when the first is already scanned.
#[tokio::test]
async fn traversal_finds_a_key_that_moves_backwards() {
    let cluster = Cluster::start().unwrap();
    let store = connect(&cluster).await;
    let keys = fill(&store, 300).await;
    let [first, _, last] = in_order(&cluster).map(|n| &cluster.servers[n]);
    let is_on = |key: &&Key, server: &Server| owner(&cluster, key).port() == server.port();
    let on_first = keys.iter().filter(|key| is_on(key, first)).count();
    let mut movable = keys.iter().filter(|key| is_on(key, last));
    let (one, other) = (movable.next().unwrap(), movable.next().unwrap());

    let found = walk(&store, on_first, async || {
        let moving = Move::begin(&cluster, slot(first, one), last, first);
        moving.carry(one);
        moving.end();
    });
    assert_eq!(found.await, keys, "the slot has a new owner");

    let half_way = async || Move::begin(&cluster, slot(first, other), last, first).carry(other);
    assert_eq!(walk(&store, on_first + 1, half_way).await, keys, "the slot is moving");
}

/// Valkey 9 moves the keys of a slot at once. The nodes show no mark, and one that got no packet does not know it yet.
#[tokio::test]
async fn traversal_finds_keys_of_a_slot_that_moves_at_once() {
    let cluster =
        Cluster::start_with(Options::new().set("appendonly", "no").set("enable-debug-command", "yes"));
    let Ok(cluster) = cluster else {
        println!("not tried: this server knows no debug command");
        return;
    };
    let [first, middle, last] = in_order(&cluster).map(|n| &cluster.servers[n]);
    if !moves_at_once(last) {
        println!("not tried: this server moves slots key by key only");
        return;
    }
    let store = connect(&cluster).await;
    let keys = fill(&store, 300).await;
    let on_last: Vec<_> = keys.iter().filter(|key| owner(&cluster, key).port() == last.port()).collect();
    let before_last = keys.len() - on_last.len();
    for one in on_last.into_iter().take(if full() { 40 } else { 5 }) {
        let number = slot(first, one);
        let shift = |from: &Server, to: &Server| {
            let id = to.command("CLUSTER MYID").unwrap();
            expect_ok(from, &format!("CLUSTER MIGRATESLOTS SLOTSRANGE {number} {number} NODE {id}"));
            while to.command(&format!("EXISTS {}", name(one))).unwrap() != ":1" {
                assert!(!from.command("CLUSTER NODES").unwrap().contains('['), "it leaves a mark");
            }
            while !from.command(&format!("EXISTS {}", name(one))).unwrap().starts_with("-MOVED") {}
        };
        let forget = |packet: &str| expect_ok(middle, &format!("DEBUG DROP-CLUSTER-PACKET-FILTER {packet}"));
        // From a primary that is not scanned yet to a scanned one.
        let found = walk_by(1_000, &store, before_last - 1, async || {
            forget("1");
            shift(last, first);
        });
        assert!(found.await == keys, "a key of slot {number} is missing");
        forget("-1");
        cluster.until_well().unwrap();
        // Away from the primary that is being scanned, and back behind the cursor.
        let found = walk(&store, 20, async || {
            shift(first, last);
            shift(last, first);
        });
        assert!(found.await == keys, "a key of slot {number} is missing");
        shift(first, last);
        cluster.until_well().unwrap();
    }
}

/// An unknown form of the command is another error.
fn moves_at_once(server: &Server) -> bool {
    !server.command("CLUSTER MIGRATESLOTS").unwrap().to_ascii_lowercase().contains("unknown")
}

/// It is back before a replica takes over, with its name and slots.
#[tokio::test]
async fn primary_restarted_during_a_traversal_hides_no_key() {
    let mut cluster = Cluster::start_with(Options::new().lasting()).unwrap();
    let store = connect(&cluster).await;
    let keys = fill(&store, 600).await;
    let [first, ..] = in_order(&cluster);
    let found = walk(&store, 20, async || {
        cluster.servers[first].restart().unwrap();
        recovered(async || store.count(&users()).await).await;
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
