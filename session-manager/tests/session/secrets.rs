//! Events, and what they never contain.

use std::fmt::Debug;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::{Arc, Mutex};

use session_core::{Condition, Cursor, Driver, Record, Revision, SessionId};
use session_manager::{Event, Handle, Observer, RequestInfo, SessionTag, Sessions};

use crate::Map;
use crate::{add, clock, told};
use session_conformance::testing::{Fate, Probe};

/// Everything that is shown.
type Shown = Arc<File>;

fn show(shown: &Shown, thing: &dyn Debug) {
    writeln!(&**shown, "{thing:?} {thing:#?}").unwrap();
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
async fn life(shown: &Shown, listener: Arc<Listener>) -> Vec<SessionId> {
    let map = Map::new(clock());
    let stepped = Probe::new(map.clone());
    let sessions = Sessions::builder(stepped.clone()).observer(listener).build().unwrap();
    let session = sessions.load(None).await.unwrap();
    session.insert("token", SECRET).unwrap();
    session.flash().set("notice", SECRET).unwrap();
    show(shown, &sessions.finish(&session).await);
    let mut ids = vec![told(&session)];
    show(shown, &(&session, session.id_update(), session.flash(), RequestInfo::from(ids[0])));

    // Two that meet, and a rotation.
    let (one, two) = (sessions.load(ids[0]).await.unwrap(), sessions.load(ids[0]).await.unwrap());
    add(&one);
    add(&two);
    two.rotate().unwrap();
    show(shown, &sessions.finish(&one).await);
    show(shown, &sessions.finish(&two).await);
    ids.push(told(&two));
    let session = sessions.load(ids[1]).await.unwrap();
    show(shown, &session.get::<u64>("token"));
    show(shown, &session.flash().get::<bool>("notice"));
    show(shown, &session.update("token", |n: Option<u64>| n.unwrap_or(0)));
    show(shown, &session.insert(&"k".repeat(70_000), SECRET).map_err(|error| error.kind()));
    show(shown, &sessions.find(Cursor::start(), 10).await);
    show(shown, &(&sessions, Sessions::builder(map.clone())));

    // The token is spent twice, an answer is lost, and the store fails.
    let (one, two) = (sessions.load(ids[1]).await.unwrap(), sessions.load(ids[1]).await.unwrap());
    let spent: [Option<String>; 2] = [one.take("token").unwrap(), two.take("token").unwrap()];
    assert_eq!(spent[1].as_deref(), Some(SECRET));
    show(shown, &sessions.finish(&one).await);
    let error = sessions.finish(&two).await.unwrap_err();
    writeln!(&**shown, "{error} {error:?}").unwrap();
    stepped.set_fate(0, Fate::RequestLost);
    let late = sessions.load(ids[1]).await.unwrap();
    late.insert("token", SECRET).unwrap();
    show(shown, &sessions.load(ids[1]).await.unwrap().destroy("logout").await);
    show(shown, &sessions.finish(&late).await);
    show(shown, &late);
    let unknown = SessionId::from_bytes([9; 24]);
    show(shown, &sessions.load(unknown).await);
    let mut malformed = session_core::Candidates::none();
    malformed.push_malformed();
    show(shown, &sessions.load(malformed).await);
    let damaged = SessionId::from_bytes([8; 24]);
    let record = Record::new(SECRET.as_bytes().to_vec(), None, Revision::random().unwrap());
    assert!(map.store(&damaged.key(), record, Condition::Absent).await.unwrap().is_applied());
    show(shown, &sessions.load(damaged).await);
    show(shown, &sessions.find(Cursor::start(), 10).await);
    ids.extend([unknown, damaged]);

    // The devices of a user, and their names in a form.
    let login = sessions.load(None).await.unwrap();
    login.login("ada").unwrap();
    let _ = sessions.finish(&login).await.unwrap();
    ids.push(told(&login));
    let devices = sessions.of_user("ada").await.unwrap();
    assert_eq!(devices.len(), 1);
    let handle = devices[0].handle();
    // A form has the name in its text, which is the key's. The id does not follow from it.
    assert_eq!(handle.to_string(), told(&login).key().id());
    assert!(!handle.to_string().contains(told(&login).reveal().as_str()));
    show(shown, &(&devices, &handle, devices[0].tag()));
    show(shown, &handle.as_str().parse::<Handle>());
    show(shown, &"no/handle".parse::<Handle>());
    show(shown, &sessions.end(&handle, "signed out").await);
    ids
}

#[tokio::test(start_paused = true)]
async fn ids_and_values_are_never_shown() {
    let (shown, listener) = (Arc::new(tempfile::tempfile().unwrap()), Arc::new(Listener::default()));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(Arc::clone(&shown))
        .with_ansi(false)
        .finish();
    let subscribed = tracing::subscriber::set_default(subscriber);
    let mut ids = life(&shown, Arc::default()).await;
    // Other tests of this program may have disabled an event, because they have no subscriber.
    tracing::callsite::rebuild_interest_cache();
    ids.extend(life(&shown, Arc::clone(&listener)).await);
    drop(subscribed);
    let events = listener.0.lock().unwrap();
    show(&shown, &*events);
    for (tag, event) in &*events {
        let tag = tag.map_or(String::new(), |tag| tag.to_string());
        writeln!(&*shown, "{tag} {event:?}").unwrap();
    }
    let (mut file, mut text) = (&*shown, String::new());
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
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
        Event::Replayed { times: 1 },
        Event::ResurrectionPrevented,
        Event::UnknownId,
        Event::MalformedId { count: 1 },
        Event::Corrupt,
    ] {
        assert!(events.iter().any(|(_, event)| *event == wanted), "{wanted:?} was not told");
    }
    assert!(
        events.iter().any(|(_, event)| matches!(event, Event::Rotated { .. })),
        "a rotation was not told"
    );
}
