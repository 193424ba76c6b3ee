//! A request is dropped at any point, and its handle is used again.

use session_core::SessionId;
use session_manager::{EndReason, Error, ErrorKind, IdUpdate, Outcome, Session};

use crate::{HOUR, Stage, add, begun, told};
use session_conformance::testing::{Request, Tree, step};

/// The call that is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Create,
    Update,
    Touch,
    Rotate,
    Login,
    Destroy,
}

impl What {
    fn rotates(self) -> bool {
        matches!(self, Self::Rotate | Self::Login)
    }
}

/// What another request does before the handle is used again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meanwhile {
    Nothing,
    Adds,
    Destroys,
    Rotates,
}

/// When the change of a dropped call arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Arrives {
    Never,
    BeforeTheOther,
    AfterTheOther,
    AtTheEnd,
}

/// How the handle is used again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Again {
    Commit,
    Destroy,
}

impl Stage {
    /// Runs `request` through `cut` gates and drops it. Returns its answer if it ended before.
    async fn cut<T>(&self, mut request: Request<'_, T>, cut: usize) -> Option<T> {
        self.probe.close_gates();
        let mut answer = None;
        for _ in 0..cut {
            answer = step(&self.probe, &mut request).await;
            if answer.is_some() {
                break;
            }
        }
        drop(request);
        self.probe.open_gates();
        answer
    }

    /// How many session records there are, tombstones and indexes left out.
    fn records(&self) -> usize {
        self.map.all().values().filter(|record| record.data.starts_with(&[1, 1])).count()
    }
}

async fn prepare(stage: &Stage, what: What) -> (Session, Option<SessionId>) {
    if what == What::Create {
        let session = stage.sessions.load(None).await.unwrap();
        session.insert("name", "Grace").unwrap();
        add(&session);
        return (session, None);
    }
    let id = begun(&stage.sessions).await;
    stage.clock.advance(HOUR);
    let session = stage.open(id).await;
    if what == What::Update || what.rotates() {
        session.insert("name", "Grace").unwrap();
        add(&session);
    }
    match what {
        What::Rotate => session.rotate().unwrap(),
        What::Login => session.login("ada").unwrap(),
        _ => {}
    }
    (session, Some(id))
}

/// Whether the call ended before the drop.
async fn scene(what: What, cut: usize, meanwhile: Meanwhile, arrives: Arrives, again: Again) -> bool {
    let case =
        format!("{what:?} dropped at {cut}, the other {meanwhile:?}, arrives {arrives:?}, then {again:?}");
    let stage = Stage::new(true);
    let (session, id) = prepare(&stage, what).await;
    stage.probe.detach_dropped(arrives != Arrives::Never);
    let ended = match what {
        What::Destroy => stage.cut(Box::pin(async { session.destroy("bye").await.map(drop) }), cut).await,
        _ => stage.cut(Box::pin(async { session.commit().await.map(drop) }), cut).await,
    };
    stage.probe.detach_dropped(false);
    if let Some(answer) = &ended {
        assert!(answer.is_ok(), "{case}: {answer:?}");
    }
    let sent = stage.probe.changes() > 0;
    state_is_allowed(&stage, what, id, &case).await;

    if arrives == Arrives::BeforeTheOther {
        stage.arrive().await;
    }
    let other = other(&stage, meanwhile, id).await;
    if arrives == Arrives::AfterTheOther {
        stage.arrive().await;
    }
    match again {
        Again::Destroy => destroyed_again(&stage, &session, what, id, &other, arrives, &case).await,
        Again::Commit if what == What::Destroy => {
            add(&session);
            let done = session.commit().await;
            stage.arrive().await;
            let alive = stage.exists(id.unwrap()).await;
            match done.map(|done| done.outcome) {
                // The destruction is not repeated: the session lives, has ended, or has a successor.
                Ok(Outcome::Updated) => assert!(alive, "{case}"),
                Ok(Outcome::Ended(_) | Outcome::Created) => assert!(!alive, "{case}"),
                answer => panic!("{case}: {answer:?}"),
            }
        }
        Again::Commit => committed_again(&stage, &session, what, id, &other, sent, &case).await,
    }
    ended.is_some()
}

/// The old state or the new one.
async fn state_is_allowed(stage: &Stage, what: What, id: Option<SessionId>, case: &str) {
    let Some(id) = id else {
        assert!(stage.records() <= 1, "{case}");
        return;
    };
    let session = stage.open(id).await;
    if session.exists().unwrap() {
        let name: Option<String> = session.get("name").unwrap();
        let new = session.get("n").unwrap() == Some(1);
        assert_eq!(name.as_deref(), Some(if new { "Grace" } else { "Ada" }), "{case}");
        assert!(!new || what == What::Update, "{case}: what is rotated is not under the old id");
        assert!(stage.records() <= if what.rotates() { 2 } else { 1 }, "{case}");
    } else if what.rotates() {
        assert_eq!(session.end_reason().unwrap(), Some(EndReason::Replaced), "{case}");
        assert_eq!(stage.records(), 1, "{case}: the successor is there");
    } else {
        assert_eq!(what, What::Destroy, "{case}: the session is lost");
        assert_eq!(stage.records(), 0, "{case}");
    }
}

struct Other {
    added: bool,
    destroyed: bool,
    rotated: Option<SessionId>,
}

async fn other(stage: &Stage, meanwhile: Meanwhile, id: Option<SessionId>) -> Other {
    let mut other = Other { added: false, destroyed: false, rotated: None };
    let Some(id) = id else { return other };
    let session = stage.open(id).await;
    if !session.exists().unwrap() {
        return other;
    }
    match meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Adds => {
            session.update("n", |n: Option<u32>| n.unwrap_or(0) + 10).unwrap();
            other.added = stage.sessions.finish(&session).await.unwrap().outcome == Outcome::Updated;
        }
        Meanwhile::Destroys => other.destroyed = session.destroy("other").await.unwrap(),
        Meanwhile::Rotates => {
            session.rotate().unwrap();
            assert_eq!(stage.sessions.finish(&session).await.unwrap().outcome, Outcome::Rotated);
            other.rotated = Some(told(&session));
        }
    }
    other
}

async fn committed_again(
    stage: &Stage,
    session: &Session,
    what: What,
    id: Option<SessionId>,
    other: &Other,
    sent: bool,
    case: &str,
) {
    add(session);
    let done = stage.sessions.finish(session).await.map(|done| done.outcome);
    stage.arrive().await;
    let tens = if other.added { 10 } else { 0 };
    let all = if what == What::Touch { 1 } else { 2 } + tens;
    let is_uncertain =
        |done: &Result<Outcome, Error>| matches!(done, Err(error) if error.kind() == ErrorKind::Uncertain);
    if what == What::Login && (other.rotated.is_some() || other.destroyed) {
        assert!(matches!(done, Ok(Outcome::Created)), "{case}: {done:?}");
        let own = stage.open(told(session)).await;
        assert_eq!((own.get("n").unwrap(), own.user().unwrap().as_deref()), (Some(2), Some("ada")), "{case}");
        if let Some(next) = other.rotated {
            assert_eq!(stage.counter(next).await, Some(0), "{case}");
        }
        assert!(!stage.exists(id.unwrap()).await, "{case}: it is back");
        return;
    }
    if let Some(next) = other.rotated {
        let counter = stage.counter(next).await.unwrap();
        match &done {
            Ok(Outcome::Ended(EndReason::Replaced)) => {}
            done if is_uncertain(done) && sent && what == What::Update => {}
            done => panic!("{case}: {done:?}"),
        }
        assert!(counter <= u32::from(what == What::Update && sent), "{case}: {counter}");
        assert_eq!(stage.open(id.unwrap()).await.end_reason().unwrap(), Some(EndReason::Replaced), "{case}");
        assert_eq!(session.id_update(), IdUpdate::None, "{case}");
        return;
    }
    if other.destroyed {
        assert!(matches!(done, Ok(Outcome::Ended(_))), "{case}: {done:?}");
        assert!(!stage.exists(id.unwrap()).await, "{case}: it is back");
        assert_eq!(session.id_update(), IdUpdate::None, "{case}");
        return;
    }
    if is_uncertain(&done) {
        assert!(sent && what == What::Update && other.added, "{case}: nothing is uncertain");
        let counter = stage.counter(id.unwrap()).await.unwrap();
        assert!((tens..=tens + 1).contains(&counter), "{case}: {counter}");
        return;
    }
    let expected = match what {
        What::Create => Outcome::Created,
        What::Rotate | What::Login => Outcome::Rotated,
        _ => Outcome::Updated,
    };
    let outcome = done.unwrap();
    // The dropped call may have ended: then the later one only adds to it.
    assert!(outcome == expected || outcome == Outcome::Updated, "{case}: {outcome:?}");
    let now = if what == What::Create || what.rotates() { told(session) } else { id.unwrap() };
    assert_eq!(stage.counter(now).await, Some(all), "{case}: counted once");
    if what.rotates() {
        assert_eq!(stage.open(id.unwrap()).await.end_reason().unwrap(), Some(EndReason::Replaced), "{case}");
    }
}

async fn destroyed_again(
    stage: &Stage,
    session: &Session,
    what: What,
    id: Option<SessionId>,
    other: &Other,
    arrives: Arrives,
    case: &str,
) {
    let before = stage.records();
    let destroyed = session.destroy("again").await.unwrap();
    stage.arrive().await;
    if let Some(next) = other.rotated {
        assert!(!destroyed && stage.exists(next).await, "{case}: the successor lives");
        return;
    }
    if let Some(id) = id {
        assert!(!stage.exists(id).await, "{case}");
        assert!(!destroyed || session.id_update() == IdUpdate::Clear, "{case}");
    }
    assert!(destroyed || other.destroyed || before == 0 || what == What::Create, "{case}");
    if !matches!(session.id_update(), IdUpdate::None | IdUpdate::Clear) {
        panic!("{case}: {:?}", session.id_update());
    }
    // No client can reach a new record that arrives after its handle abandoned it.
    if arrives == Arrives::Never {
        let unplaced = what.rotates() && stage.records() > 0;
        assert!(!unplaced || before > 1 || other.destroyed, "{case}: {} records", stage.records());
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_call_leaves_old_or_new_and_counts_once() {
    let mut scenes = 0;
    let mut tree = Tree::new();
    while tree.again() {
        let what = [What::Create, What::Update, What::Touch, What::Rotate, What::Login, What::Destroy]
            [tree.choose(6)];
        let meanwhile =
            [Meanwhile::Nothing, Meanwhile::Adds, Meanwhile::Destroys, Meanwhile::Rotates][tree.choose(4)];
        let arrives = [Arrives::Never, Arrives::BeforeTheOther, Arrives::AfterTheOther, Arrives::AtTheEnd]
            [tree.choose(4)];
        let again = [Again::Commit, Again::Destroy][tree.choose(2)];
        for cut in 0.. {
            scenes += 1;
            if scene(what, cut, meanwhile, arrives, again).await {
                assert!(cut > 2, "{what:?} has more than one gate");
                break;
            }
        }
    }
    eprintln!("{scenes} scenes");
}

#[tokio::test(start_paused = true)]
async fn rotation_after_dropped_commit_is_kept() {
    for cut in 0..4 {
        let stage = Stage::new(true);
        let (session, id) = prepare(&stage, What::Update).await;
        drop(stage.cut(Box::pin(session.commit()), cut).await);
        session.bind_user("ada").unwrap();
        session.rotate().unwrap();
        let done = stage.sessions.finish(&session).await.unwrap();
        assert_eq!((done.outcome, done.critical), (Outcome::Rotated, true), "{cut}");
        let next = stage.open(told(&session)).await;
        assert_eq!(next.user().unwrap().as_deref(), Some("ada"));
        assert_eq!(next.get("n").unwrap(), Some(1));
        assert!(!stage.exists(id.unwrap()).await);
    }
}
