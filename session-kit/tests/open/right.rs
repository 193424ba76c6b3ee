//! Right URLs: each opens a store that keeps a record, with the options that the URL sets.

use std::path::Path;

use session_conformance::testing::{ChildProcess, child_args, poll_once};
use session_kit::session_core::{Condition, Key, Record, Revision};
use session_kit::{Driver, DriverExt, DynDriver, OpenErrorKind, StoreErrorKind, StoreUrl, open};
use xtask_redis::{Cluster, Options, Server};

async fn keeps_a_record(store: &DynDriver, url: &str) {
    let key = Key::parse("user:alice").unwrap();
    let record = Record::new(&b"likes tea"[..], None, Revision::from_bytes([1; 8]));
    assert!(store.store(&key, record.clone(), Condition::Absent).await.expect(url).is_applied());
    assert_eq!(store.retrieve(&key).await.expect(url), Some(record));
    assert_eq!(store.clear(&session_kit::session_core::Prefix::new("user").unwrap()).await.expect(url), 1);
}

/// Opens the URL, and checks the limit of a record, which every driver has as an option.
async fn opens(url: &str, max_record_bytes: u64) {
    let store = open(url).await.expect(url);
    assert_eq!(store.capabilities().max_record_bytes, Some(max_record_bytes), "{url}");
    keeps_a_record(&store, url).await;
    store.close().await.expect(url);
}

/// The path of `file` from the working directory of the tests.
fn relative(file: &Path) -> String {
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    format!("{up}{}", file.strip_prefix("/").unwrap().display())
}

#[tokio::test]
async fn urls_of_local_stores_open_with_their_options() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let absolute = |name: &str| path(name).display().to_string();
    for (url, limit) in [
        ("memory:?max_record_bytes=1000".to_owned(), 1_000),
        (
            "memory://?max_entries=10&max_bytes=64MiB&on_full=evict&max_record_bytes=1KiB&shards=2"
                .to_owned(),
            1_024,
        ),
        ("MEMORY:?max_record_bytes=9".to_owned(), 9),
        (format!("sqlite://{}", absolute("absolute.db")), 16 << 20),
        (format!("sqlite:{}?", absolute("one-slash.db")), 16 << 20),
        (format!("sqlite:{}?max_record_bytes=1MiB", relative(&path("relative.db"))), 1 << 20),
        (
            format!(
                "sqlite://{}?create_directory=true&durability=power&busy_timeout=250ms&sync_every=2s&readers=2&\
                 cache_bytes=1MiB&offload_reads=true&max_bytes=1GiB&max_queue=100&max_queue_bytes=8MiB&max_batch=16&\
                 checkpoint_after=1MiB&max_wal_bytes=4MiB&create=true&max_record_bytes=4096",
                absolute("new/all.db")
            ),
            4_096,
        ),
        (format!("file://{}?create_directory=true", absolute("files")), 16 << 20),
        (
            format!(
                "file:{}?create_directory=true&create=true&durability=power&offload_reads=false&offload_threshold=4KiB&\
                 max_queue=10&threads=2&busy_timeout=1m&max_record_bytes=2MiB",
                relative(&path("more-files"))
            ),
            2 << 20,
        ),
        (
            format!(
                "mmap://{}?max_bytes=1MiB&shards=2&extent_bytes=4KiB&on_full=evict&max_record_bytes=2KiB&\
                 busy_timeout=1s&open_timeout=1s&create=true&create_directory=true",
                absolute("maps/sessions.map")
            ),
            2 << 10,
        ),
        (
            format!(
                "sled://{}?cache_bytes=1MiB&tree=app&flush_each_change=true&max_record_bytes=50KiB&scan=100&flush_timeout=9s",
                absolute("sled")
            ),
            50 << 10,
        ),
    ] {
        opens(&url, limit).await;
    }
    assert!(path("relative.db").exists() && path("more-files").exists());
}

#[tokio::test]
async fn percent_encoding_is_resolved_and_plus_is_a_plus() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/a%20b%3F%25%C3%A9+c.db", directory.path().display());
    let file = directory.path().join("a b?%é+c.db");
    // A new file with `?` in its name would be a mistake more often than not.
    assert_eq!(open(&url).await.unwrap_err().kind(), OpenErrorKind::Store);
    assert!(!file.exists());
    std::fs::write(&file, "").unwrap();
    open(&url).await.unwrap().close().await.unwrap();
    assert!(file.metadata().unwrap().len() > 0);
}

#[tokio::test]
async fn urls_of_redis_servers_open_with_their_options() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("redis.sock");
    let server = Server::start(Options::new().set("unixsocket", socket.to_str().unwrap())).unwrap();
    let done = server.command("ACL SETUSER app on >secret%2F allkeys +@all").unwrap();
    assert!(done.contains("OK"), "{done}");
    let port = server.port();
    for url in [
        format!("redis://127.0.0.1:{port}?max_record_bytes=1MiB"),
        format!("redis://localhost:{port}/?max_record_bytes=1MiB"),
        format!(
            "Redis://app:secret%252F@127.0.0.1:{port}/3?namespace=shop%3A&response_timeout=3s&connect_timeout=500ms&\
             max_record_bytes=1MiB"
        ),
        format!("redis+unix://{}?max_record_bytes=1MiB", socket.display()),
    ] {
        opens(&url, 1 << 20).await;
    }
    let namespaced = open(&format!("redis://127.0.0.1:{port}?namespace=shop%3A")).await.unwrap();
    let key = Key::parse("user:alice").unwrap();
    let record = Record::new(&b"tea"[..], None, Revision::from_bytes([1; 8]));
    assert!(namespaced.store(&key, record, Condition::Any).await.unwrap().is_applied());
    assert_eq!(server.command("EXISTS shop:user:alice").unwrap(), ":1");

    // A cache serves what another program has removed, for as long as the URL says.
    let url = format!("redis://127.0.0.1:{port}?namespace=shop%3A&near=60s&near_max_bytes=1MiB");
    let near = open(&url).await.unwrap();
    assert_eq!(near.capabilities().staleness, std::time::Duration::from_secs(60));
    let found = near.retrieve_recent(&key).await.unwrap();
    assert!(found.is_some());
    assert_eq!(server.command("DEL shop:user:alice").unwrap(), ":1");
    assert_eq!(near.retrieve_recent(&key).await.unwrap(), found);
    assert_eq!(near.retrieve(&key).await.unwrap(), None);
    assert_eq!(near.retrieve_recent(&key).await.unwrap(), None);

    // The server has no TLS, and the password is wrong.
    for url in [
        format!("rediss://app:hunter2@127.0.0.1:{port}?connect_timeout=200ms"),
        format!("redis://app:hunter2@127.0.0.1:{port}"),
        format!("redis://app:hunter2@127.0.0.1:{port}/99999"),
    ] {
        let error = open(&url).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Store);
        assert!(error.store_error().is_some());
        let shown = format!("{error} {error:?} {:?}", url.parse::<StoreUrl>());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn urls_of_databases_open_with_their_options() {
    let server = xtask_postgres::Server::start(xtask_postgres::Options::new()).unwrap();
    let port = server.port();
    opens(&format!("postgres://postgres@127.0.0.1:{port}/postgres?max_record_bytes=1MiB"), 1 << 20).await;
    let options = "table=public.visits&durability=process&prepare=true&connections=2&response_timeout=20s";
    opens(&format!("postgres://postgres@127.0.0.1:{port}/postgres?{options}"), 16 << 20).await;
    assert_eq!(server.sql("SELECT count(*) FROM visits").unwrap(), "0");
    opens(
        &format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable&max_record_bytes=1MiB"),
        1 << 20,
    )
    .await;
    let error = open(&format!("postgres://app:hunter2@127.0.0.1:{port}/postgres")).await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Store);
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn urls_of_databases_open_over_tls() {
    let authority = xtask_postgres::Authority::new().unwrap();
    let (certificate, key) = authority.sign("127.0.0.1").unwrap();
    let options = xtask_postgres::Options::new().tls(&certificate, &key, &authority.pem()).accept(
        "host all postgres 127.0.0.1/32 trust\nhostssl all app 127.0.0.1/32 trust\n\
                 hostssl all device 127.0.0.1/32 cert\n",
    );
    let server = xtask_postgres::Server::start(options).unwrap();
    server.sql("CREATE ROLE app LOGIN SUPERUSER").unwrap();
    server.sql("CREATE ROLE device LOGIN SUPERUSER").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("ca.pem");
    std::fs::write(&root, authority.pem()).unwrap();
    for options in [format!("sslrootcert={}", root.display()), "sslmode=require".into()] {
        opens(&format!("{}?{options}&max_record_bytes=1MiB", server.url_of("app")), 1 << 20).await;
    }
    let (certificate, key) = authority.sign("device").unwrap();
    let files = [("device.pem", certificate), ("device.key", key)].map(|(name, text)| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    });
    let options = format!("sslrootcert={}&sslcert={}&sslkey={}", root.display(), files[0], files[1]);
    opens(&format!("{}?{options}&max_record_bytes=1MiB", server.url_of("device")), 1 << 20).await;
    for options in ["sslmode=disable", "sslmode=verify-full"] {
        let error = open(&format!("{}?{options}", server.url_of("app"))).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Store, "{options}");
    }
}

#[tokio::test]
async fn url_of_a_cluster_names_some_of_its_nodes() {
    let cluster = Cluster::start().unwrap();
    let nodes: Vec<_> = cluster.servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    opens(&format!("redis-cluster://{}?max_record_bytes=1MiB", nodes[..2].join(",")), 1 << 20).await;
    opens(&format!("redis-cluster://{}/?response_timeout=5s", nodes[2]), 16 << 20).await;
}

/// The authorities of the operating system check the server's certificate. A variable of the environment names other
/// ones, so a child process opens the URLs.
#[test]
fn urls_of_redis_servers_open_over_tls() {
    const TEST: &str = "right::urls_of_redis_servers_open_over_tls";
    if let Some(urls) = child_args(TEST) {
        for url in urls {
            block_on(opens(&url, 1 << 20));
        }
        return;
    }
    let authority = xtask_postgres::Authority::new().unwrap();
    let (certificate, key) = authority.sign("127.0.0.1").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let root = file("ca.pem", &authority.pem());
    let tls = || Options::new().tls(&file("server.pem", &certificate), &file("server.key", &key), None);
    let single = Server::start(tls()).unwrap();
    // A cluster of one node, which has all slots and serves them after some seconds.
    let nodes = file(
        "nodes.conf",
        "0123456789abcdef0123456789abcdef01234567 :0@0 myself,master - 0 0 1 connected 0-16383\n\
         vars currentEpoch 1 lastVoteEpoch 0\n",
    );
    let cluster = tls().set("cluster-enabled", "yes").set("tls-cluster", "yes");
    let cluster = Server::start(cluster.set("cluster-config-file", nodes.to_str().unwrap())).unwrap();
    let urls = [
        format!("rediss://127.0.0.1:{}?max_record_bytes=1MiB", single.port()),
        format!("rediss-cluster://127.0.0.1:{}?max_record_bytes=1MiB&response_timeout=30s", cluster.port()),
    ];
    let mut command = ChildProcess::command(TEST, &urls.each_ref().map(String::as_str), &[]);
    ChildProcess::start(command.env("SSL_CERT_FILE", root)).finish();
    // Without it, no authority of the system has signed the certificate.
    for url in urls {
        assert_eq!(block_on(open(&url)).unwrap_err().kind(), OpenErrorKind::Store, "{url}");
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[tokio::test]
async fn refused_options_and_missing_files_are_errors_of_the_store() {
    for (url, text) in [
        ("memory:?on_full=evict", "on_full needs max_entries or max_bytes"),
        ("memory:?shards=3", "shards is not a power of two from 2 to 65536"),
        ("sqlite:a.db?readers=0", "readers is not in 1..=256"),
        ("sqlite:a.db?busy_timeout=2h", "busy_timeout is longer than an hour"),
        ("file:a?threads=257", "threads is outside 1 to 256"),
        ("sled:a?cache_bytes=1", "cache_bytes is below 1 MiB"),
        ("redis://127.0.0.1?response_timeout=1ms", "a timeout is shorter than 10 ms"),
        ("postgres://app@127.0.0.1/app?connections=0", "connections is not in 1..=1000"),
        ("postgres://app@192.0.2.1/app?sslmode=prefer", "or `sslmode=disable` for clear text"),
        ("postgres://app@localhost,192.0.2.1/app?sslmode=prefer", "or `sslmode=disable` for clear text"),
        (
            "postgres://app@127.0.0.1/app?sslrootcert=missing.pem",
            "missing.pem: No such file or directory (os error 2)",
        ),
        ("postgres://app@127.0.0.1/app?sslcert=a.pem", "`sslcert` and `sslkey` belong together"),
        ("sqlite:missing.db?create=false", "missing.db: file does not exist, and create is off"),
        ("sqlite:///missing/directory/a.db", "directory does not exist, and create_directory is off"),
    ] {
        let error = open(url).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Store, "{url}");
        let scheme = url.split(':').next().unwrap();
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("{scheme} store did not open: ")), "{shown}");
        assert!(shown.ends_with(text), "{shown}");
    }
}

#[test]
fn opening_without_a_runtime_is_an_error() {
    let opening = std::pin::pin!(session_kit::open_sessions("memory:"));
    let error = poll_once(opening).expect("it waits for nothing").unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::NoRuntime);
    assert!(error.to_string().starts_with("a tokio runtime is required: call this in one"), "{error}");
}

/// Each of them has a task that sweeps, until the last handle is dropped or the store is closed.
#[tokio::test]
async fn sessions_of_a_url_are_swept() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let sessions = session_kit::open_sessions("memory:").await.unwrap();
    assert_eq!(tasks(), before + 1);
    let session = sessions.load(None).await.unwrap();
    session.insert("tea", &1).unwrap();
    assert!(sessions.finish(&session).await.is_ok());
    let opened = session_kit::Sessions::new(open("memory:").await.unwrap()).unwrap();
    assert_eq!(tasks(), before + 1, "no task without being asked for");
    drop(opened);
}

#[tokio::test]
async fn existing_creates_no_store() {
    let directory = tempfile::tempdir().unwrap();
    let server = xtask_postgres::Server::start(xtask_postgres::Options::new()).unwrap();
    let paths = ["file", "mmap", "sqlite", "sled"].map(|scheme| {
        let path = directory.path().join(scheme);
        // The URL's own options about creating have no effect.
        (
            format!("{scheme}:{}", path.display()),
            if scheme == "sled" { "?create=true" } else { "?create=true&create_directory=true" },
        )
    });
    for (url, options) in paths.into_iter().chain([(server.url(), "?create_table=true&sslmode=disable")]) {
        let url = format!("{url}{options}");
        let existing = StoreUrl::existing(&url).unwrap();
        let error = existing.open().await.unwrap_err();
        assert_eq!(error.store_error().unwrap().kind(), StoreErrorKind::Missing, "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{url} has left something");
        assert_eq!(server.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'sessions'").unwrap(), "0");

        open(&url).await.expect(&url).close().await.unwrap();
        let store = existing.open().await.expect(&url);
        keeps_a_record(&store, &url).await;
        store.close().await.unwrap();
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        }
    }
    assert_eq!(StoreUrl::existing("memory:").unwrap_err().kind(), OpenErrorKind::InvalidUrl);
}

#[tokio::test]
async fn stores_open_in_spawned_tasks() {
    let url: StoreUrl = "memory:".parse().unwrap();
    let shared = url.clone();
    let opened = tokio::spawn(async move { (open("memory:").await.unwrap(), shared.open().await.unwrap()) });
    let (one, other) = opened.await.unwrap();
    let (one, other) = (format!("{one:?}"), format!("{other:?} {url:?}"));
    assert_eq!(one, "DynDriver(session_store_memory::store::MemoryStore)");
    assert_eq!(other, format!("{one} StoreUrl {{ scheme: \"memory\", .. }}"));
}

#[test]
fn url_is_read_from_a_configuration_file() {
    let read = serde_json::from_str::<StoreUrl>;
    assert_eq!(read(r#""sled:/data/sled""#).unwrap().scheme(), "sled");
    let error = read(r#""sled:/data/sled?scam=1""#).unwrap_err().to_string();
    assert!(error.starts_with("option `scam` is unknown; did you mean `scan`?"), "{error}");
}
