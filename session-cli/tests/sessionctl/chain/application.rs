//! An application whose sessions move: a process that uses its own sessions and knows what each of them must contain.

use std::path::Path;

use session_conformance::testing::{Rng, block_on, say};
use session_kit::migrate::Migrating;
use session_kit::session_core::{Driver, DynDriver, SessionId};
use session_kit::{IdUpdate, Sessions};

use crate::chain::journal::{self, Id, Journal, Ledger, Pending, State};

/// Runs in a child process, with the arguments that the test gave.
pub(crate) fn play(args: &[String]) {
    let [old, new, journal, stop, seed] = args else { panic!("{} arguments", args.len()) };
    block_on(async {
        let mut application = Application::open(old, new, Path::new(journal), seed).await;
        say("ready");
        let mut changes = 0;
        while !Path::new(stop).exists() {
            application.turn().await;
            changes += 1;
        }
        say(&format!("changes {changes}"));
    });
}

/// The state of a session, by its id.
pub(crate) async fn state<D: Driver>(sessions: &Sessions<D>, id: Id) -> State {
    let session = sessions.load(SessionId::from_bytes(id)).await.unwrap();
    match session.get("n").unwrap() {
        Some(number) => State::Live(number),
        None => State::Ended,
    }
}

struct Application {
    sessions: Sessions<Migrating<DynDriver, DynDriver>>,
    ledger: Ledger,
    /// The sessions that it uses. A part of them, so that it cannot move all of them before the copies are killed.
    ids: Vec<Id>,
    journal: Journal,
    rng: Rng,
}

impl Application {
    async fn open(old: &str, new: &str, journal: &Path, seed: &str) -> Self {
        let (ledger, pending) = journal::read(journal);
        assert_eq!(pending, None);
        let (old, new) = (session_kit::open(old).await.unwrap(), session_kit::open(new).await.unwrap());
        Self {
            sessions: Sessions::new(Migrating::open(old, new).await.unwrap()).unwrap(),
            ids: ledger.keys().step_by(4).copied().collect(),
            ledger,
            journal: Journal::open(journal),
            rng: Rng::with_seed(seed.parse().unwrap()),
        }
    }

    /// A request.
    async fn turn(&mut self) {
        let id = self.ids[self.rng.usize(0..self.ids.len())];
        let before = self.ledger[&id];
        match (before, self.rng.u32(0..100)) {
            (_, 0..15) => self.create().await,
            (State::Ended, _) => {
                let found = state(&self.sessions, id).await;
                assert_eq!(found, State::Ended, "a session came back during the migration");
            }
            (State::Live(_), 15..60) => self.change(id, before).await,
            (State::Live(number), 60..80) => self.login(id, number).await,
            (State::Live(_), _) => self.end(id, before).await,
        }
    }

    fn keep(&mut self, states: &[(Id, State)]) {
        self.journal.done(states);
        self.ledger.extend(states.iter().copied());
    }

    async fn create(&mut self) {
        let session = self.sessions.load(None).await.unwrap();
        let number = self.rng.u64(..);
        session.insert("n", &number).unwrap();
        self.journal.begin(Pending::New);
        let _ = self.sessions.finish(&session).await.unwrap();
        let IdUpdate::Set { id, .. } = session.id_update() else { panic!("no id") };
        self.keep(&[(id.to_bytes(), State::Live(number))]);
        self.ids.push(id.to_bytes());
    }

    async fn change(&mut self, id: Id, before: State) {
        let session = self.sessions.load(SessionId::from_bytes(id)).await.unwrap();
        let found = session.get("n").unwrap().map_or(State::Ended, State::Live);
        assert_eq!(found, before, "a session was lost or changed during the migration");
        let number = self.rng.u64(..);
        session.insert("n", &number).unwrap();
        self.journal.begin(Pending::Change(id, State::Live(number)));
        let _ = self.sessions.finish(&session).await.unwrap();
        self.keep(&[(id, State::Live(number))]);
    }

    /// Gives the session a new id, and enters it in the list of a user.
    async fn login(&mut self, id: Id, number: u64) {
        let session = self.sessions.load(SessionId::from_bytes(id)).await.unwrap();
        let user = format!("user-{}", self.rng.u32(0..50));
        session.login(&user).unwrap();
        session.insert("n", &number).unwrap();
        self.journal.begin(Pending::Login(id));
        let _ = self.sessions.finish(&session).await.unwrap();
        let IdUpdate::Set { id: new, .. } = session.id_update() else { panic!("no id") };
        self.keep(&[(id, State::Ended), (new.to_bytes(), State::Live(number))]);
        self.ids.push(new.to_bytes());
    }

    async fn end(&mut self, id: Id, before: State) {
        let session = self.sessions.load(SessionId::from_bytes(id)).await.unwrap();
        let found = session.get("n").unwrap().map_or(State::Ended, State::Live);
        assert_eq!(found, before, "a session was lost or changed during the migration");
        self.journal.begin(Pending::Change(id, State::Ended));
        session.destroy("logged out").await.unwrap();
        self.keep(&[(id, State::Ended)]);
    }
}
