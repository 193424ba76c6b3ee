//! Verbs that read disturb no application: they need no right to write and wait for no lock.

use rusqlite::Connection;

use crate::{Stage, handle, run, run_in};

#[tokio::test]
async fn reading_verbs_need_only_select_on_postgres() {
    let rules = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let server = xtask_postgres::Server::start(xtask_postgres::Options::new().accept(rules)).unwrap();
    let mut stage = Stage::new(|_| format!("{}?sslmode=disable", server.url())).await;
    let id = stage.session(Some("alice")).await;
    server.sql("CREATE ROLE watcher LOGIN PASSWORD 'hunter2'; GRANT SELECT ON sessions TO watcher").unwrap();
    let url = format!("{}?sslmode=disable", server.url_of("watcher"));
    let run_as = |verb: &str, more: &[&str], password: &str| {
        let arguments = [&[verb, &*url, "--password-env", "P"], more].concat();
        let ran = run_in(&[("P", password)], &arguments, "");
        assert!(!ran.err.contains("hunter") && !ran.out.contains("hunter"), "{}", ran.err);
        ran
    };
    for (verb, more) in
        [("ls", &[][..]), ("count", &[]), ("stat", &[]), ("user", &["alice"]), ("show", &[&*handle(id)])]
    {
        let ran = run_as(verb, more, "hunter2");
        assert_eq!((ran.code, &*ran.err), (0, ""), "{verb}");
    }
    let ended = run_as("end", &[&handle(id)], "hunter2");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("permission denied"), "{}", ended.err);
    assert!(stage.lives(id).await);
    assert_eq!(run_as("ls", &[], "hunter3").code, 1);
}

#[tokio::test]
async fn missing_table_has_its_own_code_and_is_not_created() {
    let server = xtask_postgres::Server::start(xtask_postgres::Options::new()).unwrap();
    let url = format!("{}?sslmode=disable&create_table=true", server.url());
    let ran = run(&["ls", &url], "");
    assert_eq!((ran.code, &*ran.out), (3, ""), "{}", ran.err);
    assert!(ran.err.contains("table \"sessions\" is missing"), "{}", ran.err);
    assert_eq!(server.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'sessions'").unwrap(), "0");
}

#[tokio::test]
async fn reading_verbs_wait_for_no_writer_of_sqlite() {
    let mut stage = Stage::sqlite().await;
    let id = stage.session(Some("alice")).await;
    let writer = Connection::open(stage.directory.path().join("sessions.db")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    for (verb, more) in
        [("ls", &[][..]), ("count", &[]), ("stat", &[]), ("user", &["alice"]), ("show", &[&*handle(id)])]
    {
        assert_eq!(stage.run(verb, more).code, 0, "{verb}");
    }
    writer.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test]
async fn store_of_one_process_is_refused_while_it_is_open() {
    let mut stage =
        Stage::new(|directory| format!("sled:{}", directory.path().join("store").display())).await;
    stage.session(Some("alice")).await;
    let ran = stage.run("ls", &[]);
    assert_eq!((ran.code, &*ran.out), (1, ""));
    assert!(ran.err.contains("is open elsewhere"), "{}", ran.err);
    session_kit::Driver::close(stage.sessions.driver()).await.unwrap();
    assert_eq!(stage.json("user", &["alice"]).len(), 1);
}

#[tokio::test]
async fn epochs_of_users_are_an_option() {
    let mut stage = Stage::sqlite().await;
    let driver = stage.sessions.driver().clone();
    stage.sessions = session_kit::Sessions::builder(driver).user_epochs(true).build().unwrap();
    let id = stage.session(Some("alice")).await;
    assert_eq!(stage.json("user", &["alice", "--user-epochs"]).len(), 1);
    assert_eq!(stage.run("end-user", &["alice", "--user-epochs"]).code, 0);
    assert!(!stage.lives(id).await);
    let id = stage.session(Some("alice")).await;
    assert!(stage.lives(id).await, "a later login lives");
    assert_eq!(stage.json("show", &[&handle(id), "--user-epochs"]).len(), 1);
}
