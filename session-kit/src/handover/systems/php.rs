//! PHP's sessions in Redis, and Symfony's rows and values of Redis.

use session_handover::php::session::{self, Handler};

use crate::handover::php_files::php_id;
use crate::handover::{Entries, Moment, Rows, System};

/// The sessions of PHP's session functions, whatever stores them.
fn php(cookie: impl Into<String>, handler: Handler) -> System {
    let cookie = cookie.into();
    System::new(cookie.clone(), move |stored| session::read(handler, stored.data, stored.bounds).map(Some))
        .found_by(move |headers| php_id(headers, &cookie))
}

impl Entries {
    /// PHP with the extension `redis` (`session.save_handler = redis`): the cookie `session.name`, and
    /// `session.serialize_handler`. It respects the locks of `redis.session.locking_enabled`. Values that
    /// `redis.session.compression` compressed need a [`System`] of their own.
    pub fn php(cookie: impl Into<String>, handler: Handler) -> Self {
        Self::new("PHPREDIS_SESSION:", php(cookie, handler)).locked_by("_LOCK")
    }

    /// Symfony's `RedisSessionHandler` with its default prefix. It has no locks.
    pub fn symfony(cookie: impl Into<String>, handler: Handler) -> Self {
        Self::new("sf_s", php(cookie, handler))
    }
}

impl Rows {
    /// Symfony's `PdoSessionHandler` since 4.4: the table `sessions`. The row holds the moment of its end.
    pub fn symfony(cookie: impl Into<String>, handler: Handler) -> Self {
        Self::new("sessions", "sess_id", "sess_data", php(cookie, handler))
            .binary()
            .ends_at("sess_lifetime", Moment::Seconds)
    }
}
