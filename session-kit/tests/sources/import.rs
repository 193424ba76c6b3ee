//! Bulk import, also killed and repeated.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::Commands as _;
use rusqlite::Connection;
use session_kit::handover::php::session::Handler;
use session_kit::handover::{
    Entries, Files, Import, Imported, ListedSource, PhpFiles, PostgresRows, RedisEntries, Rows, SqliteRows,
    System, Value, node::express,
};
use session_kit::session_core::{Clock as _, Driver, DynDriver, SystemClock};
use session_kit::{OldId, RequestInfo, Session, Sessions};

use crate::{EXPRESS_SECRET, assert_hides};

/// More than one page of a listing.
const USERS: usize = 1_200;
const DAY: Duration = Duration::from_secs(86_400);
/// The number and the directory for the child that is killed.
const CHILD: &str = "SESSION_KIT_TEST_IMPORT";

fn rows() -> Rows {
    Rows::connect_sqlite3(express::Cookie::new([EXPRESS_SECRET]), "connect.sid")
}

/// A database of Express with a session of each user, and four that are not imported.
fn old_database(directory: &Path) -> SqliteRows {
    let path = directory.join("old.db");
    let mut connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE sessions (sid PRIMARY KEY, expired, sess)").unwrap();
    let all = connection.transaction().unwrap();
    let end = 4_102_444_800_000_i64;
    let add = |sid: &str, expired: i64, sess: &str| {
        all.execute("INSERT INTO sessions VALUES (?1, ?2, ?3)", rusqlite::params![sid, expired, sess])
            .unwrap();
    };
    for user in 0..USERS {
        add(&format!("id-{user}"), end, &format!(r#"{{"cookie":{{}},"user":"user-{user}"}}"#));
    }
    add("id-anonymous", end, r#"{"cookie":{}}"#);
    add("id-ended", 1_000, r#"{"cookie":{},"user":"late"}"#);
    add("id-damaged", end, r#"{"cookie":{},"user":"#);
    add("id-damaged-too", end, r#"{"cookie":{},"us"#);
    all.commit().unwrap();
    SqliteRows::new(path, rows())
}

fn map(old: Value, session: &Session) -> Result<bool, session_kit::Error> {
    let Some(user) = old.get("user").and_then(Value::as_text) else { return Ok(false) };
    session.login(user)?;
    Ok(true)
}

/// The application after the import.
async fn application(directory: &Path) -> Sessions {
    let url = format!("sqlite://{}", directory.join("new.db").display());
    let store = session_kit::open(&url).await.unwrap();
    let source = System::new("sid", |_| Ok(None));
    Sessions::builder(store).handover(source, map).build().unwrap()
}

async fn import(directory: &Path, sessions: &Sessions, dry_run: bool) -> Imported {
    let source = SqliteRows::new(directory.join("old.db"), rows());
    Import::new(DAY).dry_run(dry_run).run(&source, sessions, map, |_| ()).await.unwrap()
}

/// The user of the first request of a client.
async fn user_of(sessions: &Sessions, id: &str) -> Option<String> {
    let session = sessions.load(RequestInfo::default().old(Some(OldId::new(id)))).await.unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    session.user().unwrap()
}

#[tokio::test]
async fn import_counts_outcomes_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let source = old_database(directory.path());
    let sessions = application(directory.path()).await;
    let dry = import(directory.path(), &sessions, true).await;
    assert_eq!(user_of(&sessions, "id-0").await, None, "a dry run has stored something");
    let mut shown = Vec::new();
    let progress = |done: &Imported| shown.push(done.total());
    let first = Import::new(DAY).run(&source, &sessions, map, progress).await.unwrap();
    assert_eq!(first, dry);
    assert_eq!((first.imported, first.known, first.expired, first.refused), (USERS as u64, 0, 1, 1));
    // Two sessions with one reason.
    assert_eq!(first.malformed.values().copied().collect::<Vec<_>>(), [2], "{first:?}");
    assert!(!format!("{first:?}").contains("user"), "{first:?}");
    assert_eq!(first.total(), USERS as u64 + 4);
    assert!(shown.is_sorted() && shown.len() > 30 && shown.last() == Some(&first.total()));

    assert_eq!(user_of(&sessions, "id-7").await.as_deref(), Some("user-7"));
    let again = import(directory.path(), &sessions, false).await;
    assert_eq!((again.imported, again.known), (0, USERS as u64));
    assert_eq!(user_of(&sessions, "id-7").await, None, "taken over twice");
    assert_eq!(sessions.of_user("user-7").await.unwrap().len(), 1);
}

#[tokio::test]
async fn killed_import_is_completed_by_the_next() {
    #[expect(clippy::disallowed_methods, reason = "a child of this test knows its task by it")]
    if let Some(task) = std::env::var_os(CHILD) {
        return child(task.to_str().unwrap()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    drop(old_database(directory.path()));
    let mut taken = 0;
    for (round, kill_at) in [1, 300, 701, 1_100].into_iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "import::killed_import_is_completed_by_the_next", "--nocapture"])
            .env(CHILD, format!("{kill_at} {}", directory.path().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "parked"), "the child ended early");
        child.kill().unwrap();
        child.wait().unwrap();
        // A client comes between two runs, and is not imported again.
        let sessions = application(directory.path()).await;
        for client in 0..20 {
            taken += u64::from(user_of(&sessions, &format!("id-{}", 20 * round + client)).await.is_some());
        }
    }
    assert!(taken > 0);
    let sessions = application(directory.path()).await;
    let last = import(directory.path(), &sessions, false).await;
    assert_eq!(last.imported + last.known, USERS as u64);
    assert!(last.known > 1_000 && last.imported > 0, "{last:?}");
    let mut users = 0;
    for user in 0..USERS {
        let found = user_of(&sessions, &format!("id-{user}")).await;
        assert!(found.is_none() || found == Some(format!("user-{user}")));
        users += u64::from(found.is_some());
    }
    assert_eq!(users + taken, USERS as u64);
    for user in 0..USERS {
        assert_eq!(sessions.of_user(&format!("user-{user}")).await.unwrap().len(), 1, "{user}");
    }
}

/// Imports until some sessions were mapped, and waits there for SIGKILL: others are being read and stored.
async fn child(task: &str) {
    let (kill_at, directory) = task.split_once(' ').unwrap();
    let (kill_at, directory) = (kill_at.parse::<usize>().unwrap(), Path::new(directory));
    let sessions = application(directory).await;
    let source = SqliteRows::new(directory.join("old.db"), rows());
    let mapped = AtomicUsize::new(0);
    let stopping = |old: Value, session: &Session| {
        if mapped.fetch_add(1, Ordering::Relaxed) + 1 == kill_at {
            println!("\nparked");
            loop {
                std::thread::park();
            }
        }
        map(old, session)
    };
    let _ = Import::new(DAY).run(&source, &sessions, stopping, |_| ()).await.unwrap();
}

/// All ids of a source.
pub(crate) async fn ids(source: &impl ListedSource) -> BTreeSet<String> {
    let (mut found, mut from) = (BTreeSet::new(), None);
    loop {
        let page = source.list(from.as_deref()).await.unwrap();
        found.extend(page.ids.iter().map(|id| id.as_str().unwrap().to_owned()));
        match page.next {
            Some(next) => from = Some(next),
            None => return found,
        }
    }
}

#[tokio::test]
async fn sources_list_their_sessions_and_ends() {
    let expected: BTreeSet<_> = (0..USERS).map(|number| format!("id-{number}")).collect();
    let server = xtask_redis::Server::start(xtask_redis::Options::new()).unwrap();
    let mut redis = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut commands = redis::pipe();
    for id in &expected {
        let _ = commands.pset_ex(format!("a*b:{id}"), "user|s:5:\"alice\";", 3_600_000).ignore();
    }
    let _ = commands.set("a*b:id-1_LOCK", "host").set("axb:other", "x").ignore();
    commands.exec(&mut redis).unwrap();
    let entries = Entries::php("PHPSESSID", Handler::Php).prefix("a*b:");
    let source = RedisEntries::new(&server.url(), entries).unwrap();
    assert_eq!(ids(&source).await, expected);
    let (_, end) = source.read_until(&OldId::new("id-0")).await.unwrap().unwrap();
    let now = Duration::from_millis(SystemClock.now().as_millis()).as_secs_f64();
    assert!((1.0..=3_600.0).contains(&(end.unwrap() - now)));
    let _: () = redis.persist("a*b:id-2").unwrap();
    assert_eq!(source.read_until(&OldId::new("id-2")).await.unwrap().unwrap().1, None);

    let server = xtask_postgres::Server::start(xtask_postgres::Options::new()).unwrap();
    let tables = format!(
        r#"CREATE TABLE "session" (sid varchar PRIMARY KEY, sess json, expire timestamp);
           INSERT INTO "session" SELECT 'id-' || number, '{{"cookie":{{}}}}', now() + interval '1 hour'
           FROM generate_series(0, {USERS} - 1) AS number"#
    );
    server.sql(&tables).unwrap();
    let rows = Rows::connect_pg_simple(express::Cookie::new([EXPRESS_SECRET]), "connect.sid");
    let source = PostgresRows::new(&server.url(), rows).unwrap();
    assert_eq!(ids(&source).await, expected);
    assert!(source.read_until(&OldId::new("id-0")).await.unwrap().unwrap().1.is_some());

    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    for name in ["sess_abc", "sess_abd", "other"] {
        std::fs::write(deep.join(name), "user|s:5:\"alice\";").unwrap();
    }
    std::fs::write(directory.path().join("sess_top"), "").unwrap();
    let two: BTreeSet<_> = ["abc".to_owned(), "abd".to_owned()].into();
    let source = PhpFiles::new(directory.path(), "PHPSESSID").levels(2);
    assert_eq!(ids(&source).await, two);
    assert!(source.read_until(&OldId::new("abc")).await.unwrap().unwrap().1.is_some());
    let source = Files::new(&deep, "sess_", "", System::new("id", |_| Ok(None)));
    assert_eq!(ids(&source).await, two);
    let absent = PhpFiles::new(directory.path().join("absent"), "PHPSESSID");
    assert_hides(&absent.list(None).await.unwrap_err(), &["alice"]);
}

/// For each source and each driver.
#[test]
fn import_is_send() {
    fn spawnable(_: impl Future + Send) {}
    fn each<S: ListedSource, D: Driver>(source: &S, sessions: &Sessions<D>) {
        spawnable(Import::new(DAY).run(source, sessions, |_, _| Ok(true), |_| ()));
    }
    let _: fn(&SqliteRows, &Sessions<DynDriver>) = each;
}
