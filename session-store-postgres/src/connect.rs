//! Connecting to one of the URL's hosts.
//!
//! tokio-postgres tries the hosts of a URL by itself. But a host that accepts a connection and never answers would use
//! up the time of all of them, and the connection would end with the runtime of the call that needed it first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Error};

use crate::home::Home;
use crate::settings::Startup;
use crate::tls::{Driving, Transport};

/// The hosts of a URL.
pub(crate) struct Hosts {
    hosts: Vec<Config>,
    /// The host of the next attempt: the last one that accepted, or the one after a host that failed.
    next: AtomicUsize,
    /// The time limit of one host.
    limit: Duration,
    home: Home,
    transport: Transport,
    startup: Arc<Startup>,
}

type Opened = Result<(Client, JoinHandle<()>), Error>;

impl Hosts {
    pub(crate) fn new(
        config: &Config,
        limit: Duration,
        home: Home,
        transport: Transport,
        startup: Arc<Startup>,
    ) -> Self {
        Self { hosts: each_host(config), next: AtomicUsize::new(0), limit, home, transport, startup }
    }

    /// The time limit of an attempt with each host.
    pub(crate) fn limit_of_all(&self) -> Duration {
        self.limit.saturating_mul(u32::try_from(self.hosts.len()).unwrap_or(u32::MAX))
    }

    /// Connects to the first host that accepts, each within its limit. The pool limits the last
    /// attempt, because only the pool can report a timeout.
    async fn connect_to_any(&self) -> Opened {
        let mut left = self.hosts.len();
        loop {
            left -= 1;
            let at = self.next.load(Ordering::SeqCst) % self.hosts.len();
            // An abandoned attempt counts as failed, so that the next one does not wait for the same host again.
            self.next.store(at + 1, Ordering::SeqCst);
            let limit = if left == 0 { Duration::MAX } else { self.limit };
            match timeout(limit, self.open(at)).await {
                Ok(Ok(opened)) => {
                    self.next.store(at, Ordering::SeqCst);
                    return Ok(opened);
                }
                Ok(Err(cause)) if left == 0 => return Err(cause),
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }

    /// Connects in the runtime that opened the store, because a socket ends with the runtime that made it.
    async fn open(&self, at: usize) -> Opened {
        let config = self.hosts.get(at).cloned().unwrap_or_default();
        let home = self.home.handle();
        // Dropping the set ends an abandoned attempt.
        let mut opening = JoinSet::new();
        let attempt = begin(config.clone(), self.transport.clone(), Arc::clone(&self.startup));
        opening.spawn_on(attempt, &home);
        let (runtime, (client, driving)) = match opening.join_next().await {
            Some(Ok(opened)) => (home, opened?),
            // The runtime ended meanwhile.
            Some(Err(_)) | None => {
                let attempt = begin(config, self.transport.clone(), Arc::clone(&self.startup));
                (Handle::current(), attempt.await?)
            }
        };
        Ok((client, runtime.spawn(driving)))
    }
}

/// Connects with the options of `startup`, or without them if they are refused.
async fn begin(
    config: Config,
    transport: Transport,
    startup: Arc<Startup>,
) -> Result<(Client, Driving), Error> {
    if let Some(with_options) = startup.apply(&config) {
        match transport.connect(&with_options).await {
            Err(cause) if startup.is_refused(&cause) => {}
            answer => return answer,
        }
    }
    transport.connect(&config).await
}

impl Connect for Hosts {
    fn connect(&self, _: &Config) -> Pin<Box<dyn Future<Output = Opened> + Send + '_>> {
        Box::pin(self.connect_to_any())
    }
}

/// The same options for each host alone. Never empty.
fn each_host(config: &Config) -> Vec<Config> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |list: usize| list == 0 || list == count;
    if count < 2 || !fits(hosts.len()) || !fits(addresses.len()) || !(ports.len() == 1 || fits(ports.len())) {
        // One host, or lists of different lengths, which tokio-postgres reports.
        let mut only = config.clone();
        #[cfg(unix)]
        if matches!(hosts, [Host::Unix(_)]) {
            only.ssl_mode(SslMode::Disable);
        }
        return vec![only];
    }
    let one = |at| {
        let mut one = without_hosts(config);
        match hosts.get(at) {
            Some(Host::Tcp(name)) => Some(one.host(name)),
            #[cfg(unix)]
            Some(Host::Unix(path)) => Some(one.host_path(path).ssl_mode(SslMode::Disable)),
            None => None,
        };
        if let Some(address) = addresses.get(at) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(at).or_else(|| ports.first()) {
            one.port(*port);
        }
        one
    };
    (0..count).map(one).collect()
}

fn without_hosts(config: &Config) -> Config {
    let mut copy = Config::new();
    copy.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .target_session_attrs(config.get_target_session_attrs())
        .load_balance_hosts(config.get_load_balance_hosts())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle());
    config.get_user().map(|user| copy.user(user));
    config.get_password().map(|password| copy.password(password));
    config.get_dbname().map(|name| copy.dbname(name));
    config.get_options().map(|options| copy.options(options));
    config.get_application_name().map(|name| copy.application_name(name));
    config.get_connect_timeout().map(|limit| copy.connect_timeout(*limit));
    config.get_tcp_user_timeout().map(|limit| copy.tcp_user_timeout(*limit));
    config.get_keepalives_interval().map(|interval| copy.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| copy.keepalives_retries(retries));
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_keeps_every_option() {
        let options = "options=-csearch_path%3Dapp&application_name=n&sslmode=disable&sslnegotiation=direct&\
                       connect_timeout=3&tcp_user_timeout=4&keepalives=0&keepalives_idle=5&keepalives_interval=6&\
                       keepalives_retries=7&target_session_attrs=read-write&channel_binding=require&\
                       load_balance_hosts=random";
        let parse = |hosts: &str, more: &str| -> Config {
            format!("postgres://user:password@{hosts}/name?{options}{more}").parse().unwrap()
        };
        let hosts = each_host(&parse("one:1,two:2", "&hostaddr=10.0.0.1,10.0.0.2"));
        assert_eq!(hosts[0], parse("one:1", "&hostaddr=10.0.0.1"));
        assert_eq!(hosts[1], parse("two:2", "&hostaddr=10.0.0.2"));
        assert_eq!(hosts.len(), 2);
        let unix = each_host(&parse("%2Frun,two", ""));
        assert_eq!(unix, [parse("%2Frun", ""), parse("two", "")]);
        let mut encrypted: Config = "postgres://u@%2Frun,two/d?sslmode=require".parse().unwrap();
        let modes: Vec<_> = each_host(&encrypted).iter().map(Config::get_ssl_mode).collect();
        assert_eq!(modes, [SslMode::Disable, SslMode::Require], "a socket is not encrypted");
        encrypted = "postgres://u@%2Frun/d?sslmode=require".parse().unwrap();
        assert_eq!(each_host(&encrypted)[0].get_ssl_mode(), SslMode::Disable);
        let wrong = parse("one,two", "&hostaddr=10.0.0.1");
        assert_eq!(each_host(&wrong), [wrong]);
    }
}
