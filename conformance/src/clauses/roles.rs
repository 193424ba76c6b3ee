//! The roles of child processes, by name in [`ROLES`].

use std::sync::Arc;

use super::concurrent_changes::whole;
use crate::child::Line;
use crate::common::*;
use crate::history::{Mix, Player, Recorder};
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
    ("fork", |role| Box::pin(super::shared::fork(role))),
    ("short", |role| Box::pin(super::faults_outage::short(role))),
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

/// Lets `tasks` players work on `keys` keys. They report each operation before it starts and after it is answered.
async fn play<F>(role: &RoleStage, tasks: u64, keys: usize, work: impl Fn(Player) -> F) -> Check
where
    F: Future<Output = Check> + Send + 'static,
{
    let driver = role.stage.open().await?;
    let post = Arc::clone(&role.post);
    let recorder = Arc::new(Recorder::reporting(move |call| post.say(&Line::Call(call))));
    let (keys, horizon) = (role.stage.keys("history", keys), role.stage.later().as_millis());
    role.ready().await;
    let crowd = Crowd::start(tasks, (driver, keys, recorder), |task, (driver, keys, recorder)| {
        let rng = role.stage.rng(role.number(1) * 8 + task);
        work(Player::new(driver, keys, recorder, rng, horizon))
    });
    crowd.join().await.map(drop)
}

/// Two tasks with argument 0 random operations each on three keys.
async fn history(role: &RoleStage) -> Check {
    let length = role.number(0);
    play(role, 2, 3, move |mut player| async move {
        for _ in 0..length {
            player.play(Mix::All).await?;
        }
        Ok(())
    })
    .await
}

/// Reads argument 0 times and fails unless each record is whole.
async fn read_whole(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    let key = role.stage.key("whole");
    role.ready().await;
    for _ in 0..role.number(0) {
        let found = patiently(|| driver.retrieve(&key)).await?;
        whole(&found.ok_or_else(|| unmet("a record that is replaced is there all the time", "no record"))?)?;
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
        set(&driver, &key, &record(rng.u64(..))).await?;
    }
    Ok(())
}

/// Purges to the end and notes how many it removed.
async fn purge(role: &RoleStage) -> Check {
    let driver = role.stage.open().await?;
    role.ready().await;
    role.post.say(&Line::Note(purge_all(&driver, 5).await?));
    Ok(())
}

/// Operations of the mix in argument 0, until this process is killed.
async fn work(role: &RoleStage) -> Check {
    let mix: Mix = serde_json::from_str(&role.args[0]).expect("the parent names a mix");
    play(role, 3, super::durable::KEYS, move |mut player| async move {
        player.look().await?;
        loop {
            player.play(mix).await?;
            tokio::task::yield_now().await;
        }
    })
    .await
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
        ensure(done, "an undisturbed change happens", format_args!("change {number} did not"))?;
        role.post.say(&Line::Note(number * 2 + 1));
    }
    Ok(())
}
