//! The session of tower-sessions over stores in memory, without the web.

use std::error::Error;
use std::sync::Arc;

use session_bench_work::{
    Args, COUNT_KEY, Operation, READ_KEY, Random, Runner, Sample, Turn, Work, parts, with_heap,
};
use time::{Duration, OffsetDateTime};
use tower_sessions::MemoryStore;
use tower_sessions_moka_store::MokaStore;

// The two stores use two versions of one core crate, with equal but distinct types.
macro_rules! subject {
    ($name:ident, $core:ident, $store:ty, $new:expr) => {
        pub fn $name(args: &Args) -> Result<Sample, Box<dyn Error>> {
            use $core::SessionStore;
            use $core::session::{Id, Record, Session};

            #[derive(Clone)]
            struct Task {
                store: Arc<$store>,
                ids: Vec<Id>,
            }

            struct Open<const SAVES: bool>(Task);

            impl<const SAVES: bool> Operation for Open<SAVES> {
                const BEFORE_YIELD: u64 = 16;

                async fn once(&mut self, place: usize, turn: u64) -> bool {
                    let session = Session::new(Some(self.0.ids[place]), self.0.store.clone(), None);
                    let part = session.get::<String>(READ_KEY).await;
                    let read = std::hint::black_box(part).is_ok_and(|part| part.is_some());
                    if !SAVES {
                        return read;
                    }
                    read && session.insert(COUNT_KEY, turn).await.is_ok() && session.save().await.is_ok()
                }
            }

            /// The store alone, under the session.
            struct Retrieve(Task);

            impl Operation for Retrieve {
                const BEFORE_YIELD: u64 = 64;

                async fn once(&mut self, place: usize, _: u64) -> bool {
                    let record = self.0.store.load(&self.0.ids[place]).await;
                    std::hint::black_box(record).is_ok_and(|record| record.is_some())
                }
            }

            struct Store {
                task: Task,
                record: Record,
            }

            impl Operation for Store {
                const BEFORE_YIELD: u64 = 64;

                async fn once(&mut self, place: usize, turn: u64) -> bool {
                    self.record.id = self.task.ids[place];
                    self.record.data.insert(COUNT_KEY.to_owned(), turn.into());
                    self.task.store.save(&self.record).await.is_ok()
                }
            }

            fn record(record: usize, args: &Args) -> Record {
                let parts = parts(args).into_iter().map(|(key, value)| (key, value.into()));
                let data = parts.chain([(COUNT_KEY.to_owned(), 0.into())]).collect();
                Record { id: id(record), data, expiry_date: OffsetDateTime::now_utc() + Duration::days(1) }
            }

            fn id(record: usize) -> Id {
                Id(i128::from_le_bytes(Random::new(record as u64).bytes()))
            }

            async fn fill(store: &$store, args: &Args) -> Result<(), Box<dyn Error>> {
                for number in 0..args.records {
                    store.save(&record(number, args)).await?;
                }
                Ok(())
            }

            let runner = Runner::new(args)?;
            let (store, bytes) = with_heap(args, || {
                let store: Arc<$store> = Arc::new($new);
                runner.block_on(fill(&store, args))?;
                Ok(store)
            })?;
            let make = |turn: Turn| Task {
                store: Arc::clone(&store),
                ids: turn.list.iter().map(|record| id(*record)).collect(),
            };
            match args.work {
                Work::Heap => Ok(Sample::new().with("bytes", bytes)),
                Work::Retrieve => Ok(runner.measure(|turn| Retrieve(make(turn)))),
                Work::Store => Ok(runner.measure(|turn| {
                    let task = make(turn.own());
                    Store { task, record: record(0, args) }
                })),
                Work::Load => Ok(runner.measure(|turn| Open::<false>(make(turn)))),
                Work::Save => Ok(runner.measure(|turn| Open::<true>(make(turn.own())))),
                _ => Err("not the work of a store in memory".into()),
            }
        }
    };
}

use tower_sessions as core_015;

subject!(memory, core_015, MemoryStore, MemoryStore::default());
subject!(moka, tower_sessions_core_014, MokaStore, MokaStore::new(None));
