//! Sessions of Rack and Rails.

use session_handover::ruby::{rack, rails, rails_cache};

use crate::handover::{Cookies, Entries, Rows, System};

impl Rows {
    /// activerecord-session_store: the table `sessions`. `cookie` is the key of the session store, such as `_myapp_session`. The
    /// rows have no end: add [`idle`](Rows::idle) with `updated_at` and [`Moment::Utc`](super::super::Moment::Utc), if the
    /// application removes old ones. Before Rack 2.0.8 and 1.6.12 the rows have the cookie's value itself: add
    /// [`System::named`].
    pub fn rails(cookie: impl Into<String>) -> Self {
        let system = System::new("", |stored| rails::read_row(stored.data, stored.bounds).map(Some));
        Self::new("sessions", "session_id", "data", by_private_id(system, cookie))
    }
}

impl Entries {
    /// Rails' `cache_store` on `redis_cache_store`. `namespace` is that of the cache, by default nothing.
    pub fn rails(cookie: impl Into<String>, namespace: &str) -> Self {
        let system = System::new("", |stored| {
            let entry = rails_cache::read(stored.data, stored.bounds)?;
            Ok(Some(entry.value).filter(|_| entry.expires.is_none_or(|end| stored.now < end)))
        });
        let colon = if namespace.is_empty() { "" } else { ":" };
        Self::new(format!("{namespace}{colon}_session_id:"), by_private_id(system, cookie))
    }

    /// redis-rack, as with [`Rows::rails`] from Rack 2.0.8 and 1.6.12. `prefix` is the namespace of its URL and a colon, such as `rack:session:`, or nothing.
    pub fn rack(cookie: impl Into<String>, prefix: impl Into<String>) -> Self {
        let system = System::new("", |stored| rack::read_redis(stored.data, stored.bounds).map(Some));
        Self::new(prefix, by_private_id(system, cookie))
    }
}

/// The stores know the SHA-256 of the cookie's value. Before Rack 2.0.8 and 1.6.12 they knew the value itself.
fn by_private_id(system: System, cookie: impl Into<String>) -> System {
    system.named(cookie, |id| Some(rack::private_id(id)))
}

impl Cookies {
    /// Rails' `cookie_store`, sealed or signed. `cookie` is the name that `settings` has.
    pub fn rails(settings: rails::Cookie, cookie: impl Into<String>) -> Self {
        Self::new(cookie, move |text, now, bounds| {
            settings.read(text.as_bytes(), now, bounds).map(|opened| opened.value)
        })
    }

    /// `Rack::Session::Cookie`, sealed or signed. `cookie` is the name that `settings` has, by default `rack.session`.
    pub fn rack(settings: rack::Cookie, cookie: impl Into<String>) -> Self {
        Self::new(cookie, move |text, _, bounds| settings.read(text.as_bytes(), bounds))
    }
}
