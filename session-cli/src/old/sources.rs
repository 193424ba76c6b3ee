//! From the options to a source of old sessions.

use std::time::Duration;

#[cfg(unix)]
use session_kit::handover::FastMmap;
use session_kit::handover::perl::cgi_session::Serializer as CgiSerializer;
use session_kit::handover::perl::dancer::Serializer as DancerSerializer;
use session_kit::handover::php::laravel::Encrypter;
use session_kit::handover::python::django::Sessions as Django;
use session_kit::handover::rust::cookie::Security;
use session_kit::handover::rust::{actix_session, async_session, axum_session, tower_sessions};
use session_kit::handover::{
    Entries, Files, Moment, PhpFiles, PostgresRows, RedisEntries, Rows, SqliteRows, node::express,
};

use super::options::{OldSystem, System, database_key};
use crate::failure::{Failure, Result};
use crate::password;

/// A source of each kind of store.
pub(crate) enum Source {
    Php(PhpFiles),
    Files(Files),
    #[cfg(unix)]
    FastMmap(FastMmap),
    Sqlite(SqliteRows),
    Postgres(PostgresRows),
    Redis(RedisEntries),
}

impl Source {
    /// The source that the options describe, with a password that stands elsewhere.
    pub(crate) fn open(old: &OldSystem, password: Option<&str>) -> Result<Self> {
        let secrets = old.secrets()?;
        let Some((scheme, rest)) = old.from.split_once(':') else {
            return Err(Failure::usage("--from has no scheme"));
        };
        let idle = old.idle(scheme)?;
        let with = |to_url: fn(&str, &str) -> String| {
            password.map_or_else(|| old.from.clone(), |password| to_url(&old.from, password))
        };
        Ok(match scheme {
            "files" if old.system == System::Php || old.system == System::Symfony => {
                let files = PhpFiles::new(rest, "").handler(old.handler()).levels(old.levels);
                Self::Php(files.max_lifetime(idle.ok_or_else(no_lifetime)?))
            }
            "files" => Self::Files(files(old, rest, &secrets, idle)?),
            #[cfg(unix)]
            "fastmmap" if old.system == System::Catalyst => Self::FastMmap(FastMmap::catalyst(rest, "")),
            "fastmmap" => {
                return Err(Failure::usage("only Catalyst has sessions in such a file, and only on Unix"));
            }
            "sqlite" => Self::Sqlite(SqliteRows::new(rest, rows(old, &secrets, idle)?)),
            "postgres" | "postgresql" => {
                let url = with(|url, password| password::as_option(url, "password", password));
                Self::Postgres(PostgresRows::new(&url, rows(old, &secrets, idle)?)?)
            }
            "redis" => {
                Self::Redis(RedisEntries::new(&with(password::beside_user), entries(old, &secrets, idle)?)?)
            }
            "redis+unix" => {
                let url = with(|url, password| password::as_option(url, "pass", password));
                Self::Redis(RedisEntries::new(&url, entries(old, &secrets, idle)?)?)
            }
            _ => {
                return Err(Failure::usage(
                    "--from begins with files:, fastmmap:, sqlite:, postgres: or redis:",
                ));
            }
        })
    }
}

/// Without a lifetime, a source that needs one would take every session for an ended one.
fn no_lifetime() -> Failure {
    Failure::usage("this store needs --lifetime")
}

// A listing needs no cookie, so the sources here have no names of cookies and no secrets to check them with.
fn files(old: &OldSystem, directory: &str, secrets: &[String], idle: Option<Duration>) -> Result<Files> {
    let time = || idle.ok_or_else(no_lifetime);
    let of_idle = |files: Files| match idle {
        Some(time) => files.lifetime(time),
        None => files,
    };
    Ok(match old.system {
        System::Django => {
            Files::django(directory, Django::new(secrets.to_vec()), old.cookie.as_str(), time()?)
        }
        System::DjangoCache => Files::django_cache(directory, "", "", 1),
        System::SessionFileStore => Files::session_file_store(directory, express(), "", time()?),
        System::Laravel => Files::laravel(directory, laravel(secrets)?, old.serialization()?, "", time()?),
        System::FlaskSession => Files::flask_session(directory, ""),
        System::Beaker => Files::beaker(directory, old.beaker(secrets, idle)?, "", None),
        System::CgiSession => Files::cgi_session(directory, "", CgiSerializer::Detect),
        System::Catalyst => Files::catalyst(directory, ""),
        System::ApacheSession => {
            let locks = old.locks.clone().unwrap_or_else(|| directory.into());
            of_idle(Files::apache_session(directory, locks, ""))
        }
        System::Plack => of_idle(Files::plack(directory, "")),
        System::Dancer => of_idle(Files::dancer(directory, "", DancerSerializer::Yaml)),
        System::DancerJson => of_idle(Files::dancer(directory, "", DancerSerializer::Json)),
        _ => return Err(Failure::usage("this system has no files")),
    })
}

fn rows(old: &OldSystem, secrets: &[String], idle: Option<Duration>) -> Result<Rows> {
    let rows = match old.system {
        System::Django => Rows::django(Django::new(secrets.to_vec()), ""),
        System::DjangoCache => {
            let table =
                old.place.as_deref().ok_or_else(|| Failure::usage("--place names the table of the cache"))?;
            Rows::django_cache(table, "", "", 1)
        }
        System::ConnectSqlite3 => Rows::connect_sqlite3(express(), ""),
        System::BetterSqlite3 => Rows::better_sqlite3(express(), ""),
        System::ConnectPgSimple => Rows::connect_pg_simple(express(), ""),
        System::Laravel => {
            let time = idle.ok_or_else(no_lifetime)?;
            Rows::laravel(laravel(secrets)?, old.serialization()?, "", time)
        }
        System::Symfony => Rows::symfony("", old.handler()),
        System::Rails => match idle {
            Some(time) => Rows::rails("").idle("updated_at", Moment::Utc, time),
            None => Rows::rails(""),
        },
        System::FlaskSession => Rows::flask_session(""),
        System::Beaker => Rows::beaker(old.beaker(secrets, idle)?, "", None),
        System::CgiSession => Rows::cgi_session("", CgiSerializer::Detect),
        System::Catalyst => Rows::catalyst(""),
        System::ApacheSession => Rows::apache_session(""),
        System::TowerSessions => Rows::tower_sessions(tower_sessions::cookie(Security::Plain), ""),
        System::AxumSession => {
            let cookie = axum_session::SessionCookie::new(None);
            Rows::axum_session(cookie, "", database_key(secrets)?)
        }
        System::AsyncSession => Rows::async_session(async_session::cookie("", Security::Plain), ""),
        _ => return Err(Failure::usage("this system has no table")),
    };
    Ok(old.place.iter().fold(rows, |rows, table| rows.table(table)))
}

fn entries(old: &OldSystem, secrets: &[String], idle: Option<Duration>) -> Result<Entries> {
    let entries = match old.system {
        System::Django | System::DjangoCache => Entries::django("", "", 1),
        System::ConnectRedis => Entries::express(express(), ""),
        System::Laravel => {
            let prefix = "laravel_database_laravel_cache_";
            Entries::laravel(laravel(secrets)?, old.serialization()?, "", prefix)
        }
        System::Php => Entries::php("", old.handler()),
        System::Symfony => Entries::symfony("", old.handler()),
        System::Rails => Entries::rails("", ""),
        System::Rack => Entries::rack("", "rack:session:"),
        System::FlaskSession => Entries::flask_session(""),
        System::Beaker => Entries::beaker(old.beaker(secrets, idle)?, "", None),
        System::Catalyst => Entries::catalyst(""),
        System::TowerSessions => Entries::tower_sessions(tower_sessions::cookie(Security::Plain), ""),
        System::ActixSession => Entries::actix_session(actix_session::cookie(Security::Plain), ""),
        System::AsyncSession => Entries::async_session(async_session::cookie("", Security::Plain), ""),
        _ => return Err(Failure::usage("this system does not use Redis")),
    };
    Ok(old.place.iter().fold(entries, |entries, prefix| entries.prefix(prefix)))
}

fn express() -> express::Cookie {
    express::Cookie::new(Vec::<String>::new())
}

fn laravel(secrets: &[String]) -> Result<Encrypter> {
    Encrypter::new(secrets.iter().map(String::as_str))
        .map_err(|error| Failure::usage(format!("--secrets: {error}")))
}
