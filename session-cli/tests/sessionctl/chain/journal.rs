//! The changes of an application, in a file that outlives it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use session_kit::session_core::SessionId;

/// The bytes of a session id.
pub(crate) type Id = [u8; SessionId::BYTES];

/// The expected states of the sessions that one application owns.
pub(crate) type Ledger = BTreeMap<Id, State>;

/// What a session contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It lives, and has this number.
    Live(u64),
    Ended,
}

/// A change that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// A new session, whose id is not known yet.
    New,
    /// A login, which gives the session a new id.
    Login(Id),
    Change(Id, State),
}

/// Notes each change before it is made, and its result once it is acknowledged.
pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn open(path: &Path) -> Self {
        Self(File::options().create(true).append(true).open(path).unwrap())
    }

    pub(crate) fn begin(&mut self, change: Pending) {
        self.line(&match change {
            Pending::New => "new".to_owned(),
            Pending::Login(id) => format!("login {}", text(id)),
            Pending::Change(id, state) => format!("change {} {}", text(id), word(state)),
        });
    }

    /// The change was acknowledged: these sessions have these states.
    pub(crate) fn done(&mut self, states: &[(Id, State)]) {
        let states: Vec<_> =
            states.iter().map(|(id, state)| format!(" {} {}", text(*id), word(*state))).collect();
        self.line(&format!("done{}", states.concat()));
    }

    fn line(&mut self, line: &str) {
        // One write, so that a kill leaves the whole line or nothing.
        self.0.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Writes a ledger as a journal.
pub(crate) fn write(path: &Path, ledger: &Ledger) {
    let lines: String =
        ledger.iter().map(|(id, state)| format!("done {} {}\n", text(*id), word(*state))).collect();
    fs::write(path, lines).unwrap();
}

/// The acknowledged states of a journal, and the change that was not acknowledged, if the process was killed during one.
pub(crate) fn read(path: &Path) -> (Ledger, Option<Pending>) {
    let (mut ledger, mut pending) = (Ledger::new(), None);
    for line in fs::read_to_string(path).unwrap().lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["done", ..] => {
                pending = None;
                ledger.extend(words[1..].chunks(2).map(|pair| (id(pair[0]), state(pair[1]))));
            }
            ["new"] => pending = Some(Pending::New),
            ["login", old] => pending = Some(Pending::Login(id(old))),
            ["change", of, to] => pending = Some(Pending::Change(id(of), state(to))),
            _ => panic!("a line of {} words", words.len()),
        }
    }
    (ledger, pending)
}

fn text(id: Id) -> String {
    SessionId::from_bytes(id).reveal().as_str().to_owned()
}

fn id(text: &str) -> Id {
    SessionId::parse(text.as_bytes()).unwrap().to_bytes()
}

fn word(state: State) -> String {
    match state {
        State::Live(number) => number.to_string(),
        State::Ended => "-".to_owned(),
    }
}

fn state(word: &str) -> State {
    word.parse().map_or(State::Ended, State::Live)
}
