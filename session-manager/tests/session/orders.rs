//! Concurrent requests in orders that the clauses of level session leave out: all triples, and all lost answers.

use session_conformance::order::{Act, Ground, Walked};
use session_conformance::testing::{Fate, MapDriver, full};

use crate::clock;

async fn walk(ground: &Ground<MapDriver>, acts: &[Act], fate: Option<(usize, Fate)>) -> Walked {
    ground.walk(acts, fate).await.unwrap_or_else(|failure| panic!("{failure:#?}"))
}

fn ground() -> Ground<MapDriver> {
    let clock = clock();
    Ground::new(MapDriver::new(clock.clone()), Some(clock), false).unwrap()
}

fn sets(size: usize) -> Vec<Vec<Act>> {
    let mut sets = vec![vec![]];
    for _ in 0..size {
        sets = sets
            .into_iter()
            .flat_map(|set: Vec<Act>| {
                let last = set.last().copied();
                let more = Act::ALL.iter().copied().filter(move |act| last.is_none_or(|last| last <= *act));
                more.map(move |act| [set.clone(), vec![act]].concat())
            })
            .collect();
    }
    sets
}

#[tokio::test(start_paused = true)]
async fn three_requests_in_every_order() {
    let ground = ground();
    let (mut orders, mut triples) = (0, 0);
    for acts in sets(3).into_iter().filter(|acts| full() || is_short(acts)) {
        orders += walk(&ground, &acts, None).await.orders;
        triples += 1;
    }
    eprintln!("{orders} orders of {triples} triples");
    assert!(triples > 100);
}

/// Whether a set belongs to the run of every day: a request that commits twice or refers to its session makes a
/// tree of a hundred thousand leaves, and the three kinds of rotation differ in what they carry along only.
fn is_short(acts: &[Act]) -> bool {
    let is_rotation = |act: &&Act| {
        matches!(act, Act::Rotate | Act::RotateInsert | Act::BindRotate | Act::Login | Act::Unbind)
    };
    let rotations = acts.iter().filter(is_rotation).count();
    let is_long = |act: &Act| matches!(act, Act::CommitThenMore | Act::Refer);
    !acts.iter().any(is_long) && !acts.contains(&Act::Rotate) && rotations < 2
}

#[tokio::test(start_paused = true)]
async fn two_requests_in_every_order_with_a_lost_answer() {
    let ground = ground();
    let mut orders = 0;
    for acts in sets(2) {
        for fate in [Fate::AnswerLost, Fate::RequestLost, Fate::Late] {
            for number in 0.. {
                let walked = walk(&ground, &acts, Some((number, fate))).await;
                orders += walked.orders;
                if walked.changes <= number + 1 {
                    break;
                }
            }
        }
    }
    eprintln!("{orders} orders of {} pairs", sets(2).len());
    assert!(orders > 1_000);
}

#[tokio::test(start_paused = true)]
async fn logins_in_every_order_are_in_the_index() {
    let clock = clock();
    let ground = Ground::with_index(MapDriver::new(clock.clone()), Some(clock)).unwrap();
    for acts in [
        [Act::Login, Act::Login],
        [Act::Login, Act::Destroy],
        [Act::BindRotate, Act::Login],
        [Act::Unbind, Act::Login],
        [Act::Unbind, Act::Unbind],
    ] {
        let orders = walk(&ground, &acts, None).await.orders;
        eprintln!("{orders} orders of {acts:?}");
        assert!(orders > 20);
    }
}
