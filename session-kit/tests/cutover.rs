//! Real applications of PHP, Django and Express log a user in. Our application behind the same cookies serves that user, and its
//! logout ends the old session as configured. Software that cannot be installed is skipped with a red line.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use session_kit::handover::node::express;
use session_kit::handover::php::session::Handler;
use session_kit::handover::python::django;
use session_kit::handover::{Cookies, Entries, Files, PhpFiles, RedisEntries, Rows, SqliteRows, Value};
use session_kit::prelude::*;
use session_kit::{EndOld, HandoverSource};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ureq::Agent;
use xtask_debian::{Programs, Running, npm, pip};

const PHP: Programs = Programs { packages: &["php-cli"], programs: &[("php", "usr/bin/php8.2")] };
const DJANGO: &str = "Django==5.2.19";
const EXPRESS: [&str; 5] = [
    "express@5.3.0",
    "express-session@1.19.0",
    "session-file-store@1.5.0",
    "connect-redis@10.0.0",
    "redis@6.3.1",
];

/// Half a day, longer than a test.
const AGE: std::time::Duration = std::time::Duration::from_secs(43_200);

/// A running old application, with a folder for its sessions.
struct Old {
    folder: TempDir,
    port: u16,
    _server: Running,
}

impl Old {
    /// Starts a program that prints `ready` and its port.
    fn start(folder: TempDir, command: &mut Command) -> Self {
        let log = folder.path().join("log.txt");
        let server = Running::start(command, &log, folder.path(), &["ready "]).unwrap();
        let said = std::fs::read_to_string(&log).unwrap();
        let (_, port) = said.split_once("ready ").unwrap();
        let port = port.split_whitespace().next().unwrap().parse().unwrap();
        Self { folder, port, _server: server }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn get(&self, agent: &Agent, path: &str) -> String {
        text(agent, self.port, path)
    }
}

fn text(agent: &Agent, port: u16, path: &str) -> String {
    agent.get(format!("http://127.0.0.1:{port}{path}")).call().unwrap().body_mut().read_to_string().unwrap()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cutover").join(name)
}

/// The installed system, or a red line.
fn or_skipped<T>(found: std::io::Result<T>, what: &str) -> Option<T> {
    found.inspect_err(|error| eprintln!("\x1b[31mSKIPPED: {what} cannot be installed: {error}\x1b[0m")).ok()
}

/// Our application, on a port of its own. Browsers send it the cookies of the old one.
struct New {
    port: u16,
    sessions: Sessions,
    runtime: Runtime,
}

impl New {
    fn start<S: HandoverSource<Old = Value>>(
        source: S,
        end: EndOld,
        user: &'static str,
        forget: Option<HeaderValue>,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let (port, sessions) = runtime.block_on(async {
            let builder = Sessions::builder(session_kit::open("memory:").await.unwrap());
            let builder = builder.handover(source, move |old: Value, session: &Session| {
                let Some(user) = old.get(user).and_then(Value::as_text) else { return Ok(false) };
                session.login(user)?;
                session.insert("tea", &old.get("tea").and_then(Value::as_integer).unwrap_or(0))?;
                Ok(true)
            });
            let sessions = builder.end_old(end).build().unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let cookie = CookieConfig::development(address).build().unwrap();
            let logout = async |session: Session| -> Result<Response, session_kit::Error> {
                session.destroy("logout").await?;
                let mut response = "bye".into_response();
                response.headers_mut().extend(forget.map(|cookie| (SET_COOKIE, cookie)));
                Ok(response)
            };
            let app = Router::new().route("/", get(who)).route("/logout", get(logout));
            let app = app.layer(SessionLayer::new(sessions.clone(), cookie));
            tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
            (address.port(), sessions)
        });
        Self { port, sessions, runtime }
    }

    fn get(&self, agent: &Agent, path: &str) -> String {
        text(agent, self.port, path)
    }

    fn count(&self, user: &str) -> usize {
        self.runtime.block_on(self.sessions.of_user(user)).unwrap().len()
    }
}

async fn who(session: Session) -> Result<String, session_kit::Error> {
    let user = session.user()?.unwrap_or_else(|| "nobody".to_owned());
    Ok(format!("{user} {}", session.get::<i64>("tea")?.unwrap_or(0)))
}

/// The value of a cookie that the client has.
fn cookie(agent: &Agent, name: &str) -> Option<String> {
    let jar = agent.cookie_jar_lock();
    jar.iter().find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// A user who logs in at the old application, moves to ours and logs out there, with each way to end the old session.
fn cut_over<S: HandoverSource<Old = Value>>(
    old: &Old,
    name: &str,
    user: (&'static str, &str),
    source: impl Fn() -> S,
) {
    let (key, user) = user;
    for (end, after_takeover, after_logout) in [
        (EndOld::Never, "alice", "alice"),
        (EndOld::Now, "nobody", "nobody"),
        (EndOld::AtLogout, "alice", "nobody"),
    ] {
        let new = New::start(source(), end, key, None);
        let agent = Agent::new_with_defaults();
        assert_eq!(new.get(&agent, "/"), "nobody 0");
        assert_eq!(old.get(&agent, "/login"), "in");
        assert_eq!(old.get(&agent, "/who"), "alice");
        let id = cookie(&agent, name).unwrap();

        assert_eq!(new.get(&agent, "/"), format!("{user} 2"), "{end:?}");
        let ours = cookie(&agent, &format!("session-{}", new.port)).unwrap();
        assert!(!ours.contains(&id) && !id.contains(&ours), "the id is a new one");
        assert_eq!(new.get(&agent, "/"), format!("{user} 2"), "{end:?}");
        assert_eq!(old.get(&agent, "/who"), after_takeover, "{end:?}");

        assert_eq!(new.get(&agent, "/logout"), "bye");
        assert_eq!(new.get(&agent, "/"), "nobody 0", "{end:?}");
        assert_eq!(old.get(&agent, "/who"), after_logout, "{end:?}");
        assert_eq!(new.count(user), 0);
    }
    once(old, (key, user), source());
}

/// Requests at once with the same old cookie: one takes the session over, and the others have none.
fn once<S: HandoverSource<Old = Value>>(old: &Old, (key, user): (&'static str, &str), source: S) {
    let new = New::start(source, EndOld::Now, key, None);
    for round in 1..=4 {
        let agent = Agent::new_with_defaults();
        old.get(&agent, "/login");
        let header = {
            let jar = agent.cookie_jar_lock();
            jar.iter()
                .map(|cookie| format!("{}={}", cookie.name(), cookie.value()))
                .collect::<Vec<_>>()
                .join("; ")
        };
        let barrier = std::sync::Barrier::new(4);
        let request = || {
            barrier.wait();
            let url = format!("http://127.0.0.1:{}/", new.port);
            let agent = Agent::new_with_defaults();
            agent.get(url).header("cookie", &header).call().unwrap().body_mut().read_to_string().unwrap()
        };
        std::thread::scope(|scope| {
            let requests: Vec<_> = (0..4).map(|_| scope.spawn(request)).collect();
            let served = format!("{user} 2");
            let answers: Vec<_> = requests.into_iter().map(|request| request.join().unwrap()).collect();
            let (taken, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| *answer == served);
            assert_eq!(taken.len(), 1, "{others:?}");
            assert!(others.iter().all(|answer| answer == "nobody 0"), "{others:?}");
        });
        assert_eq!(new.count(user), round);
    }
}

#[test]
fn users_of_php_move_over() {
    let Some(php) = or_skipped(PHP.find(), "PHP") else { return };
    let folder = tempfile::tempdir().unwrap();
    let sessions = folder.path().join("sessions");
    std::fs::create_dir(&sessions).unwrap();
    let port = xtask_debian::free_port(8_000).unwrap();
    let log = folder.path().join("log.txt");
    let mut command = Command::new(&php[0]);
    command.args(["-n", "-d", &format!("session.save_path={}", sessions.display())]);
    command.args(["-S", &format!("127.0.0.1:{port}")]).arg(script("app.php"));
    let server = Running::start(&mut command, &log, folder.path(), &["started"]).unwrap();
    let old = Old { folder, port, _server: server };
    let source = || PhpFiles::new(&sessions, "PHPSESSID").handler(Handler::Php);
    cut_over(&old, "PHPSESSID", ("user", "alice"), source);
}

fn start_django(engine: &str) -> Option<Old> {
    let packages = or_skipped(pip(&[DJANGO]), "Django")?;
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).arg(script("app.py")).arg(folder.path());
    command.arg(format!("django.contrib.sessions.backends.{engine}"));
    Some(Old::start(folder, &mut command))
}

fn of_django() -> django::Sessions {
    django::Sessions::new(["django secret"])
}

/// The session holds the key of the user's row.
const DJANGO_USER: (&str, &str) = ("_auth_user_id", "1");

#[test]
fn users_of_django_with_a_database_move_over() {
    let Some(old) = start_django("db") else { return };
    let database = old.path().join("db.sqlite3");
    let source = || SqliteRows::new(&database, Rows::django(of_django(), "sessionid"));
    cut_over(&old, "sessionid", DJANGO_USER, source);
}

#[test]
fn users_of_django_with_files_move_over() {
    let Some(old) = start_django("file") else { return };
    cut_over(&old, "sessionid", DJANGO_USER, || Files::django(old.path(), of_django(), "sessionid", AGE));
}

#[test]
fn users_of_django_with_signed_cookies_move_over() {
    let Some(old) = start_django("signed_cookies") else { return };
    let source = Cookies::django(of_django(), "sessionid");
    let new = New::start(source.clone(), EndOld::AtLogout, DJANGO_USER.0, source.removal());
    let agent = Agent::new_with_defaults();
    old.get(&agent, "/login");
    let kept = cookie(&agent, "sessionid").unwrap();
    assert_eq!(new.get(&agent, "/"), "1 2");
    assert_eq!(old.get(&agent, "/who"), "alice");
    new.get(&agent, "/logout");
    assert_eq!(cookie(&agent, "sessionid"), None);
    assert_eq!((&*old.get(&agent, "/who"), &*new.get(&agent, "/")), ("nobody", "nobody 0"));
    // A copy of the cookie is not taken over again.
    let header = format!("sessionid={kept}");
    let url = format!("http://127.0.0.1:{}/", new.port);
    let answer = Agent::new_with_defaults().get(url).header("cookie", header).call().unwrap();
    assert_eq!(answer.into_body().read_to_string().unwrap(), "nobody 0");
    once(&old, DJANGO_USER, source);
}

fn start_express(folder: TempDir, place: &str, kind: &str) -> Option<Old> {
    let packages = or_skipped(npm(&EXPRESS), "Express")?;
    let mut command = Command::new("node");
    command.arg(script("app.cjs")).arg(packages).args([place, kind]);
    Some(Old::start(folder, &mut command))
}

fn of_express() -> express::Cookie {
    express::Cookie::new(["express secret"])
}

#[test]
fn users_of_express_with_files_move_over() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = folder.path().join("sessions");
    let Some(old) = start_express(folder, sessions.to_str().unwrap(), "files") else { return };
    let source = || Files::session_file_store(&sessions, of_express(), "connect.sid", AGE);
    cut_over(&old, "connect.sid", ("user", "alice"), source);
}

#[test]
fn users_of_express_with_redis_move_over() {
    let redis = match xtask_redis::Server::start(xtask_redis::Options::default()) {
        Ok(server) => server,
        Err(error) => return eprintln!("\x1b[31mSKIPPED: Redis cannot be started: {error}\x1b[0m"),
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(old) = start_express(folder, &redis.url(), "redis") else { return };
    let source = || RedisEntries::new(&redis.url(), Entries::express(of_express(), "connect.sid")).unwrap();
    cut_over(&old, "connect.sid", ("user", "alice"), source);
}
