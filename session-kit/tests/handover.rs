//! A real PHP logs a user in, the application takes the session over, and its logout ends the session of PHP. Skipped where
//! `php` cannot be installed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use session_kit::handover::{PhpFiles, Value};
use session_kit::prelude::*;
use session_kit::test_kit::Client;
use session_kit::{EndOld, HandoverSource as _, OldId, SessionsBuilder};
use tempfile::TempDir;
use xtask_debian::Programs;

const NAME: &str = "PHPSESSID";

/// Logs in as a script does, and prints the id.
const LOGIN: &str = r#"session_start(); session_regenerate_id(); $_SESSION['user'] = 'alice';
$_SESSION['cart'] = ['tea' => 2]; $id = session_id(); session_write_close(); echo $id;"#;

/// Has the session open until a line comes, then writes.
const OPEN: &str = r#"session_id($argv[1]); session_start(); echo "open\n"; fgets(STDIN);
$_SESSION['cart']['tea'] = 3; session_write_close(); echo "closed\n";"#;

/// Waits for the lock, and prints the user.
const WHO: &str = r#"session_id($argv[1]); session_start(); echo $_SESSION['user'] ?? 'nobody';"#;

/// Ends the session when a line comes.
const LOGOUT: &str = r#"session_id($argv[1]); session_start(); echo "open\n"; fgets(STDIN);
session_destroy(); echo "closed\n";"#;

/// PHP with a directory of sessions.
struct Php {
    program: PathBuf,
    sessions: TempDir,
}

impl Php {
    fn start() -> Option<Self> {
        let php = Programs { packages: &["php-cli"], programs: &[("php", "usr/bin/php8.2")] }.find();
        let found = php.inspect_err(|error| eprintln!("\x1b[31mSKIPPED: {error}\x1b[0m")).ok()?;
        Some(Self { program: found.into_iter().next()?, sessions: tempfile::tempdir().unwrap() })
    }

    fn command(&self, program: &str, id: &str) -> Command {
        let mut php = Command::new(&self.program);
        let path = format!("session.save_path={}", self.sessions.path().display());
        php.args(["-n", "-d", "session.use_cookies=0", "-d", "session.cache_limiter=", "-d"]).arg(path);
        php.args(["-r", program, "--", id]);
        php
    }

    fn run(&self, program: &str, id: &str) -> String {
        let output = self.command(program, id).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn files(&self) -> PhpFiles {
        PhpFiles::new(self.sessions.path(), NAME)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.sessions.path().join(format!("sess_{id}"))
    }
}

/// A script that runs.
struct Script(Child, ChildStdin, BufReader<ChildStdout>);

impl Script {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut script = Self(child, input, BufReader::new(output));
        assert_eq!(script.line(), "open");
        script
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.2.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn go_on(&mut self) {
        writeln!(self.1).unwrap();
        assert_eq!(self.line(), "closed");
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn application(builder: SessionsBuilder<DynDriver>, files: PhpFiles, end: EndOld) -> Router {
    application_with(builder, files, end, CookieState::default())
}

fn application_with(
    builder: SessionsBuilder<DynDriver>,
    files: PhpFiles,
    end: EndOld,
    cookie: CookieState,
) -> Router {
    let builder = builder.handover(files, |old: Value, session: &Session| {
        let Some(user) = old.get("user").and_then(Value::as_text) else { return Ok(false) };
        session.login(user)?;
        let tea = old.get("cart").and_then(|cart| cart.get("tea")).and_then(Value::as_integer);
        session.insert("tea", &tea.unwrap_or(0))?;
        Ok(true)
    });
    let who = async |session: Session| -> Result<String, session_kit::Error> {
        let user = session.user()?.unwrap_or_else(|| "nobody".to_owned());
        Ok(format!("{user} {}", session.get::<i64>("tea")?.unwrap_or(0)))
    };
    let logout = async |session: Session| -> Result<&str, session_kit::Error> {
        session.destroy("logout").await?;
        Ok("bye")
    };
    let sessions = builder.end_old(end).build().unwrap();
    let routes = Router::new().route("/", get(who)).route("/logout", get(logout));
    routes.layer(SessionLayer::new(sessions, cookie))
}

async fn store() -> SessionsBuilder<DynDriver> {
    Sessions::builder(session_kit::open("memory:").await.unwrap())
}

#[tokio::test]
async fn users_of_php_stay_logged_in_until_they_log_out() {
    let Some(php) = Php::start() else { return };
    for (end, stays_taken, stays_closed) in
        [(EndOld::Never, true, true), (EndOld::Now, false, false), (EndOld::AtLogout, true, false)]
    {
        let id = php.run(LOGIN, "");
        let mut client = Client::new(application(store().await, php.files(), end));
        assert_eq!(client.get("/").await.text(), "nobody 0");
        client.set_cookie(NAME, &id);
        assert_eq!(client.get("/").await.text(), "alice 2", "{end:?}");
        let same = client.cookie_names().filter(|name| client.cookie(name) == Some(&*id)).count();
        assert_eq!((client.cookie_names().count(), same), (2, 1), "the id of ours is a new one");
        assert_eq!(php.file(&id).exists(), stays_taken, "{end:?}");
        assert_eq!(php.run(WHO, &id), if stays_taken { "alice" } else { "nobody" });
        assert_eq!(client.get("/").await.text(), "alice 2");
        if !stays_taken {
            // `WHO` has made an empty one.
            std::fs::remove_file(php.file(&id)).unwrap();
        }

        client.get("/logout").await;
        assert_eq!(php.file(&id).exists(), stays_closed, "{end:?}");
        assert_eq!(php.run(WHO, &id), if stays_closed { "alice" } else { "nobody" });
        // The cookie of PHP is still sent.
        assert_eq!(client.cookie(NAME), Some(&*id));
        assert_eq!(client.get("/").await.text(), "nobody 0", "{end:?}");
    }
}

#[tokio::test]
async fn cookie_of_php_becomes_the_cookie_of_the_application() {
    let Some(php) = Php::start() else { return };
    let id = php.run(LOGIN, "");
    let cookie = CookieConfig::new().name(NAME).secure(false).build().unwrap();
    let builder = store().await.keep_old_id(true);
    let mut client = Client::new(application_with(builder, php.files(), EndOld::AtLogout, cookie));
    client.set_cookie(NAME, &id);
    assert_eq!(client.get("/").await.text(), "alice 2");
    assert_ne!(client.cookie(NAME), Some(&*id));
    assert_eq!(client.get("/").await.text(), "alice 2");
    client.get("/logout").await;
    assert!(!php.file(&id).exists());
    assert_eq!(client.cookie(NAME), None);
    client.set_cookie(NAME, &id);
    assert_eq!(client.get("/").await.text(), "nobody 0");
}

#[tokio::test]
async fn takeover_and_logout_wait_for_the_lock_of_a_script() {
    let Some(php) = Php::start() else { return };
    let id = php.run(LOGIN, "");
    let mut client = Client::new(application(store().await, php.files(), EndOld::AtLogout));
    client.set_cookie(NAME, &id);
    let mut script = Script::start(php.command(OPEN, &id));
    let waits = tokio::time::timeout(Duration::from_millis(200), client.get("/")).await;
    assert!(waits.is_err(), "the lock of the script was not respected");
    script.go_on();
    // The last output of the script.
    assert_eq!(client.get("/").await.text(), "alice 3");

    let mut script = Script::start(php.command(OPEN, &id));
    let mut other = client.clone();
    let logout = tokio::spawn(async move { other.get("/logout").await.text().to_owned() });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!logout.is_finished() && php.file(&id).exists());
    script.go_on();
    assert_eq!(logout.await.unwrap(), "bye");
    assert!(!php.file(&id).exists());
}

#[tokio::test]
async fn logout_in_php_wins_over_a_takeover_that_waits() {
    let Some(php) = Php::start() else { return };
    let id = php.run(LOGIN, "");
    let files = php.files();
    let mut script = Script::start(php.command(LOGOUT, &id));
    let old = OldId::new(&id);
    let read = tokio::spawn(async move { files.read(&old).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!read.is_finished());
    script.go_on();
    assert_eq!(read.await.unwrap(), None);
}

#[tokio::test]
async fn files_that_are_no_live_sessions_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let files = PhpFiles::new(directory.path(), NAME).lock_timeout(Duration::from_millis(50));
    let put = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name)
    };
    let id = |id: &str| OldId::new(id);
    let stale = put("sess_stale", "user|s:5:\"alice\";");
    let hour_ago = std::fs::metadata(&stale).unwrap().modified().unwrap() - Duration::from_secs(3_600);
    std::fs::File::open(&stale).unwrap().set_modified(hour_ago).unwrap();
    assert_eq!(files.read(&id("stale")).await.unwrap(), None);
    assert!(
        files.clone().max_lifetime(Duration::from_secs(7_200)).read(&id("stale")).await.unwrap().is_some()
    );

    std::os::unix::fs::symlink(&stale, directory.path().join("sess_link")).unwrap();
    std::fs::create_dir(directory.path().join("sess_directory")).unwrap();
    for name in ["link", "directory", "absent", "../sess_stale", "", "a/b"] {
        assert_eq!(files.read(&id(name)).await.unwrap(), None, "{name}");
        files.end(&id(name)).await.unwrap();
    }
    assert!(Path::new(&stale).exists());

    put("sess_damaged", "user|s:500:\"alice\";");
    let error = files.read(&id("damaged")).await.unwrap_err();
    assert_eq!(error.kind(), session_kit::StoreErrorKind::Corrupt);
    let long = files.clone().max_file_bytes(4).read(&id("damaged")).await.unwrap_err();
    assert!(long.to_string().contains("longer than its bound"), "{long}");

    // A script that never ends.
    let locked = std::fs::File::open(put("sess_locked", "")).unwrap();
    locked.lock().unwrap();
    let error = files.end(&id("locked")).await.unwrap_err();
    assert_eq!(error.kind(), session_kit::StoreErrorKind::Timeout);
    let mut client = Client::new(application(store().await, files.clone(), EndOld::Now));
    client.set_cookie(NAME, "locked");
    assert_eq!(client.get("/").await.status, 503);
    drop(locked);
    assert_eq!(client.get("/").await.text(), "nobody 0");

    std::fs::create_dir_all(directory.path().join("d/e")).unwrap();
    put("d/e/sess_deep", "user|s:5:\"alice\";");
    assert!(files.levels(2).read(&id("deep")).await.unwrap().is_some());
}
