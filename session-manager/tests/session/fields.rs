//! A struct as the view of a session.

use session_manager::{Error, ErrorKind, Fields, Session, SessionView};

use crate::{begun, fresh};

#[derive(Debug, PartialEq)]
struct Settings {
    theme: String,
    columns: u32,
    tags: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { theme: "light".into(), columns: 3, tags: Vec::new() }
    }
}

impl SessionView for Settings {
    fn fields(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.value("theme", &mut self.theme)?;
        fields
            .migrated("columns", &mut self.columns, |stored| stored.decode::<String>().ok()?.parse().ok())?;
        fields.value("tags", &mut self.tags)
    }
}

fn settings(theme: &str, columns: u32, tags: &[&str]) -> Settings {
    Settings { theme: theme.into(), columns, tags: tags.iter().map(|tag| (*tag).into()).collect() }
}

fn viewed(session: &Session) -> Settings {
    session.view::<Settings>().unwrap().into_inner()
}

#[tokio::test]
async fn view_has_defaults_and_saves_changed_fields_only() {
    let (_, sessions, _) = fresh();
    let session = sessions.load(None).await.unwrap();
    let mut view = session.view::<Settings>().unwrap();
    assert_eq!(*view, Settings::default());
    view.save().unwrap();
    assert!(!session.is_changed().unwrap(), "defaults are not stored");
    view.columns = 4;
    view.save().unwrap();
    assert_eq!(session.keys().unwrap(), ["columns"]);
    assert_eq!(viewed(&session), settings("light", 4, &[]));
    view.save().unwrap();
    view.columns = 3;
    view.save().unwrap();
    assert_eq!(session.get("columns").unwrap(), Some(3), "a change back to the default is stored");
}

#[tokio::test]
async fn fields_of_two_requests_are_both_kept() {
    let (_, sessions, _) = fresh();
    let id = begun(&sessions).await;
    let [one, other] = [sessions.load(id).await.unwrap(), sessions.load(id).await.unwrap()];
    let (mut theirs, mut ours) = (one.view::<Settings>().unwrap(), other.view::<Settings>().unwrap());
    theirs.theme = "dark".into();
    ours.tags.push("new".into());
    theirs.save().unwrap();
    ours.save().unwrap();
    for session in [&one, &other] {
        let _ = sessions.finish(session).await.unwrap();
    }
    assert_eq!(viewed(&sessions.load(id).await.unwrap()), settings("dark", 3, &["new"]));
}

#[tokio::test]
async fn bad_field_loses_neither_itself_nor_others() {
    let (_, sessions, _) = fresh();
    let id = begun(&sessions).await;
    let session = sessions.load(id).await.unwrap();
    session.insert("theme", "dark").unwrap();
    session.insert("columns", "12").unwrap();
    session.insert("tags", &7).unwrap();
    let _ = sessions.finish(&session).await.unwrap();

    let session = sessions.load(id).await.unwrap();
    let mut view = session.view::<Settings>().unwrap();
    assert_eq!(*view, settings("dark", 12, &[]), "one is migrated, one has its default");
    assert_eq!(view.undecoded(), ["tags"]);
    assert_eq!(session.get::<u32>("columns").unwrap_err().kind(), ErrorKind::Decode, "a read stores nothing");
    view.theme = "light".into();
    view.save().unwrap();
    assert_eq!(session.get("columns").unwrap(), Some(12_u32), "the migrated value is saved");
    assert_eq!(session.get("tags").unwrap(), Some(7), "the bad one stays");
    view.tags.push("a".into());
    view.save().unwrap();
    assert!(view.undecoded().is_empty());
    assert_eq!(viewed(&session), settings("light", 12, &["a"]));
    let _ = sessions.finish(&session).await.unwrap();
    view.columns = 1;
    assert_eq!(view.save().unwrap_err().kind(), ErrorKind::Committed);
    assert!(!format!("{view:?}").contains("light"));
}

#[derive(Default)]
struct Unsteady(bool, u8);

impl SessionView for Unsteady {
    fn fields(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        if self.0 {
            fields.value("more", &mut self.1)?;
        }
        fields.value("one", &mut self.1)
    }
}

#[tokio::test]
async fn other_fields_than_before_are_an_error() {
    let (_, sessions, _) = fresh();
    let session = sessions.load(None).await.unwrap();
    let mut view = session.view::<Unsteady>().unwrap();
    view.0 = true;
    assert_eq!(view.save().unwrap_err().kind(), ErrorKind::Config);
}

#[cfg(feature = "bincode")]
mod counted {
    use std::sync::atomic::{AtomicU32, Ordering};

    use session_manager::{Codec, Error, Fields, SessionView, Sessions};

    use crate::{Map, clock};

    /// A value that counts how often it is decoded.
    #[derive(Default, serde::Serialize)]
    struct Counted(u8);

    static DECODED: AtomicU32 = AtomicU32::new(0);

    impl<'de> serde::Deserialize<'de> for Counted {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            DECODED.fetch_add(1, Ordering::Relaxed);
            u8::deserialize(deserializer).map(Self)
        }
    }

    impl SessionView for Counted {
        fn fields(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
            fields.value("counted", self)
        }
    }

    /// Bincode leaves a doubt about each type of an application. Only a field that is saved is decoded for that.
    #[tokio::test]
    async fn view_decodes_each_field_once() {
        let sessions = Sessions::builder(Map::new(clock())).codec(Codec::Bincode).build().unwrap();
        let session = sessions.load(None).await.unwrap();
        let mut view = session.view::<Counted>().unwrap();
        assert_eq!(DECODED.swap(0, Ordering::Relaxed), 0);
        view.save().unwrap();
        assert!(!session.is_changed().unwrap());
        view.0 = 1;
        view.save().unwrap();
        assert_eq!(DECODED.swap(0, Ordering::Relaxed), 2);
        assert_eq!((session.view::<Counted>().unwrap().0, DECODED.load(Ordering::Relaxed)), (1, 1));
    }
}
