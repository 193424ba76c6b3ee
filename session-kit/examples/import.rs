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
use session_kit::handover::php::laravel::{Encrypter, Serialization};
use session_kit::handover::php::session::Handler;
use session_kit::handover::python::django::Sessions as Django;
use session_kit::handover::{
    Entries, Files, Import, Imported, ListedSource, PhpFiles, PostgresRows, RedisEntries, Rows, SqliteRows,
    Value, node::express,
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
    /// The table, or the prefix of the keys, if it is not the usual one
    #[arg(long)]
    place: Option<String>,
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
    /// How long sessions wait for their clients at most, in hours; the lifetime of those without an end, if it is shorter
    #[arg(long, default_value_t = 336)]
    hours: u32,
    /// Reads and counts, and stores nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum System {
    Django,
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
    let longest = Duration::from_secs(u64::from(arguments.hours) * 3_600);
    let (scheme, rest) = arguments.from.split_once(':').ok_or("--from has no scheme")?;
    match scheme {
        "files" if arguments.system == System::Php || arguments.system == System::Symfony => {
            import(arguments, &PhpFiles::new(rest, "").max_lifetime(longest)).await
        }
        "files" => import(arguments, &files(arguments.system, rest, &secrets, longest)?).await,
        "sqlite" => import(arguments, &SqliteRows::new(rest, rows(arguments, &secrets, longest)?)).await,
        "postgres" | "postgresql" => {
            import(arguments, &PostgresRows::new(&arguments.from, rows(arguments, &secrets, longest)?)?).await
        }
        "redis" | "redis+unix" => {
            import(arguments, &RedisEntries::new(&arguments.from, entries(arguments, &secrets)?)?).await
        }
        _ => Err("--from begins with files:, sqlite:, postgres: or redis:".into()),
    }
}

// A listing needs no cookie, so the sources here have no names of cookies and no secrets to check them with.
fn files(system: System, directory: &str, secrets: &[String], longest: Duration) -> Result<Files, Failure> {
    Ok(match system {
        System::Django => Files::django(directory, Django::new(secrets.to_vec()), "sessionid", longest),
        System::SessionFileStore => Files::session_file_store(directory, express(), "", longest),
        System::Laravel => Files::laravel(directory, laravel(secrets)?, Serialization::Php, "", longest),
        System::FlaskSession => Files::flask_session(directory, ""),
        System::CgiSession => Files::cgi_session(directory, "", CgiSerializer::Detect),
        _ => return Err("this system has no files".into()),
    })
}

fn rows(arguments: &Arguments, secrets: &[String], longest: Duration) -> Result<Rows, Failure> {
    let rows = match arguments.system {
        System::Django => Rows::django(Django::new(secrets.to_vec()), ""),
        System::ConnectSqlite3 => Rows::connect_sqlite3(express(), ""),
        System::BetterSqlite3 => Rows::better_sqlite3(express(), ""),
        System::ConnectPgSimple => Rows::connect_pg_simple(express(), ""),
        System::Laravel => Rows::laravel(laravel(secrets)?, Serialization::Php, "", longest),
        System::Symfony => Rows::symfony("", Handler::Php),
        System::Rails => Rows::rails("").idle("updated_at", session_kit::handover::Moment::Utc, longest),
        System::FlaskSession => Rows::flask_session(""),
        System::CgiSession => Rows::cgi_session("", CgiSerializer::Detect),
        _ => return Err("this system has no table".into()),
    };
    Ok(arguments.place.iter().fold(rows, |rows, table| rows.table(table)))
}

fn entries(arguments: &Arguments, secrets: &[String]) -> Result<Entries, Failure> {
    let entries = match arguments.system {
        System::Django => Entries::django("", "", 1),
        System::ConnectRedis => Entries::express(express(), ""),
        System::Laravel => Entries::laravel(laravel(secrets)?, Serialization::Php, "", "laravel_cache:"),
        System::Php | System::Symfony => Entries::php("", Handler::Php),
        System::Rails => Entries::rails("", ""),
        System::Rack => Entries::rack("", "rack:session:"),
        System::FlaskSession => Entries::flask_session(""),
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
}
