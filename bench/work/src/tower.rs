//! Stores that are written for tower-sessions.

/// Defines `router(store, parts)`, an application for [`Work::Mix`](crate::Work::Mix) with the named version of
/// tower-sessions. It needs the crate `axum`.
#[macro_export]
macro_rules! tower_application {
    ($sessions:ident) => {
        fn router<S>(store: S, args: &$crate::Args) -> ::axum::Router
        where
            S: $sessions::SessionStore + Clone,
        {
            use ::axum::extract::Path;
            use ::axum::routing::{get, post};
            use $sessions::{Session, session::Error};

            type Answer = Result<&'static str, String>;

            fn text(error: Error) -> String {
                error.to_string()
            }

            async fn read(session: Session) -> Answer {
                let user: Option<String> = session.get("user").await.map_err(text)?;
                let part: Option<String> = session.get($crate::READ_KEY).await.map_err(text)?;
                let (Some(user), Some(part)) = (user, part) else { return Err("no login".into()) };
                drop(::std::hint::black_box((user, part)));
                Ok("ok")
            }

            async fn save(session: Session) -> Answer {
                let answer = read(session.clone()).await?;
                let count: u64 = session.get($crate::COUNT_KEY).await.map_err(text)?.unwrap_or(0);
                session.insert($crate::COUNT_KEY, count + 1).await.map_err(text)?;
                Ok(answer)
            }

            async fn login(session: Session, user: String, parts: Vec<(String, String)>) -> Answer {
                session.cycle_id().await.map_err(text)?;
                session.insert("user", user).await.map_err(text)?;
                for (key, value) in parts {
                    session.insert(&key, value).await.map_err(text)?;
                }
                session.insert($crate::COUNT_KEY, 0).await.map_err(text)?;
                Ok("ok")
            }

            async fn logout(session: Session) -> Answer {
                session.flush().await.map_err(text)?;
                Ok("ok")
            }

            let parts = $crate::parts(args);
            let login =
                post(move |session: Session, Path(user): Path<String>| login(session, user, parts.clone()));
            $crate::mix::routes([get(read), post(save), login, post(logout)])
                .layer($sessions::SessionManagerLayer::new(store))
        }
    };
}

/// Defines `TowerStore<S>`, a [`Store`](crate::Store) over a store of the named version of tower-sessions-core. It is a
/// macro because the stores use two versions of that crate, with equal but distinct types. It needs the crate `time`. `FILLERS` is [`Store::FILLERS`](crate::Store::FILLERS).
///
/// A record holds one value under [`PAGE_KEY`](crate::PAGE_KEY). Saving is unconditional.
#[macro_export]
macro_rules! tower_store {
    ($core:ident) => {
        #[derive(Clone)]
        struct TowerStore<S, const FILLERS: usize = 64> {
            store: S,
            record: $core::session::Record,
        }

        impl<S: $core::SessionStore + Clone, const FILLERS: usize> TowerStore<S, FILLERS> {
            fn new(store: S) -> Self {
                let expiry_date = ::time::OffsetDateTime::now_utc() + ::time::Duration::days(1);
                let id = $core::session::Id(0);
                Self { store, record: $core::session::Record { id, data: Default::default(), expiry_date } }
            }

            fn change(&mut self, id: &$core::session::Id, value: &str) {
                self.record.id = *id;
                self.record.data.insert($crate::PAGE_KEY.to_owned(), value.into());
            }
        }

        impl<S: $core::SessionStore + Clone, const FILLERS: usize> $crate::Store for TowerStore<S, FILLERS> {
            type Key = $core::session::Id;

            const FILLERS: usize = FILLERS;

            fn key(&self, record: usize) -> Self::Key {
                $core::session::Id(i128::from_le_bytes($crate::Random::new(record as u64).bytes()))
            }

            async fn retrieve(&mut self, id: &Self::Key) -> bool {
                ::std::hint::black_box(self.store.load(id).await).is_ok_and(|record| record.is_some())
            }

            async fn store(&mut self, id: &Self::Key, change: $crate::Change<'_>) -> bool {
                self.change(id, change.value);
                self.store.save(&self.record).await.is_ok()
            }

            async fn create(&mut self, id: &Self::Key, change: $crate::Change<'_>) -> bool {
                self.change(id, change.value);
                // If the id is taken, a store draws another one.
                self.store.create(&mut self.record).await.is_ok() && self.record.id == *id
            }
        }
    };
}
