//! A primary that dies or hangs during writes. Redis replicates asynchronously, so the last steps before may be lost.
//! Nothing else is lost, and the driver recovers by itself.

use std::time::Duration;

use xtask_redis::{Cluster, Server};

use crate::cluster::connect;
use crate::counter::Counters;
use crate::key;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn driver_follows_the_replica_of_a_killed_primary() {
    let mut cluster = Cluster::start().unwrap();
    fails_over(&mut cluster, Server::kill, |server| server.restart().unwrap()).await;
}

/// No connection breaks, and no node reports that it has lost its role.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn driver_follows_the_replica_of_a_hung_primary() {
    let mut cluster = Cluster::start().unwrap();
    fails_over(&mut cluster, |server| server.pause().unwrap(), |server| server.resume().unwrap()).await;
}

async fn fails_over(cluster: &mut Cluster, away: impl Fn(&mut Server), back: impl Fn(&mut Server)) {
    let store = connect(cluster).await;
    let keys: Vec<_> = (0..12).map(|n| key(&format!("counter-{n}"))).collect();
    let (first, replica) = (0, 3);
    // The first server owns the first third of the slots.
    let on_first = |cluster: &Cluster, name: &str| {
        let said = cluster.servers[1].command(&format!("CLUSTER KEYSLOT session-kit:{name}")).unwrap();
        said[1..].parse::<u32>().unwrap() < 16_384 / 3
    };
    let (there, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| on_first(cluster, key.as_str()));
    assert!(there.len() > 1 && others.len() > 1);
    let (there, others) = (Counters::begin(&store, there).await, Counters::begin(&store, others).await);
    there.steps(100).await;
    others.steps(100).await;
    // The creations must not be among the last steps, which the failover may lose.
    let keys = |server: usize| cluster.servers[server].command("DBSIZE").unwrap();
    for _ in 0..1_000 {
        if keys(replica) == keys(first) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(keys(replica), keys(first), "the replica has every counter");

    away(&mut cluster.servers[first]);
    others.steps(100).await;
    there.steps(100).await;
    assert!(cluster.servers[replica].command("INFO replication").unwrap().contains("role:master"));
    back(&mut cluster.servers[first]);
    cluster.until_well().unwrap();
    assert!(cluster.servers[first].command("INFO replication").unwrap().contains("role:slave"));
    there.steps(100).await;
    others.steps(100).await;

    let (there, others) = (there.end().await, others.end().await);
    crate::counter::all_there(&others);
    let sum = |part: fn(&crate::counter::Counter) -> u64| there.iter().map(part).sum::<u64>();
    for counter in &there {
        assert_eq!(counter.stored(), counter.made - counter.lost, "{}", counter.key.as_str());
    }
    let (made, lost, errors) = (sum(|c| c.made), sum(|c| c.lost), sum(|c| c.errors));
    println!("{made} steps were acknowledged, {lost} were lost with the primary, {errors} calls failed");
    assert!(errors > 0, "no call met the failover");
}
