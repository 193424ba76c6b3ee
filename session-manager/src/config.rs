//! The options of a manager.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Driver, SessionId};

use crate::check::AddressCheck;
use crate::codec::Codec;
use crate::error::{Error, ErrorKind};
use crate::event::Observer;
use crate::sessions::Sessions;
use crate::table::Header;

/// What happens when a stored session is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnCorrupt {
    /// The visitor gets a fresh session; the damaged record stays for the operator, and an event tells of it.
    #[default]
    Fresh,
    /// Loading fails with [`ErrorKind::Corrupt`].
    Fail,
}

pub(crate) struct Config {
    pub(crate) idle: Duration,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) codec: Codec,
    pub(crate) touch_fraction: u32,
    pub(crate) address: AddressCheck,
    pub(crate) agent: bool,
    pub(crate) on_corrupt: OnCorrupt,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) last_write_wins: bool,
    pub(crate) ids: IdSource,
}

/// Where new ids come from: the operating system, but for tests of what happens when ids repeat.
pub(crate) type IdSource = Box<dyn Fn() -> session_core::Result<SessionId> + Send + Sync>;

impl Config {
    /// The header of a session that is not stored yet: its times are set when it is.
    pub(crate) fn new_header(&self) -> Header {
        Header::new(self.idle, self.lifetime)
    }
}

/// The options of [`Sessions`], with these defaults:
///
/// | option | default |
/// |---|---|
/// | `idle_timeout` | 2 hours |
/// | `absolute_lifetime` | 24 hours |
/// | `touch_fraction` | 20 |
/// | `codec` | MessagePack |
/// | `check_address` | off |
/// | `check_user_agent` | off |
/// | `on_corrupt` | a fresh session |
#[must_use]
pub struct SessionsBuilder<D> {
    driver: D,
    config: Config,
}

impl<D: Driver> SessionsBuilder<D> {
    pub(crate) fn new(driver: D) -> Self {
        let config = Config {
            idle: Duration::from_secs(2 * 3_600),
            lifetime: Some(Duration::from_secs(24 * 3_600)),
            codec: Codec::default(),
            touch_fraction: 20,
            address: AddressCheck::default(),
            agent: false,
            on_corrupt: OnCorrupt::default(),
            observer: None,
            last_write_wins: false,
            ids: Box::new(SessionId::generate),
        };
        Self { driver, config }
    }

    /// How long a session lives without being used; at least a second. Sessions that exist keep theirs.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.config.idle = idle;
        self
    }

    /// How long a session lives at most from its creation or last rotation, however much it is used (OWASP: absolute
    /// timeout); `None` for no such limit.
    pub fn absolute_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.config.lifetime = lifetime;
        self
    }

    /// The deadline in the store is moved once it would move by more than this part of the idle timeout: 20 means a
    /// twentieth. The larger, the more touches and the more exact the idle timeout; 1 to 1,000,000.
    pub fn touch_fraction(mut self, fraction: u32) -> Self {
        self.config.touch_fraction = fraction;
        self
    }

    /// How new values are encoded.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.config.codec = codec;
        self
    }

    /// Binds new sessions to the client's address. Sessions that recorded none are not refused.
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
    pub fn on_corrupt(mut self, what: OnCorrupt) -> Self {
        self.config.on_corrupt = what;
        self
    }

    /// Who is told of events, besides `tracing`.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.config.observer = Some(observer);
        self
    }

    /// Accepts a driver that cannot compare and store: two requests of one session then lose each other's writes,
    /// and a request that ends late can bring a session back.
    pub fn allow_last_write_wins(mut self) -> Self {
        self.config.last_write_wins = true;
        self
    }

    /// Where new ids come from, instead of the operating system's random numbers. Whoever can foresee an id owns the
    /// session: this is for tests, and for hardware of one's own.
    pub fn id_source(
        mut self,
        source: impl Fn() -> session_core::Result<SessionId> + Send + Sync + 'static,
    ) -> Self {
        self.config.ids = Box::new(source);
        self
    }

    /// The manager.
    ///
    /// # Errors
    /// `Config` where an option is out of its range, or the driver cannot compare and store.
    pub fn build(self) -> Result<Sessions<D>, Error> {
        let Self { driver, config } = self;
        let wrong = |detail: &str| Err(Error::new(ErrorKind::Config).with_detail(detail));
        if config.idle < MIN_TIME || config.lifetime.is_some_and(|lifetime| lifetime < MIN_TIME) {
            return wrong("the idle timeout and the absolute lifetime are at least one second");
        }
        if !(1..=1_000_000).contains(&config.touch_fraction) {
            return wrong("touch_fraction is 1 to 1,000,000");
        }
        if matches!(config.address, AddressCheck::Network { v4, v6 } if v4 > 32 || v6 > 128) {
            return wrong("a network has at most 32 bits for IPv4 and 128 for IPv6");
        }
        if !driver.capabilities().conditional && !config.last_write_wins {
            return wrong(
                "this driver cannot compare and store, so requests would lose each other's writes: \
                 call allow_last_write_wins if that is what you want",
            );
        }
        Ok(Sessions::from_parts(driver, config))
    }
}

/// No timeout is shorter.
pub(crate) const MIN_TIME: Duration = Duration::from_secs(1);

impl<D> std::fmt::Debug for SessionsBuilder<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("idle", &self.config.idle)
            .field("lifetime", &self.config.lifetime)
            .finish_non_exhaustive()
    }
}
