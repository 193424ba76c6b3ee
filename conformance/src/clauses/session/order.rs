//! Requests of one session that meet in every order: see [`order`](crate::order) for what is checked after each.

use super::common::*;
use crate::order::{Act, Ground};
use crate::testing::Fate;

/// A full run also parks requests between a change and its answer, which adds equivalent orders.
async fn ground(stage: &Stage) -> Result<Ground<DynDriver>, Failure> {
    Ground::new(stage.open().await?, stage.virtual_clock(), stage.amount(0, 1) > 0)
}

/// All pairs of one kind with any other.
async fn walk(stage: &Stage, ones: &[Act], others: &[Act]) -> Check {
    let ground = ground(stage).await?;
    for one in ones {
        for other in others {
            let _ = ground.walk(&[*one, *other], None).await?;
        }
    }
    Ok(())
}

const WRITES: [Act; 8] = [
    Act::Insert,
    Act::Update,
    Act::Touch,
    Act::Take,
    Act::Flash,
    Act::Clear,
    Act::Expire,
    Act::CommitThenMore,
];
const ROTATIONS: [Act; 5] = [Act::Rotate, Act::RotateInsert, Act::BindRotate, Act::Login, Act::Unbind];

pub(crate) async fn s90_two_requests_lose_nothing_in_any_order(stage: &Stage) -> Check {
    for (at, one) in WRITES.iter().enumerate() {
        walk(stage, &[*one], &WRITES[at..]).await?;
    }
    Ok(())
}

pub(crate) async fn s91_ended_session_stays_ended_in_any_order(stage: &Stage) -> Check {
    walk(stage, &[Act::Destroy], Act::ALL).await
}

pub(crate) async fn s92_rotation_has_one_successor_in_any_order(stage: &Stage) -> Check {
    walk(stage, &ROTATIONS, &WRITES).await?;
    walk(stage, &ROTATIONS, &ROTATIONS).await
}

pub(crate) async fn s93_lost_answer_counts_once_in_any_order(stage: &Stage) -> Check {
    let ground = ground(stage).await?;
    for acts in [
        [Act::Update, Act::Update],
        [Act::Update, Act::Touch],
        [Act::Update, Act::Destroy],
        [Act::Update, Act::RotateInsert],
        [Act::Take, Act::Take],
        [Act::RotateInsert, Act::RotateInsert],
        [Act::RotateInsert, Act::Destroy],
        [Act::Login, Act::Destroy],
        [Act::Unbind, Act::Update],
    ] {
        // The short form leaves out the orders of two rotations, of a logout that keeps the cart, and lost requests beside
        // late ones: the tests of `session-manager` try them all.
        if !stage.context.full && (acts == [Act::RotateInsert; 2] || acts[0] == Act::Unbind) {
            continue;
        }
        for fate in [Fate::AnswerLost, Fate::Late, Fate::RequestLost] {
            if !stage.context.full && fate == Fate::RequestLost && acts != [Act::Update; 2] {
                continue;
            }
            for number in 0.. {
                if ground.walk(&acts, Some((number, fate))).await?.changes <= number + 1 {
                    break;
                }
            }
        }
    }
    Ok(())
}

pub(crate) async fn s94_three_requests_lose_nothing_in_any_order(stage: &Stage) -> Check {
    let ground = ground(stage).await?;
    for acts in [
        [Act::Update, Act::Update, Act::Update],
        [Act::Update, Act::RotateInsert, Act::Destroy],
        [Act::Update, Act::Touch, Act::Destroy],
        [Act::Take, Act::Take, Act::Clear],
        [Act::Login, Act::Login, Act::Destroy],
        [Act::Unbind, Act::Login, Act::Update],
    ] {
        if !stage.context.full && acts[0] == Act::Unbind {
            continue;
        }
        let _ = ground.walk(&acts, None).await?;
    }
    Ok(())
}
