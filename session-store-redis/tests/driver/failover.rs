//! A primary that dies, or hangs, while sessions are written. Redis replicates asynchronously: the last steps before may
//! be lost with it. Nothing else is, and the driver goes on by itself.

use xtask_redis::{Cluster, Server};

use crate::cluster::connect;
use crate::counter::Counters;
use crate::key;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_primary_was_killed_the_driver_goes_on_with_its_replica() {
    let mut cluster = Cluster::start().unwrap();
    fails_over(&mut cluster, Server::kill, |server| server.restart().unwrap()).await;
}

/// No connection breaks, and nobody says that the node is no primary any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_primary_hung_the_driver_goes_on_with_its_replica() {
    let mut cluster = Cluster::start().unwrap();
    fails_over(&mut cluster, |server| server.pause().unwrap(), |server| server.resume().unwrap()).await;
}

async fn fails_over(cluster: &mut Cluster, away: impl Fn(&mut Server), back: impl Fn(&mut Server)) {
    let store = connect(cluster).await;
    let keys: Vec<_> = (0..12).map(|n| key(&format!("counter-{n}"))).collect();
    let (first, replica) = (0, 3);
    // By their slots: the first third is the first server's.
    let on_first = |cluster: &Cluster, name: &str| {
        let said = cluster.servers[1].command(&format!("CLUSTER KEYSLOT session-kit:{name}")).unwrap();
        said[1..].parse::<u32>().unwrap() < 16_384 / 3
    };
    let (there, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| on_first(cluster, key.as_str()));
    assert!(there.len() > 1 && others.len() > 1);
    let (there, others) = (Counters::begin(&store, there).await, Counters::begin(&store, others).await);
    there.steps(100).await;
    others.steps(100).await;

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
    println!("{made} steps were acknowledged, {lost} went with the primary, {errors} calls failed");
    assert!(errors > 0, "the failover was met");
}
