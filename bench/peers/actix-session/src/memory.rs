//! A store in memory, which actix-session leaves to its users: a map behind a lock, with deadlines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix_session::storage::{
    LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key,
};
use actix_web::cookie::time::Duration;

type State = HashMap<String, String>;

#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<HashMap<String, (State, Instant)>>>);

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (State, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deadline(ttl: &Duration) -> Instant {
    Instant::now() + ttl.unsigned_abs()
}

impl SessionStore for MemoryStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        let sessions = self.lock();
        let found = sessions.get(key.as_ref()).filter(|(_, deadline)| *deadline > Instant::now());
        Ok(found.map(|(state, _)| state.clone()))
    }

    async fn save(&self, state: State, ttl: &Duration) -> Result<SessionKey, SaveError> {
        let key = generate_session_key();
        self.lock().insert(key.as_ref().to_owned(), (state, deadline(ttl)));
        Ok(key)
    }

    async fn update(&self, key: SessionKey, state: State, ttl: &Duration) -> Result<SessionKey, UpdateError> {
        self.lock().insert(key.as_ref().to_owned(), (state, deadline(ttl)));
        Ok(key)
    }

    async fn update_ttl(&self, key: &SessionKey, ttl: &Duration) -> Result<(), anyhow::Error> {
        if let Some((_, ends)) = self.lock().get_mut(key.as_ref()) {
            *ends = deadline(ttl);
        }
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        self.lock().remove(key.as_ref());
        Ok(())
    }
}
