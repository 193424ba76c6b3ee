//! Rows of PostgreSQL.

use session_kit::handover::php::session::Handler;
use session_kit::handover::python::django::Sessions;
use session_kit::handover::{Moment, PostgresRows, Rows, Value, node::express};
use session_kit::{HandoverSource as _, OldId, StoreErrorKind};
use xtask_postgres::{Options, Server};

use crate::{
    DJANGO_SECRET, EXPRESS_ID, EXPRESS_SECRET, assert_kind, bytes_of, express_request, reads_and_ends,
    request, text_of, user_of,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn connect_pg_simple() -> Rows {
    Rows::connect_pg_simple(express::Cookie::new([EXPRESS_SECRET]), "connect.sid")
}

fn django() -> Rows {
    Rows::django(Sessions::new([DJANGO_SECRET]), "sessionid")
}

#[tokio::test]
async fn rows_of_each_system_are_read_and_ended() {
    // A zone that is far from UTC.
    let server = Server::start(Options::new().set("timezone", "Pacific/Auckland")).unwrap();
    let source = |rows| PostgresRows::new(&server.url(), rows).unwrap();
    let session = r#"{"cookie":{"path":"/"},"user":"alice"}"#;
    let row = text_of("django/db-basic.txt");
    let symfony = hex(&bytes_of("php/basic.sess"));
    let tables = format!(
        r#"CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text NOT NULL,
             expire_date timestamp with time zone NOT NULL);
           INSERT INTO django_session VALUES ('alice0xx', '{row}', now() + interval '1 hour'),
             ('alice1xx', '{row}', now() - interval '1 second');
           CREATE TABLE "session" (sid varchar NOT NULL PRIMARY KEY, sess json NOT NULL,
             expire timestamp(6) NOT NULL);
           INSERT INTO "session" VALUES ('{EXPRESS_ID}', '{session}', to_timestamp(extract(epoch FROM now()) + 60)),
             ('ended', '{session}', to_timestamp(extract(epoch FROM now()) - 1));
           CREATE TABLE sessions (id bigserial PRIMARY KEY, session_id varchar NOT NULL, data text,
             updated_at timestamp(6) NOT NULL);
           INSERT INTO sessions (session_id, data, updated_at) VALUES
             ('2::2ae13a23cf5fc0a026450aec63cdc32dd41652c660dadc421aa955f0f13e5f21', '{session}',
              (now() AT TIME ZONE 'UTC') - interval '59 minutes');
           CREATE SCHEMA app;
           CREATE TABLE app.sessions (sess_id VARCHAR(128) PRIMARY KEY, sess_data BYTEA NOT NULL,
             sess_lifetime INTEGER NOT NULL, sess_time INTEGER NOT NULL);
           INSERT INTO app.sessions VALUES ('symfony', '\x{symfony}', 2000000000, 0), ('ended', '\x{symfony}', 1, 0)"#
    );
    server.sql(&tables).unwrap();

    let of_django = source(django());
    assert_eq!(user_of(&of_django, &request("sessionid=alice1xx")).await, None);
    let of_express = source(connect_pg_simple());
    assert!(of_express.read(&OldId::new("ended")).await.unwrap().is_none());
    let hour = std::time::Duration::from_secs(3_600);
    let rails = Rows::rails("_myapp_session");
    let of_rails = source(rails.clone().idle("updated_at", Moment::Utc, hour));
    let by_cookie = request("_myapp_session=5a296a3780e09a559712b540727d5fa0");
    assert_eq!(user_of(&source(rails.idle("updated_at", Moment::Utc, hour / 2)), &by_cookie).await, None);
    let of_symfony = source(Rows::symfony("PHPSESSID", Handler::Php).table("app.sessions"));
    assert!(of_symfony.read(&OldId::new("ended")).await.unwrap().is_none());

    assert!(of_django.read(&OldId::new("alice0xx")).await.unwrap().is_some());
    of_django.end(&OldId::new("alice0xx")).await.unwrap();
    assert!(of_django.read(&OldId::new("alice0xx")).await.unwrap().is_none());
    reads_and_ends("connect-pg-simple", &of_express, &express_request()).await;
    reads_and_ends("activerecord-session_store", &of_rails, &by_cookie).await;
    let id = OldId::new("symfony");
    assert!(of_symfony.read(&id).await.unwrap().is_some());
    of_symfony.end(&id).await.unwrap();
    assert!(of_symfony.read(&id).await.unwrap().is_none());
    assert_eq!(server.sql("SELECT count(*) FROM app.sessions").unwrap(), "1");
}

#[tokio::test]
async fn failures_of_a_server_are_typed_and_hide_ids() {
    let mut server = Server::start(Options::new()).unwrap();
    let id = "an-id-that-no-error-shows";
    let tables = format!(
        r#"CREATE TABLE "session" (sid varchar PRIMARY KEY, sess text NOT NULL, expire timestamp);
           INSERT INTO "session" VALUES ('{id}', 'hunter2', now() + interval '1 hour');
           CREATE ROLE reader LOGIN; GRANT SELECT ON "session" TO reader"#
    );
    server.sql(&tables).unwrap();
    let source = PostgresRows::new(&server.url(), connect_pg_simple()).unwrap();
    assert_kind(&source, StoreErrorKind::Corrupt).await;
    server.sql(r#"UPDATE "session" SET sess = repeat('a', 5000000)"#).unwrap();
    assert_kind(&source, StoreErrorKind::Corrupt).await;
    server.sql(r#"UPDATE "session" SET expire = NULL"#).unwrap();
    assert_kind(&source, StoreErrorKind::Corrupt).await;
    let reader = PostgresRows::new(&server.url_of("reader"), connect_pg_simple()).unwrap();
    let error = reader.end(&OldId::new(id)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    let missing = PostgresRows::new(&server.url(), django()).unwrap();
    assert_kind(&missing, StoreErrorKind::Misconfigured).await;

    let (locker, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    locker.batch_execute(r#"BEGIN; LOCK TABLE "session""#).await.unwrap();
    let hasty = source.clone().response_timeout(std::time::Duration::from_millis(200));
    assert_kind(&hasty, StoreErrorKind::Timeout).await;
    locker.batch_execute("ROLLBACK").await.unwrap();
    drop(locker);
    connection.await.unwrap().unwrap();
    server.kill();
    assert_kind(&source, StoreErrorKind::Unavailable).await;
    let error = PostgresRows::new("postgres://user:hunter2@[", django()).unwrap_err();
    crate::assert_hides(&error, &["hunter2"]);
    server.restart().unwrap();
    assert_eq!(source.read(&OldId::new("absent")).await.unwrap().map(|_: Value| ()), None);
}
