//! Passwords, rights, and servers in the wrong role.

use std::time::Duration;

use session_core::StoreErrorKind::{Misconfigured, Unavailable};
use session_core::{Applied, Condition, Driver, DriverExt, Record, StoreErrorKind};
use session_store_redis::{RedisConfig, RedisStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xtask_redis::{Options, Server};

use crate::{at, connect, fails, key, put, record, recovered, server, touch, users};

async fn as_user(server: &Server, who: &str) -> session_core::Result<RedisStore> {
    RedisStore::open(server.url_of(who)).await
}

#[tokio::test]
async fn wrong_password_and_missing_right_are_misconfigured() {
    let options = Options::new().set("requirepass", "secret");
    let server =
        Server::start(options.set("user", "reader on >word ~session-kit:* +get +getrange +ping")).unwrap();
    for who in ["", ":wrong", "nobody:word", "reader:wrong"] {
        let error = as_user(&server, who).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{who:?}: {error:?}");
        assert!(!format!("{error:?}").contains("wrong"));
    }
    let store = as_user(&server, ":secret").await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    let reader = as_user(&server, "reader:word").await.unwrap();
    assert_eq!(reader.retrieve(&key("a")).await.unwrap(), Some(record(1)));
    fails(reader.remove(&key("a"), Condition::Any).await, Misconfigured, Applied::No);
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(1)));
}

/// With a password, the refusal arrives in place of the answer to it.
#[tokio::test]
async fn crowded_server_is_unavailable() {
    let server = server();
    assert_eq!(server.command("ACL SETUSER app on >word ~* +@all").unwrap(), "+OK");
    let hasty = RedisConfig::new(server.url_of("app:word")).response_timeout(Duration::from_millis(300));
    let store = RedisStore::open(hasty).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    let mut other = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    for (command, answer) in [("CONFIG SET maxclients 1", "+OK"), ("CLIENT KILL TYPE normal", ":1")] {
        other.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let mut said = [0; 100];
        let length = other.read(&mut said).await.unwrap();
        assert!(said[..length].starts_with(answer.as_bytes()), "{command}");
    }
    for who in ["", "app:word"] {
        fails(as_user(&server, who).await, Unavailable, Applied::No);
    }
    // The first call may meet the end of the connection.
    drop(store.store(&key("a"), record(2), at(1)).await);
    fails(store.store(&key("a"), record(2), at(1)).await, Unavailable, Applied::No);
    drop(other);
    assert!(recovered(async || store.store(&key("a"), record(2), at(1)).await).await.is_applied());
    assert_eq!(store.retrieve(&key("a")).await.unwrap(), Some(record(2)));
}

/// A crowded server answers and closes at once, so a client may or may not read the answer. This client reads it.
#[tokio::test]
async fn crowded_answer_is_no_answer_to_the_password() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let full = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let asked = client.read(&mut [0; 4096]).await;
            let said = client.write_all(b"-ERR max number of clients reached\r\n").await;
            assert!(asked.is_ok() && said.is_ok());
        }
    });
    let error =
        RedisStore::open(RedisConfig::new(format!("redis://app:word@127.0.0.1:{port}"))).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::No), "{error:?}");
    full.abort();
}

fn allow(server: &Server, rights: &str) {
    assert_eq!(server.command(&format!("ACL SETUSER app {rights}")).unwrap(), "+OK", "{rights}");
}

#[tokio::test]
async fn touch_without_a_right_changes_nothing() {
    let server = server();
    allow(&server, "on >word ~* +get +set +getrange +eval +evalsha +ping");
    let store = as_user(&server, "app:word").await.unwrap();
    let after = |seconds| Some(store.clock().now().saturating_add(Duration::from_secs(seconds)));
    let left = || server.command("PTTL session-kit:user:a").unwrap()[1..].parse::<i64>().unwrap();
    for rights in ["+setrange -pexpire -persist", "-setrange +pexpire +persist"] {
        allow(&server, rights);
        for expires in [None, after(100)] {
            let before = Record { expires, ..record(1) };
            put(&store, &key("a"), before.clone(), Condition::Any).await;
            for deadline in [None, after(50), after(1_000)] {
                let touch = store.touch(&key("a"), touch(1, 2, deadline)).await;
                fails(touch, Misconfigured, Applied::No);
                assert_eq!(store.retrieve(&key("a")).await.unwrap().as_ref(), Some(&before));
                match expires {
                    None => assert_eq!(left(), -1, "{rights}"),
                    Some(_) => assert!((130_000..=160_000).contains(&left()), "{rights}: {}", left()),
                }
            }
        }
    }
}

/// The rights that the README lists are enough, and each one is needed.
#[tokio::test]
async fn each_listed_right_is_needed() {
    let server = server();
    let readme = include_str!("../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let listed = readme.split("on the keys of the namespace: `").nth(1).unwrap().split('`').next().unwrap();
    allow(&server, &format!("on >word ~session-kit:* {listed} +info +hello +select"));
    let store = RedisStore::open(format!("{}/0", server.url_of("app:word"))).await.unwrap();
    let later = Some(store.clock().now().saturating_add(Duration::from_secs(1_000)));
    let all = async || {
        let key = key("a");
        assert!(store.store(&key, record(1), Condition::Any).await?.is_applied());
        store.retrieve(&key).await?;
        store.retrieve(&crate::key("none")).await?;
        store.touch(&key, touch(1, 2, later)).await?;
        store.touch(&key, touch(2, 3, None)).await?;
        assert!(store.store(&key, record(4), at(3)).await?.is_applied());
        store.count(&users()).await?;
        assert!(store.remove(&key, at(4)).await?.is_applied());
        assert!(store.store(&key, record(1), Condition::Absent).await?.is_applied());
        // By its source, as after a restart.
        assert_eq!(server.command("SCRIPT FLUSH").unwrap(), "+OK");
        store.store(&key, record(2), at(1)).await
    };
    assert!(all().await.unwrap().is_applied());
    for right in listed.split(' ') {
        allow(&server, &right.replace('+', "-"));
        fails(all().await, Misconfigured, Applied::No);
        allow(&server, right);
    }
    allow(&server, "-info -hello");
    assert!(all().await.unwrap().is_applied());
    let in_database = async || RedisStore::open(format!("{}/3", server.url_of("app:word"))).await;
    in_database().await.unwrap();
    allow(&server, "-select");
    fails(in_database().await, Misconfigured, Applied::No);
}

#[tokio::test]
async fn password_is_an_option_and_changes_at_run_time() {
    let mut server = server();
    allow(&server, "on >p@ss/w%rd >other ~* +@all");
    let config = || RedisConfig::new(server.url_of("app"));
    fails(RedisStore::open(config().password("wrong")).await, Misconfigured, Applied::No);
    let store = RedisStore::open(config().password("p@ss/w%rd")).await.unwrap();
    assert!(!format!("{store:?}").contains("p@ss"));
    put(&store, &key("a"), record(1), Condition::Absent).await;
    fails(store.change_password("wrong").await, Misconfigured, Applied::No);
    put(&store, &key("a"), record(2), at(1)).await;

    let handle = store.clone();
    store.change_password("other").await.unwrap();
    allow(&server, "<p@ss/w%rd");
    server.command("CLIENT KILL TYPE normal").unwrap();
    assert_eq!(recovered(async || handle.retrieve(&key("a")).await).await, Some(record(2)));
    // The server changed first, and the connection is gone.
    allow(&server, "resetpass >third");
    server.command("CLIENT KILL TYPE normal").unwrap();
    let mut last = handle.retrieve(&key("a")).await;
    if last.is_ok() {
        last = handle.retrieve(&key("a")).await;
    }
    fails(last, Misconfigured, Applied::No);
    store.change_password("third").await.unwrap();
    assert_eq!(handle.retrieve(&key("a")).await.unwrap(), Some(record(2)));
    server.kill();
    fails(store.change_password("fourth").await, Unavailable, Applied::No);
    store.close().await.unwrap();
    fails(store.change_password("third").await, StoreErrorKind::Closed, Applied::No);
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn password_of_a_cluster_changes_at_run_time() {
    let cluster = xtask_redis::Cluster::start().unwrap();
    let on_all = |rights: &str| cluster.servers.iter().for_each(|server| allow(server, rights));
    on_all("on >word >other ~* +@all");
    let urls = cluster.servers.iter().map(|server| server.url_of("app"));
    let store = RedisStore::open(RedisConfig::cluster(urls).password("word")).await.unwrap();
    let keys: Vec<_> = (0..20).map(|n| key(&n.to_string())).collect();
    store.change_password("other").await.unwrap();
    on_all("<word");
    for server in &cluster.servers {
        server.command("CLIENT KILL TYPE normal").unwrap();
    }
    for key in &keys {
        recovered(async || store.store(key, record(1), Condition::Any).await.map(drop)).await;
    }
    assert_eq!(store.count(&users()).await.unwrap(), 20);
}

#[tokio::test]
async fn error_of_a_missing_command_shows_no_key() {
    let options = ["GET", "EVALSHA", "SET"].iter().fold(Options::new(), |options, name| {
        options.set("rename-command", &format!("{name} hidden-{name}"))
    });
    let server = Server::start(options).unwrap();
    let store = connect(&server).await;
    let secret = Record::new(&b"secret"[..], None, record(1).revision);
    let mut errors = vec![store.retrieve(&key("alice")).await.unwrap_err()];
    for when in [Condition::Any, Condition::Absent] {
        errors.push(store.store(&key("alice"), secret.clone(), when).await.unwrap_err());
    }
    for error in errors {
        let said = format!("{error:?}");
        assert_eq!(error.kind(), StoreErrorKind::Backend, "{said}");
        assert!(!said.contains("alice") && !said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn replica_is_unavailable() {
    let (primary, other) = (server(), server());
    let store = connect(&primary).await;
    put(&store, &key("a"), record(1), Condition::Absent).await;
    let hasty = RedisConfig::new(primary.url()).response_timeout(Duration::from_millis(200));
    let hasty = RedisStore::open(hasty).await.unwrap();
    let follow = format!("REPLICAOF 127.0.0.1 {}", other.port());
    assert_eq!(primary.command(&follow).unwrap(), "+OK");
    fails(RedisStore::open(primary.url()).await, Unavailable, Applied::No);
    // An open connection learns it with its first change.
    fails(hasty.store(&key("a"), record(2), at(1)).await, Unavailable, Applied::No);
    fails(hasty.retrieve(&key("a")).await, Unavailable, Applied::No);
    assert_eq!(primary.command("REPLICAOF NO ONE").unwrap(), "+OK");
    recovered(async || hasty.retrieve(&key("a")).await).await;
}

#[tokio::test]
async fn cluster_node_is_misconfigured_as_a_single_server() {
    let server = Server::start(Options::new().set("cluster-enabled", "yes")).unwrap();
    let error = RedisStore::open(server.url()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(format!("{error:?}").contains("RedisConfig::cluster"), "{error:?}");
}

#[tokio::test]
async fn timeouts_are_checked_and_may_be_endless() {
    let server = server();
    let (long, short) = (Duration::MAX, Duration::from_millis(9));
    for config in [
        RedisConfig::new(server.url()).response_timeout(short),
        RedisConfig::new(server.url()).connect_timeout(short),
    ] {
        fails(RedisStore::open(config).await, Misconfigured, Applied::No);
    }
    let endless = RedisConfig::new(server.url()).response_timeout(long).connect_timeout(long);
    let store = RedisStore::open(endless).await.unwrap();
    put(&store, &key("a"), record(1), Condition::Absent).await;
    #[cfg(feature = "cluster")]
    for time in [Duration::from_secs(1), long] {
        let config = RedisConfig::cluster([server.url()]).response_timeout(time).connect_timeout(time);
        fails(RedisStore::open(config).await, Misconfigured, Applied::No);
    }
    #[cfg(feature = "cluster")]
    {
        let almost = RedisConfig::cluster([server.url()]).response_timeout(long).connect_timeout(long / 2);
        fails(RedisStore::open(almost).await, Misconfigured, Applied::No);
    }
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn cluster_reports_the_same_errors_as_a_server() {
    let single = Server::start(Options::new().set("requirepass", "secret")).unwrap();
    for who in [":wrong", ":secret", ""] {
        let error = RedisStore::open(RedisConfig::cluster([single.url_of(who)])).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{who:?}: {error:?}");
    }
    let none: [&str; 0] = [];
    fails(RedisStore::open(RedisConfig::cluster(none)).await, Misconfigured, Applied::No);
    let mut gone = server();
    gone.kill();
    fails(RedisStore::open(RedisConfig::cluster([gone.url()])).await, Unavailable, Applied::No);
}
