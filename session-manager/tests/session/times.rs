//! Deadlines and times set by a request.

use std::time::Duration;

use session_manager::Outcome;

use crate::{add, begun, fresh};

#[tokio::test]
async fn counter_and_its_deadline_survive_replay() {
    let (_, sessions, clock) = fresh();
    let id = begun(&sessions).await;
    let both = [sessions.load(id).await.unwrap(), sessions.load(id).await.unwrap()];
    for session in &both {
        add(session);
        assert!(session.expire_key("n", Duration::from_secs(1)).unwrap());
    }
    for session in &both {
        assert_eq!(sessions.finish(session).await.unwrap().outcome, Outcome::Updated);
    }
    assert_eq!(sessions.load(id).await.unwrap().get("n").unwrap(), Some(2));
    clock.advance(Duration::from_secs(1));
    assert_eq!(sessions.load(id).await.unwrap().get::<u32>("n").unwrap(), None);
}

#[tokio::test]
async fn times_set_before_the_first_value_are_kept() {
    let (_, sessions, _) = fresh();
    let session = sessions.load(None).await.unwrap();
    let month = Duration::from_secs(30 * 86_400);
    session.set_idle_timeout(month).unwrap();
    session.set_absolute_lifetime(None).unwrap();
    assert_eq!(session.commit().await.unwrap().outcome, Outcome::Unchanged);
    session.insert("a", &1).unwrap();
    assert_eq!(session.commit().await.unwrap().outcome, Outcome::Created);
    assert_eq!(session.deadline().unwrap(), Some(sessions.now().saturating_add(month)));
}
