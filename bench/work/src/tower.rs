//! Stores that are written for tower-sessions.

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
