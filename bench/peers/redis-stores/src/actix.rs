//! actix-session's store, without actix.

use std::error::Error;
use std::hint::black_box;

use actix_session::storage::{RedisSessionStore, SessionKey, SessionStore};
use redis::aio::MultiplexedConnection;
use session_bench_work::{Args, Change, PAGE_KEY, Runner, Sample, Store, answer, text_id};

const DAY: time::Duration = time::Duration::DAY;

/// Measures or fills the store.
pub fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let store = runner.block_on(RedisSessionStore::new(args.url.as_str()))?;
    let client = redis::Client::open(args.url.as_str())?;
    let filling = runner.block_on(client.get_multiplexed_async_connection())?;
    answer(&runner, args, &Actix { store, filling })
}

#[derive(Clone)]
struct Actix {
    store: RedisSessionStore,
    /// The store draws its own keys, so another client fills it.
    filling: MultiplexedConnection,
}

/// A value of an actix session, as JSON.
fn text(value: &str) -> String {
    format!("\"{value}\"")
}

impl Store for Actix {
    type Key = String;

    fn key(&self, record: usize) -> String {
        text_id(record)
    }

    async fn retrieve(&mut self, key: &String) -> bool {
        let Ok(key) = SessionKey::try_from(key.clone()) else { return false };
        black_box(self.store.load(&key).await).is_ok_and(|state| state.is_some())
    }

    async fn store(&mut self, key: &String, change: Change<'_>) -> bool {
        let state = [(PAGE_KEY.to_owned(), text(change.value))].into();
        let Ok(there) = SessionKey::try_from(key.clone()) else { return false };
        // It returns another key if the session is missing.
        self.store.update(there, state, &DAY).await.is_ok_and(|stored| stored.as_ref() == key)
    }

    async fn create(&mut self, key: &String, change: Change<'_>) -> bool {
        let state = format!(r#"{{"{PAGE_KEY}":"\"{}\""}}"#, change.value);
        let set = redis::Cmd::set_ex(key, state, DAY.whole_seconds().unsigned_abs());
        set.query_async::<()>(&mut self.filling).await.is_ok()
    }
}
