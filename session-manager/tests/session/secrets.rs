//! Events, and what they never contain.

use std::fmt::{Debug, Write as _};
use std::io::Write;
use std::sync::{Arc, Mutex};

use session_core::{Condition, Cursor, Driver, Record, Revision, SessionId};
use session_manager::{Event, Observer, RequestInfo, SessionTag, Sessions};
use tracing_subscriber::fmt::MakeWriter;

use crate::Map;
use crate::orders::block_on;
use crate::{add, clock, told};
use session_conformance::testing::{Fate, Probe};

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn debug(&self, thing: &dyn Debug) {
        let mut text = String::new();
        writeln!(text, "{thing:?} {thing:#?}").unwrap();
        self.0.lock().unwrap().extend(text.bytes());
    }
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Told {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[derive(Default)]
struct Listener(Mutex<Vec<(Option<SessionTag>, Event)>>);

impl Observer for Listener {
    fn event(&self, session: Option<SessionTag>, event: &Event) {
        self.0.lock().unwrap().push((session, event.clone()));
    }
}

const SECRET: &str = "a-secret-value";

/// Sessions with every event; returns their ids.
async fn life(told_to: &Told, listener: Arc<Listener>) -> Vec<SessionId> {
    let map = Map::new(clock());
    let stepped = Probe::new(map.clone());
    let sessions = Sessions::builder(stepped.clone()).observer(listener).build().unwrap();
    let session = sessions.load(None).await.unwrap();
    session.insert("token", SECRET).unwrap();
    session.flash().set("notice", SECRET).unwrap();
    told_to.debug(&sessions.finish(&session).await);
    let mut ids = vec![told(&session)];
    told_to.debug(&(&session, session.id_update(), session.flash(), RequestInfo::from(ids[0])));

    // Two that meet, and a rotation.
    let (one, two) = (sessions.load(ids[0]).await.unwrap(), sessions.load(ids[0]).await.unwrap());
    add(&one);
    add(&two);
    two.rotate().unwrap();
    told_to.debug(&sessions.finish(&one).await);
    told_to.debug(&sessions.finish(&two).await);
    ids.push(told(&two));
    let session = sessions.load(ids[1]).await.unwrap();
    told_to.debug(&session.get::<u64>("token"));
    told_to.debug(&session.flash().get::<bool>("notice"));
    told_to.debug(&session.update("token", |n: Option<u64>| n.unwrap_or(0)));
    told_to.debug(&session.insert(&"k".repeat(70_000), SECRET).map_err(|error| error.kind()));
    told_to.debug(&sessions.find(Cursor::start(), 10).await);
    told_to.debug(&(&sessions, Sessions::builder(map.clone())));

    // The token is spent twice, an answer is lost, and the store fails.
    let (one, two) = (sessions.load(ids[1]).await.unwrap(), sessions.load(ids[1]).await.unwrap());
    let spent: [Option<String>; 2] = [one.take("token").unwrap(), two.take("token").unwrap()];
    assert_eq!(spent[1].as_deref(), Some(SECRET));
    told_to.debug(&sessions.finish(&one).await);
    let error = sessions.finish(&two).await.unwrap_err();
    writeln!(told_to.clone(), "{error} {error:?}").unwrap();
    stepped.set_fate(0, Fate::RequestLost);
    let late = sessions.load(ids[1]).await.unwrap();
    late.insert("token", SECRET).unwrap();
    told_to.debug(&sessions.load(ids[1]).await.unwrap().destroy("logout").await);
    told_to.debug(&sessions.finish(&late).await);
    told_to.debug(&late);
    let unknown = SessionId::from_bytes([9; 24]);
    told_to.debug(&sessions.load(unknown).await);
    let mut malformed = session_core::Candidates::none();
    malformed.push_malformed();
    told_to.debug(&sessions.load(malformed).await);
    let damaged = SessionId::from_bytes([8; 24]);
    let record = Record::new(SECRET.as_bytes().to_vec(), None, Revision::random().unwrap());
    assert!(map.store(&damaged.key(), record, Condition::Absent).await.unwrap().is_applied());
    told_to.debug(&sessions.load(damaged).await);
    told_to.debug(&sessions.find(Cursor::start(), 10).await);
    ids.extend([unknown, damaged]);
    ids
}

#[test]
fn ids_and_values_are_never_shown() {
    let told = Told::default();
    let listener = Arc::new(Listener::default());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(told.clone())
        .with_ansi(false)
        .finish();
    let heard = Arc::clone(&listener);
    let ids = tracing::subscriber::with_default(subscriber, || {
        let mut ids = block_on(life(&told, Arc::default()));
        // Other tests of this program may have disabled an event, because they have no subscriber.
        tracing::callsite::rebuild_interest_cache();
        ids.extend(block_on(life(&told, heard)));
        ids
    });
    let events = listener.0.lock().unwrap();
    told.debug(&*events);
    for (tag, event) in &*events {
        writeln!(told.clone(), "{} {event:?}", tag.map_or(String::new(), |tag| tag.to_string())).unwrap();
    }
    let text = told.text();
    assert!(text.contains("Rotated") && text.contains("session_kit"), "the subscriber received events");
    assert!(!text.contains(SECRET), "a value: {text}");
    assert!(!text.contains(&format!("{:?}", SECRET.as_bytes())[1..20]), "a value's bytes");
    for id in ids {
        let (id, key) = (id.reveal(), id.key());
        assert!(!text.contains(id.as_str()) && !text.contains(key.id()), "an id");
    }
    for wanted in [
        Event::Loaded,
        Event::Created,
        Event::Rotated,
        Event::Replayed { times: 1 },
        Event::ResurrectionPrevented,
        Event::UnknownId,
        Event::MalformedId { count: 1 },
        Event::Corrupt,
    ] {
        assert!(events.iter().any(|(_, event)| *event == wanted), "{wanted:?} was not told");
    }
    // Each session has its own tag.
    let tag = |wanted: &Event| events.iter().find(|(_, event)| event == wanted).unwrap().0.unwrap();
    assert_ne!(tag(&Event::Created), tag(&Event::Rotated));
    assert_eq!(tag(&Event::Created), tag(&Event::Loaded));
}
