//! The options of `Sessions`.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Driver, SessionId};

use crate::client::AddressCheck;
use crate::codec::Codec;
use crate::config::{Config, LONGEST, Limits, MIN_RENEWAL, MIN_TIME, OnCorrupt, OnTooMany};
use crate::error::{Error, ErrorKind};
use crate::event::Observer;
use crate::handover::{EndOld, HandoverSource, Mapped, OldSystem, OnOldFailure, Takeover};
use crate::session::Session;
use crate::sessions::Sessions;
use crate::sweep::Sweep;

/// The options of [`Sessions`], with these defaults:
///
/// | option | default |
/// |---|---|
/// | `idle_timeout` | 2 hours |
/// | `absolute_lifetime` | 24 hours |
/// | `touch_threshold` | a twentieth of the session's idle timeout |
/// | `touch_timeout` | 500 milliseconds |
/// | `renewal_timeout` | none |
/// | `codec` | MessagePack |
/// | `check_address` | off |
/// | `check_user_agent` | off |
/// | `on_corrupt` | a fresh session |
/// | `index_users` | on |
/// | `user_epochs` | off |
/// | `max_user_sessions` | no limit |
/// | `max_session_keys` | 8,192 |
/// | `max_session_bytes` | 4 MiB |
/// | `poll_interval` | 10 seconds |
/// | `handover` | none |
/// | `end_old` | at logout |
/// | `handover_memory` | 30 days |
/// | `keep_old_id` | off |
/// | `old_owns` | off |
/// | `sweep` | off |
#[must_use]
pub struct SessionsBuilder<D> {
    driver: D,
    config: Config,
    old: Option<Arc<dyn OldSystem>>,
    end_old: EndOld,
    handover_memory: Duration,
    keep_old_id: bool,
    old_owns: Option<OnOldFailure>,
    sweep: Option<Sweep>,
}

impl<D: Driver> Sessions<D> {
    /// A manager with the default options.
    ///
    /// # Errors
    /// `Config` if the driver has no compare-and-swap.
    pub fn new(driver: D) -> Result<Self, Error> {
        Self::builder(driver).build()
    }

    /// A manager with options.
    pub fn builder(driver: D) -> SessionsBuilder<D> {
        let config = Config {
            idle: Duration::from_secs(2 * 3_600),
            lifetime: Some(Duration::from_secs(24 * 3_600)),
            codec: Codec::default(),
            touch_threshold: None,
            touch_timeout: Duration::from_millis(500),
            renewal: None,
            address: AddressCheck::default(),
            agent: false,
            on_corrupt: OnCorrupt::default(),
            observer: None,
            last_write_wins: false,
            ids: Arc::new(SessionId::generate),
            index_users: true,
            user_epochs: false,
            limits: Limits { keys: 1 << 13, bytes: 4 << 20 },
            max_user_sessions: None,
            poll_interval: Duration::from_secs(10),
            carried: None,
        };
        let handover_memory = Duration::from_secs(30 * 86_400);
        SessionsBuilder {
            driver,
            config,
            old: None,
            end_old: EndOld::default(),
            handover_memory,
            keep_old_id: false,
            old_owns: None,
            sweep: None,
        }
    }
}

impl<D: Driver> SessionsBuilder<D> {
    /// How long a session lives without being used; at least one second. Existing sessions keep their timeout.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.config.idle = idle;
        self
    }

    /// How long a session lives from its creation or last rotation, even if it is used (OWASP: absolute timeout);
    /// `None` for no limit.
    pub fn absolute_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.config.lifetime = lifetime;
        self
    }

    /// A request that only reads moves the stored deadline if it moves by more than this; shorter than the idle
    /// timeout. A small threshold makes the idle timeout exact and costs more writes.
    pub fn touch_threshold(mut self, threshold: Duration) -> Self {
        self.config.touch_threshold = Some(threshold);
        self
    }

    /// How long a request that only reads waits while the store moves the deadline. After that the response is sent, an
    /// event says so, and the next request of the session tries again.
    pub fn touch_timeout(mut self, time: Duration) -> Self {
        self.config.touch_timeout = time.min(LONGEST);
        self
    }

    /// How long a session keeps its id (OWASP: renewal timeout); at least one minute, and no limit by default. The next
    /// request of the session then gets a new id, without a login. Nothing else of the session changes, and neither do
    /// its timeouts.
    ///
    /// The old id opens the session until a request has the new id, and for 20 s after that, because a response may be
    /// lost and other requests may be under way. Each of their responses has the new id. The end of the session is the
    /// end of both ids. A request that does not extend the session does not renew its id.
    ///
    /// A renewal costs two store calls, and the first request with the new id makes three more.
    pub fn renewal_timeout(mut self, time: Duration) -> Self {
        self.config.renewal = Some(time);
        self
    }

    /// How new values are encoded.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.config.codec = codec;
        self
    }

    /// Binds new sessions to the client's address. Sessions without a recorded address stay usable from anywhere.
    pub fn check_address(mut self, check: AddressCheck) -> Self {
        self.config.address = check;
        self
    }

    /// Binds new sessions to the client's User-Agent header.
    pub fn check_user_agent(mut self, yes: bool) -> Self {
        self.config.agent = yes;
        self
    }

    /// What happens when a stored session is damaged.
    pub fn on_corrupt(mut self, policy: OnCorrupt) -> Self {
        self.config.on_corrupt = policy;
        self
    }

    /// Whether the sessions of each user are listed in a record of the store, for [`Sessions::of_user`] and
    /// [`Sessions::end_user`]. A request that binds a user, rotates a session with a user, or sets its lifetime then
    /// makes at least two more store calls, and one more for each other session of the user, up to 32. A request that
    /// destroys a session with a user makes two more. No other request pays for it.
    pub fn index_users(mut self, yes: bool) -> Self {
        self.config.index_users = yes;
        self
    }

    /// Whether [`Sessions::end_user`] ends the sessions of a user with one write that no session escapes, listed or not.
    /// Each request of a session with a user then makes one more retrieve. All managers of a store must agree.
    pub fn user_epochs(mut self, yes: bool) -> Self {
        self.config.user_epochs = yes;
        self
    }

    /// How many values, flash values and labels a session may have together; at least one. A write beyond that is
    /// [`ErrorKind::TooLarge`]. A visitor who can create keys costs each request of the session time and memory.
    pub fn max_session_keys(mut self, most: usize) -> Self {
        self.config.limits.keys = most;
        self
    }

    /// How long the keys and values of a session may be together, encoded, with 12 to 28 bytes for each value. A write
    /// beyond that is [`ErrorKind::TooLarge`]. The driver may have a smaller limit.
    pub fn max_session_bytes(mut self, most: usize) -> Self {
        self.config.limits.bytes = most;
        self
    }

    /// How many sessions a user may have, at least one, and what happens to a login beyond that.
    pub fn max_user_sessions(mut self, most: usize, on_too_many: OnTooMany) -> Self {
        self.config.max_user_sessions = Some((most, on_too_many));
        self
    }

    /// How long [`SessionRef::ended`](crate::SessionRef::ended) may take to notice an end by another process; at least
    /// 10 ms. While a reference of a session waits, it reads the session once in half to all of this time.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.config.poll_interval = interval.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// Takes over the live sessions of a system that the application replaces. A request without a live session of ours
    /// that presents a session of `source` gets a new session, under a new id, which `map` fills: it calls
    /// [`Session::login`] and [`Session::insert`], and returns whether it accepts the old session. An error fails the load.
    ///
    /// An old session is taken over once. Of several requests at once, one gets the session; the others have none, as
    /// after a rotation, and may only log in for 60 s. If the client never receives the response with the new id, its user
    /// has to log in again. A driver without compare-and-swap cannot promise this.
    ///
    /// A request without an old session, or with a live session of ours, makes no store call for this.
    pub fn handover<S: HandoverSource>(
        mut self,
        source: S,
        map: impl Fn(S::Old, &Session) -> Result<bool, Error> + Send + Sync + 'static,
    ) -> Self {
        self.old = Some(Arc::new(Mapped { source, map }));
        self
    }

    /// When the old session ends.
    pub fn end_old(mut self, when: EndOld) -> Self {
        self.end_old = when;
        self
    }

    /// Whether a session keeps the id of the old session that it took over, so that its logout ends the old session although
    /// its request presents it no longer: needed if the session cookie has the name of the old cookie. The id, if it is text,
    /// is then a value of the session under `handover.old_id`, which every reader of the store can read. Off by default.
    pub fn keep_old_id(mut self, yes: bool) -> Self {
        self.keep_old_id = yes;
        self
    }

    /// How long an old session that was taken over, or that a logout has closed, is not taken over again; at least the
    /// absolute lifetime. Choose the longest time that a session of the old system may live.
    pub fn handover_memory(mut self, time: Duration) -> Self {
        self.handover_memory = time.min(LONGEST);
        self
    }

    /// Lets the old system own the logins as long as both run side by side. Each request then reads the old session and maps it
    /// again, whether or not it has a session of ours:
    ///
    /// - A login over there logs in here. An anonymous session of ours keeps its values.
    /// - A logout over there, also the loss of the old cookie, ends the session of ours at the next request.
    /// - Another user over there ends it too, and the request gets a new session.
    /// - Values that `map` inserts replace ours if they differ. All other values of ours stay, and nothing is written back.
    ///
    /// A user who logs in here, by [`Session::login`], has a session of ours alone. `on_failure` says what happens if the old store
    /// fails. A session is taken over again if it presents its old id later than a minute after that, and a logout here is final
    /// only if [`end_old`](Self::end_old) ends the old session: not with `Never`.
    ///
    /// `map` runs at each request, so it only computes. A [`SessionRef`](crate::SessionRef) does not ask the old system.
    pub fn old_owns(mut self, on_failure: OnOldFailure) -> Self {
        self.old_owns = Some(on_failure);
        self
    }

    /// Receives events in addition to `tracing`.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.config.observer = Some(observer);
        self
    }

    /// Accepts a driver without compare-and-swap. Two requests of one session then lose each other's writes, and a
    /// request that ends late can restore an ended session.
    pub fn allow_last_write_wins(mut self) -> Self {
        self.config.last_write_wins = true;
        self
    }

    /// Replaces the operating system as the source of new ids. A predictable id gives the session away, so use this
    /// for tests and for hardware generators only.
    pub fn id_source(
        mut self,
        source: impl Fn() -> session_core::Result<SessionId> + Send + Sync + 'static,
    ) -> Self {
        self.config.ids = Arc::new(source);
        self
    }

    /// Removes expired records on a schedule, in a task of the tokio runtime in which [`build`](Self::build) is called. The
    /// task ends with the last handle, when the store is closed, or with the runtime. [`Sessions::sweep`] returns a handle
    /// that waits for a running batch, for a graceful shutdown.
    pub fn sweep(mut self, options: Sweep) -> Self {
        self.sweep = Some(options);
        self
    }

    /// The manager.
    ///
    /// # Errors
    /// `Config` if an option is out of range, if the driver has no compare-and-swap, or with [`sweep`](Self::sweep) outside
    /// of a tokio runtime.
    pub fn build(self) -> Result<Sessions<D>, Error> {
        let Self { driver, config, old, end_old: end, handover_memory: memory, keep_old_id, old_owns, sweep } =
            self;
        let wrong = |detail: &str| Err(Error::new(ErrorKind::Config).with_detail(detail));
        if config.idle < MIN_TIME || config.lifetime.is_some_and(|lifetime| lifetime < MIN_TIME) {
            return wrong("idle_timeout and absolute_lifetime are at least one second");
        }
        if config.touch_threshold.is_some_and(|threshold| threshold >= config.idle) {
            return wrong("touch_threshold is shorter than idle_timeout");
        }
        if config.renewal.is_some_and(|time| time < MIN_RENEWAL) {
            return wrong("renewal_timeout is at least one minute");
        }
        if config.renewal.is_some() && config.last_write_wins {
            return wrong(
                "renewal_timeout needs a driver with compare-and-swap, without allow_last_write_wins",
            );
        }
        if matches!(config.address, AddressCheck::Network { v4, v6 } if v4 > 32 || v6 > 128) {
            return wrong("a network has up to 32 bits for IPv4 and up to 128 for IPv6");
        }
        if !config.index_users && (config.user_epochs || config.max_user_sessions.is_some()) {
            return wrong("user_epochs and max_user_sessions need index_users");
        }
        if config.limits.keys == 0 || config.limits.bytes == 0 {
            return wrong("max_session_keys and max_session_bytes are at least one");
        }
        if config.max_user_sessions.is_some_and(|(most, _)| most == 0) {
            return wrong("max_user_sessions is at least one");
        }
        if !driver.capabilities().conditional && !config.last_write_wins {
            return wrong(
                "the driver has no compare-and-swap, so requests lose each other's writes; \
                 allow_last_write_wins accepts that",
            );
        }
        if keep_old_id && old_owns.is_some() {
            return wrong("old_owns needs a session cookie beside the old one, so it excludes keep_old_id");
        }
        if end == EndOld::Now && old_owns.is_some() {
            return wrong("old_owns reads the old session at each request, so end_old is not Now");
        }
        let takeover = |old| Takeover { old, end, memory, keep_id: keep_old_id, owns: old_owns };
        let sessions = Sessions::from_parts(driver, config, old.map(takeover));
        if let Some(sweep) = sweep {
            sessions.sweep_along(sweep)?;
        }
        Ok(sessions)
    }
}

impl<D> std::fmt::Debug for SessionsBuilder<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("idle", &self.config.idle)
            .field("lifetime", &self.config.lifetime)
            .finish_non_exhaustive()
    }
}
