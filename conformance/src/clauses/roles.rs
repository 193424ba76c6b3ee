//! The roles of child processes, by name in [`ROLES`].

use std::sync::Arc;

use session_core::{Condition, Driver, Key};

use crate::child::Line;
use crate::common::{Crowd, increment, number_of, patiently, record, rev, set, touching};
use crate::failure::{Check, ensure};
use crate::history::{Mix, Rec, Recorder, pick, seen_after};
use crate::role::{Role, RoleStage};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("look", |role| Box::pin(look(role))),
    ("count", |role| Box::pin(count(role))),
    ("create", |role| Box::pin(create(role))),
    ("history", |role| Box::pin(history(role))),
    ("read-whole", |role| Box::pin(read_whole(role))),
    ("write-whole", |role| Box::pin(write_whole(role))),
    ("purge", |role| Box::pin(purge(role))),
    ("work", |role| Box::pin(work(role))),
    ("acknowledge", |role| Box::pin(acknowledge(role))),
    ("denied", |role| Box::pin(super::faults_outage::denied(role))),
];

/// Reads one record, replaces it at its revision, and removes another.
async fn look(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    role.ready().await;
    let found = driver.retrieve(&role.stage.key("one")).await?;
    let number = found.as_ref().and_then(|found| number_of(&found.data)).unwrap_or(0);
    role.post.say(&Line::Note(number));
    if let Some(found) = found {
        let at = Condition::Revision(found.revision);
        let answer = driver.store(&role.stage.key("one"), record(number + 1), at).await?;
        role.post.say(&Line::Note(u64::from(answer.is_applied())));
    }
    let answer = driver.remove(&role.stage.key("two"), Condition::Any).await?;
    role.post.say(&Line::Note(u64::from(answer.is_applied())));
    Ok(())
}

/// Increments the counter: argument 0 times, or until it is killed if that is 0. Notes each number that it wrote.
async fn count(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    let (times, stream) = (role.number(0), role.number(1));
    let key = role.stage.key("counter");
    let mut rng = role.stage.rng(stream);
    role.ready().await;
    let mut done = 0;
    while times == 0 || done < times {
        let written = increment(&driver, &key, || rng.u64(..)).await?;
        role.post.say(&Line::Note(written));
        done += 1;
    }
    Ok(())
}

/// Tries to create keys 0 to argument 0; notes each that it won.
async fn create(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    role.ready().await;
    for number in 0..role.number(0) {
        let key = role.stage.key(&format!("created-{number}"));
        let own = record((number << 8) | role.number(1));
        if patiently(|| driver.store(&key, own.clone(), Condition::Absent)).await?.is_applied() {
            role.post.say(&Line::Note(number));
        }
    }
    Ok(())
}

fn recorder(role: &RoleStage) -> Recorder {
    let post = Arc::clone(&role.post);
    Recorder::reporting(move |call| post.say(&Line::Call(call)))
}

fn history_keys(role: &RoleStage, count: usize) -> Vec<Key> {
    (0..count).map(|number| role.stage.key(&format!("history-{number}"))).collect()
}

/// Two tasks with argument 0 random operations each on three keys.
async fn history(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    let recorder = Arc::new(recorder(role));
    let (length, stream) = (role.number(0), role.number(1));
    let keys = history_keys(role, 3);
    let horizon = role.stage.later().as_millis();
    role.ready().await;
    let mut crowd = Crowd::new();
    for task in 0..2 {
        let (driver, recorder, keys) = (driver.clone(), Arc::clone(&recorder), keys.clone());
        let mut rng = role.stage.rng(stream * 8 + task);
        crowd.add(async move {
            let mut seen: [Option<Rec>; 3] = [None; 3];
            for _ in 0..length {
                let index = rng.u64(..3) as usize;
                let op = pick(Mix::All, &mut rng, seen[index], horizon);
                let answer = recorder.perform(&driver, index, &keys[index], op).await?;
                seen[index] = seen_after(seen[index], op, answer);
            }
            Ok(())
        });
    }
    crowd.join().await.map(drop)
}

/// Reads argument 0 times and fails unless each record is whole.
async fn read_whole(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    let key = role.stage.key("whole");
    role.ready().await;
    for _ in 0..role.number(0) {
        let found = patiently(|| driver.retrieve(&key)).await?;
        let right = found
            .as_ref()
            .is_some_and(|found| number_of(&found.data).is_some_and(|number| found.revision == rev(number)));
        ensure(right, "a whole record, whose data and revision are of one store", || format!("{found:?}"))?;
    }
    Ok(())
}

/// Replaces that record argument 0 times.
async fn write_whole(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    let key = role.stage.key("whole");
    let mut rng = role.stage.rng(role.number(1));
    role.ready().await;
    for _ in 0..role.number(0) {
        let number = rng.u64(..);
        set(&driver, &key, &record(number)).await?;
    }
    Ok(())
}

/// Purges to the end and notes how many it removed.
async fn purge(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    role.ready().await;
    let mut total = 0;
    for _ in 0..10_000 {
        let purged = patiently(|| driver.purge(5)).await?;
        total += purged.removed;
        if !purged.more {
            break;
        }
    }
    role.post.say(&Line::Note(total));
    Ok(())
}

/// Operations of the mix in argument 0, until this process is killed. Every operation is reported before it starts and
/// after it is answered.
async fn work(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    let recorder = Arc::new(recorder(role));
    let mix: Mix = serde_json::from_str(role.args.first().map_or("", String::as_str)).unwrap_or(Mix::All);
    let keys = history_keys(role, crate::clauses::durable::KEYS);
    let horizon = role.stage.later().as_millis();
    role.ready().await;
    let mut crowd = Crowd::new();
    for task in 0..3 {
        let (driver, recorder, keys) = (driver.clone(), Arc::clone(&recorder), keys.clone());
        let mut rng = role.stage.rng(role.number(1) * 8 + task);
        crowd.add(async move {
            let mut seen: Vec<Option<Rec>> = vec![None; keys.len()];
            for (index, key) in keys.iter().enumerate() {
                let answer = recorder.perform(&driver, index, key, crate::history::Op::Retrieve).await?;
                seen[index] = seen_after(None, crate::history::Op::Retrieve, answer);
            }
            loop {
                let index = rng.u64(..keys.len() as u64) as usize;
                let op = pick(mix, &mut rng, seen[index], horizon);
                let answer = recorder.perform(&driver, index, &keys[index], op).await?;
                seen[index] = seen_after(seen[index], op, answer);
                tokio::task::yield_now().await;
            }
        });
    }
    crowd.join().await.map(|_: Vec<()>| ())
}

/// Changes of every kind, one after the other, each between two notes.
async fn acknowledge(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    let key = role.stage.key("acknowledged");
    role.ready().await;
    for number in 0..20 {
        role.post.say(&Line::Note(number * 2));
        let (now, next) = (number + 1, number + 2);
        let done = match number % 4 {
            0 => driver.store(&key, record(now), Condition::Any).await?.is_applied(),
            1 => driver.store(&key, record(now), Condition::Revision(rev(number))).await?.is_applied(),
            2 => driver.touch(&key, touching(number, next, Some(role.stage.later()))).await?,
            _ => driver.remove(&key, Condition::Any).await?.is_applied(),
        };
        ensure(done, "an undisturbed change happens", || format!("change {number} did not"))?;
        role.post.say(&Line::Note(number * 2 + 1));
    }
    Ok(())
}
