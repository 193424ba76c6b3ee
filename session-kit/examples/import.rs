//! Imports the live sessions of an older application into a store, before the new application starts:
//!
//! ```console
//! import --system django --from sqlite:/srv/app/db.sqlite3 --secrets /run/secrets/django \
//!     --to sqlite:///var/lib/app/sessions.db --user _auth_user_id --keep cart --keep theme=design --dry-run
//! ```
//!
//! Each old session becomes a session of its user with the values that `--keep` names, which waits for its client. The application
//! finds it if the `handover` of its `Sessions` has `Rows::django(..).into_system()` as its source, or that of the other
//! system. An import may be killed and run again. The old store stays as it is.
#![allow(clippy::print_stdout, reason = "the report of a command")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use indicatif::ProgressBar;
use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use session_kit::handover::perl::cgi_session::Serializer as CgiSerializer;
use session_kit::handover::perl::dancer::Serializer as DancerSerializer;
use session_kit::handover::php::laravel::{Encrypter, Serialization};
use session_kit::handover::php::session::Handler;
use session_kit::handover::python::django::Sessions as Django;
use session_kit::handover::rust::cookie::Security;
use session_kit::handover::rust::{actix_session, async_session, tower_sessions};
use session_kit::handover::{
    Entries, Files, Import, Imported, ListedSource, Moment, PhpFiles, PostgresRows, RedisEntries, Rows,
    SqliteRows, Value, node::express,
};
use session_kit::{Session, Sessions, open};

type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
#[command(about = "Imports the live sessions of an older application")]
struct Arguments {
    /// The system that wrote the sessions
    #[arg(long)]
    system: System,
    /// Where they are: files:DIRECTORY, sqlite:PATH, postgres://... or redis://...
    #[arg(long)]
    from: String,
    /// The table, or the whole prefix of the keys, if it is not the usual one
    #[arg(long)]
    place: Option<String>,
    /// How long a session of the old system lives without a request, in seconds, where its store does not say; the default of
    /// that system, if it has one
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<u64>,
    /// The setting session.serialize_handler of PHP
    #[arg(long, default_value = "php")]
    handler: HandlerName,
    /// How many levels of directories session.save_path of PHP names
    #[arg(long, default_value_t = 0)]
    levels: usize,
    /// The setting session.serialization of Laravel
    #[arg(long, default_value = "php")]
    serialization: SerializationName,
    /// The setting SESSION_COOKIE_NAME of Django, which begins the names of its files
    #[arg(long, default_value = "sessionid")]
    cookie: String,
    /// A file with the secrets of the old application, one a line, the newest first
    #[arg(long)]
    secrets: Option<PathBuf>,
    /// The store of the new application, as a URL of `session_kit::open`
    #[arg(long)]
    to: String,
    /// The path of the user's id in an old session; sessions without it are not imported
    #[arg(long)]
    user: String,
    /// A value to keep, by its path, and its new name
    #[arg(long, value_name = "PATH[=NAME]")]
    keep: Vec<String>,
    /// How long imported sessions wait for their clients at most, in hours
    #[arg(long, default_value_t = 336)]
    hours: u32,
    /// Reads and counts, and stores nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum System {
    Django,
    DjangoCache,
    ConnectRedis,
    ConnectSqlite3,
    BetterSqlite3,
    ConnectPgSimple,
    SessionFileStore,
    Laravel,
    Symfony,
    Php,
    Rails,
    Rack,
    FlaskSession,
    CgiSession,
    Catalyst,
    Plack,
    Dancer,
    DancerJson,
    TowerSessions,
    ActixSession,
    AsyncSession,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HandlerName {
    Php,
    PhpBinary,
    PhpSerialize,
    Igbinary,
    Msgpack,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SerializationName {
    Php,
    Json,
}

impl Arguments {
    fn handler(&self) -> Handler {
        match self.handler {
            HandlerName::Php => Handler::Php,
            HandlerName::PhpBinary => Handler::PhpBinary,
            HandlerName::PhpSerialize => Handler::PhpSerialize,
            HandlerName::Igbinary => Handler::Igbinary,
            HandlerName::Msgpack => Handler::Msgpack,
        }
    }

    fn serialization(&self) -> Serialization {
        match self.serialization {
            SerializationName::Php => Serialization::Php,
            SerializationName::Json => Serialization::Json,
        }
    }

    /// The idle lifetime, where the store in `scheme` does not say when a session ends. `None`: it never does.
    fn idle(&self, scheme: &str) -> Result<Option<Duration>, Failure> {
        let default = match (scheme, self.system) {
            ("files", System::Php | System::Symfony) => Some(1_440),
            ("files", System::Django) => Some(1_209_600),
            ("files", System::SessionFileStore) => Some(3_600),
            ("files" | "sqlite" | "postgres" | "postgresql", System::Laravel) => Some(7_200),
            ("files", System::Plack | System::Dancer | System::DancerJson)
            | ("sqlite" | "postgres" | "postgresql", System::Rails) => None,
            _ if self.lifetime.is_some() => return Err("this store says itself when sessions end".into()),
            _ => None,
        };
        Ok(self.lifetime.or(default).map(Duration::from_secs))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(imported) => {
            report(&imported);
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_failure(&*error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "the error of a command")]
fn print_failure(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    eprintln!("error: {text}");
}

fn report(imported: &Imported) {
    println!("imported        {:>9}", imported.imported);
    println!("known before    {:>9}", imported.known);
    println!("ended           {:>9}", imported.expired);
    println!("without a user  {:>9}", imported.refused);
    for (reason, count) in &imported.malformed {
        println!("malformed       {count:>9}  {reason}");
    }
}

async fn run(arguments: &Arguments) -> Result<Imported, Failure> {
    let secrets = match &arguments.secrets {
        Some(path) => std::fs::read_to_string(path)?.lines().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let (scheme, rest) = arguments.from.split_once(':').ok_or("--from has no scheme")?;
    let idle = arguments.idle(scheme)?;
    let imported = match scheme {
        "files" if arguments.system == System::Php || arguments.system == System::Symfony => {
            let files = PhpFiles::new(rest, "").handler(arguments.handler()).levels(arguments.levels);
            import(arguments, &files.max_lifetime(idle.ok_or(NO_LIFETIME)?)).await?
        }
        "files" => import(arguments, &files(arguments, rest, &secrets, idle)?).await?,
        "sqlite" => import(arguments, &SqliteRows::new(rest, rows(arguments, &secrets, idle)?)).await?,
        "postgres" | "postgresql" => {
            import(arguments, &PostgresRows::new(&arguments.from, rows(arguments, &secrets, idle)?)?).await?
        }
        "redis" | "redis+unix" => {
            import(arguments, &RedisEntries::new(&arguments.from, entries(arguments, &secrets)?)?).await?
        }
        _ => return Err("--from begins with files:, sqlite:, postgres: or redis:".into()),
    };
    match imported.total() {
        0 => Err("no session was found: --from or --place may be wrong".into()),
        _ => Ok(imported),
    }
}

/// Without a lifetime, a source that needs one would take every session for an ended one.
const NO_LIFETIME: &str = "this store needs --lifetime";

// A listing needs no cookie, so the sources here have no names of cookies and no secrets to check them with.
fn files(
    arguments: &Arguments,
    directory: &str,
    secrets: &[String],
    idle: Option<Duration>,
) -> Result<Files, Failure> {
    let time = || idle.ok_or(NO_LIFETIME);
    let of_idle = |files: Files| match idle {
        Some(time) => files.lifetime(time),
        None => files,
    };
    Ok(match arguments.system {
        System::Django => {
            Files::django(directory, Django::new(secrets.to_vec()), arguments.cookie.as_str(), time()?)
        }
        System::DjangoCache => Files::django_cache(directory, "", "", 1),
        System::SessionFileStore => Files::session_file_store(directory, express(), "", time()?),
        System::Laravel => {
            Files::laravel(directory, laravel(secrets)?, arguments.serialization(), "", time()?)
        }
        System::FlaskSession => Files::flask_session(directory, ""),
        System::CgiSession => Files::cgi_session(directory, "", CgiSerializer::Detect),
        System::Plack => of_idle(Files::plack(directory, "")),
        System::Dancer => of_idle(Files::dancer(directory, "", DancerSerializer::Yaml)),
        System::DancerJson => of_idle(Files::dancer(directory, "", DancerSerializer::Json)),
        _ => return Err("this system has no files".into()),
    })
}

fn rows(arguments: &Arguments, secrets: &[String], idle: Option<Duration>) -> Result<Rows, Failure> {
    let rows = match arguments.system {
        System::Django => Rows::django(Django::new(secrets.to_vec()), ""),
        System::DjangoCache => {
            let table = arguments.place.as_deref().ok_or("--place names the table of the cache")?;
            Rows::django_cache(table, "", "", 1)
        }
        System::ConnectSqlite3 => Rows::connect_sqlite3(express(), ""),
        System::BetterSqlite3 => Rows::better_sqlite3(express(), ""),
        System::ConnectPgSimple => Rows::connect_pg_simple(express(), ""),
        System::Laravel => {
            let time = idle.ok_or(NO_LIFETIME)?;
            Rows::laravel(laravel(secrets)?, arguments.serialization(), "", time)
        }
        System::Symfony => Rows::symfony("", arguments.handler()),
        System::Rails => match idle {
            Some(time) => Rows::rails("").idle("updated_at", Moment::Utc, time),
            None => Rows::rails(""),
        },
        System::FlaskSession => Rows::flask_session(""),
        System::CgiSession => Rows::cgi_session("", CgiSerializer::Detect),
        System::Catalyst => Rows::catalyst(""),
        System::TowerSessions => Rows::tower_sessions(tower_sessions::cookie(Security::Plain), ""),
        System::AsyncSession => Rows::async_session(async_session::cookie("", Security::Plain), ""),
        _ => return Err("this system has no table".into()),
    };
    Ok(arguments.place.iter().fold(rows, |rows, table| rows.table(table)))
}

fn entries(arguments: &Arguments, secrets: &[String]) -> Result<Entries, Failure> {
    let entries = match arguments.system {
        System::Django | System::DjangoCache => Entries::django("", "", 1),
        System::ConnectRedis => Entries::express(express(), ""),
        System::Laravel => {
            let prefix = "laravel_database_laravel_cache_";
            Entries::laravel(laravel(secrets)?, arguments.serialization(), "", prefix)
        }
        System::Php => Entries::php("", arguments.handler()),
        System::Symfony => Entries::symfony("", arguments.handler()),
        System::Rails => Entries::rails("", ""),
        System::Rack => Entries::rack("", "rack:session:"),
        System::FlaskSession => Entries::flask_session(""),
        System::Catalyst => Entries::catalyst(""),
        System::TowerSessions => Entries::tower_sessions(tower_sessions::cookie(Security::Plain), ""),
        System::ActixSession => Entries::actix_session(actix_session::cookie(Security::Plain), ""),
        System::AsyncSession => Entries::async_session(async_session::cookie("", Security::Plain), ""),
        _ => return Err("this system does not use Redis".into()),
    };
    Ok(arguments.place.iter().fold(entries, |entries, prefix| entries.prefix(prefix)))
}

fn express() -> express::Cookie {
    express::Cookie::new(Vec::<String>::new())
}

fn laravel(secrets: &[String]) -> Result<Encrypter, Failure> {
    Ok(Encrypter::new(secrets.iter().map(String::as_str))?)
}

async fn import(arguments: &Arguments, source: &impl ListedSource) -> Result<Imported, Failure> {
    let sessions = Sessions::new(open(&arguments.to).await?)?;
    let bar = ProgressBar::new_spinner();
    let map = |old: Value, session: &Session| {
        let Some(user) = at(&old, &arguments.user).and_then(text) else { return Ok(false) };
        session.login(&user)?;
        for keep in &arguments.keep {
            let (path, name) = keep.split_once('=').unwrap_or((keep, keep));
            if let Some(value) = at(&old, path) {
                session.insert(name, &Kept(value))?;
            }
        }
        Ok(true)
    };
    let progress = |done: &Imported| {
        bar.set_position(done.total());
        bar.set_message(format!("{} sessions, {} imported", done.total(), done.imported));
    };
    let longest = Duration::from_secs(u64::from(arguments.hours) * 3_600);
    let imported =
        Import::new(longest).dry_run(arguments.dry_run).run(source, &sessions, map, progress).await;
    bar.finish_and_clear();
    Ok(imported?)
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

fn text(value: &Value) -> Option<String> {
    match value.as_text() {
        Some(text) => Some(text.to_owned()).filter(|text| !text.is_empty()),
        None => value.as_integer().map(|number| number.to_string()),
    }
}

/// A value as JSON would have it.
struct Kept<'v>(&'v Value);

impl Serialize for Kept<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::List(items) | Value::Tuple(items) => serializer.collect_seq(items.iter().map(Kept)),
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    let name = match key.as_text() {
                        Some(text) => text.to_owned(),
                        None => {
                            text(key).ok_or_else(|| S::Error::custom("map key of a kind that is not kept"))?
                        }
                    };
                    map.serialize_entry(&name, &Kept(value))?;
                }
                map.end()
            }
            Value::Shared(_, of) => Kept(of).serialize(serializer),
            other => match other.as_text() {
                Some(text) => serializer.serialize_str(text),
                None => Err(S::Error::custom("value of a kind that is not kept")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[tokio::test]
    async fn command_counts_and_imports_once() -> Result<(), Failure> {
        let directory = tempfile::tempdir()?;
        let old = directory.path().join("old.db");
        let end = 4_102_444_800_000_i64;
        let table = Connection::open(&old)?;
        table.execute_batch("CREATE TABLE visitors (sid PRIMARY KEY, expired, sess)")?;
        for (sid, end, sess) in [
            ("one", end, r#"{"cookie":{},"user":"alice","cart":{"items":[1,2.5,null,true]}}"#),
            ("two", end, r#"{"cookie":{},"user":7}"#),
            ("three", end, r#"{"cookie":{}}"#),
            ("four", 1_000, r#"{"cookie":{},"user":"late"}"#),
            ("five", end, r#"{"cookie":{},"user":"#),
        ] {
            table.execute("INSERT INTO visitors VALUES (?1, ?2, ?3)", rusqlite::params![sid, end, sess])?;
        }
        let from = format!("sqlite:{}", old.display());
        let to = format!("sqlite:{}", directory.path().join("new.db").display());
        let words = ["import", "--system", "connect-sqlite3", "--from", &from, "--place", "visitors"];
        let kept = ["--to", &to, "--user", "user", "--keep", "cart.items=items", "--keep", "theme"];
        let mut arguments = Arguments::try_parse_from(words.iter().chain(&kept))?;
        for (dry_run, imported, known) in [(true, 2, 0), (false, 2, 0), (false, 0, 2), (true, 0, 2)] {
            arguments.dry_run = dry_run;
            let counts = run(&arguments).await?;
            assert_eq!(
                (counts.imported, counts.known, counts.expired, counts.refused),
                (imported, known, 1, 1)
            );
            assert_eq!(counts.malformed.values().sum::<u64>(), 1);
        }
        arguments.system = System::Rack;
        assert_eq!(run(&arguments).await.unwrap_err().to_string(), "this system has no table");
        arguments.from = "/srv/old".into();
        assert!(run(&arguments).await.unwrap_err().to_string().contains("--from"));
        Ok(())
    }
    /// The counts of one call: imported, known before, ended.
    async fn counts(words: &[&str]) -> Result<(u64, u64, u64), Failure> {
        let arguments = Arguments::try_parse_from([&["import", "--user", "user"][..], words].concat())?;
        let counts = run(&arguments).await?;
        assert!(counts.malformed.is_empty(), "{counts:?}");
        Ok((counts.imported, counts.known, counts.expired))
    }

    #[tokio::test]
    async fn sessions_that_ended_in_the_old_system_stay_ended() -> Result<(), Failure> {
        let directory = tempfile::tempdir()?;
        let old = directory.path().join("old");
        std::fs::create_dir(&old)?;
        let (from, to) = (
            format!("files:{}", old.display()),
            format!("sqlite:{}", directory.path().join("new.db").display()),
        );
        let php = ["--system", "php", "--from", &from, "--to", &to];
        let none = counts(&php).await.unwrap_err().to_string();
        assert!(none.starts_with("no session was found"), "{none}");

        let put = |name: &str, text: &str, age: u64| {
            let path = old.join(name);
            std::fs::write(&path, text)?;
            #[expect(clippy::disallowed_methods, reason = "the time of a file is that of the system")]
            let changed = std::time::SystemTime::now() - Duration::from_secs(age);
            std::fs::File::open(&path)?.set_modified(changed)
        };
        put("sess_new", "user|s:5:\"alice\";", 1_000)?;
        put("sess_old", "user|s:3:\"bob\";", 3_000)?;
        // `session.gc_maxlifetime` is 1,440 s by default, whatever `--hours` is.
        assert_eq!(counts(&[&php[..], &["--hours", "500"]].concat()).await?, (1, 0, 1));
        assert_eq!(counts(&[&php[..], &["--lifetime", "3600"]].concat()).await?, (1, 1, 0));
        let rows = ["--system", "django", "--from", "sqlite:/absent", "--to", &to, "--lifetime", "60"];
        let error = counts(&rows).await.unwrap_err().to_string();
        assert_eq!(error, "this store says itself when sessions end");
        Ok(())
    }

    #[tokio::test]
    async fn settings_of_the_old_system_are_options() -> Result<(), Failure> {
        let directory = tempfile::tempdir()?;
        let old = directory.path().join("old");
        std::fs::create_dir_all(old.join("a/b"))?;
        let to = format!("sqlite:{}", directory.path().join("new.db").display());
        let from = format!("files:{}", old.display());
        let call = async |system: &str, more: &[&str]| {
            counts(&[&["--system", system, "--from", &from, "--to", &to][..], more].concat()).await
        };
        let session = "a:1:{s:4:\"user\";s:5:\"alice\";}";
        std::fs::write(old.join("a/b/sess_abc"), session)?;
        assert_eq!(call("php", &["--handler", "php-serialize", "--levels", "2"]).await?, (1, 0, 0));
        std::fs::write(old.join("json"), r#"{"user":"alice"}"#)?;
        let key = directory.path().join("key");
        std::fs::write(&key, "0123456789abcdef0123456789abcdef\n")?;
        let key = key.display().to_string();
        let more = ["--serialization", "json", "--secrets", &key];
        assert_eq!(call("laravel", &more).await?, (1, 0, 0));
        std::fs::remove_file(old.join("json"))?;
        std::fs::write(old.join("one.json"), r#"{"user":"alice"}"#)?;
        std::fs::write(old.join("two.yml"), "--- \nuser: alice\n")?;
        assert_eq!(call("dancer", &[]).await?, (1, 0, 0));
        assert_eq!(call("dancer-json", &[]).await?, (1, 0, 0));
        Ok(())
    }
}
