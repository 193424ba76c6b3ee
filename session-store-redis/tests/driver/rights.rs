//! Passwords, rights, and servers in the wrong role.

use std::time::Duration;

use session_core::StoreErrorKind::{Misconfigured, Unavailable};
use session_core::{Applied, Condition, Driver, Record, StoreErrorKind};
use session_store_redis::{RedisConfig, RedisStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xtask_redis::{Options, Server};

use crate::{at, connect, fails, key, put, record, recovered, server, touch};

async fn as_user(server: &Server, who: &str) -> session_core::Result<RedisStore> {
    RedisStore::open(server.url_of(who)).await
}

#[tokio::test]
async fn wrong_password_and_missing_right_are_misconfigured() {
    let options = Options::new().set("requirepass", "secret");
    let server = Server::start(options.set("user", "reader on >word ~session-kit:* +get +ping")).unwrap();
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

#[tokio::test]
async fn touch_without_right_to_expire_changes_nothing() {
    let server = server();
    let rights = "+get +set +getrange +setrange +eval +evalsha +ping";
    let said = server.command(&format!("ACL SETUSER app on >word ~* {rights}")).unwrap();
    assert_eq!(said, "+OK");
    let store = as_user(&server, "app:word").await.unwrap();
    let soon = Some(store.clock().now().saturating_add(Duration::from_secs(100)));
    let before = Record { expires: soon, ..record(1) };
    put(&store, &key("a"), before.clone(), Condition::Absent).await;
    for deadline in [None, Some(store.clock().now().saturating_add(Duration::from_secs(1_000)))] {
        let touch = store.touch(&key("a"), touch(1, 2, deadline)).await;
        fails(touch, Misconfigured, Applied::No);
        assert_eq!(store.retrieve(&key("a")).await.unwrap().as_ref(), Some(&before));
    }
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
