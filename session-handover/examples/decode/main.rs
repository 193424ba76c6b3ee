//! Prints a session of another system in the notation of `session_handover::notation`, for support and for checks.
//!
//! `decode SYSTEM FORMAT [OPTIONS] FILE`
//!
//! | system | formats | options |
//! |---|---|---|
//! | `php` | `php`, `php_binary`, `php_serialize`, `igbinary`, `msgpack` | `--lzf` |
//! | `symfony` | `php`, `pdo` | `--id` |
//! | `laravel` | `file`, `file-json`, `cached`, `encrypted`, `cookie`, `session-cookie`, `database` | `--key`, `--name`, `--id` |
//! | `cgi-session` | `file` (the first bytes tell), `dumper`, `storable`, `yaml`, `sqlite` | `--id` |
//! | `catalyst` | `file`, `redis`, `dbi`, `fastmmap` | `--id` |
//! | `cache-fastmmap` | `fastmmap` | `--now` |
//! | `apache-session` | `file` | |
//! | `dancer`, `dancer2` | `yaml`, `json` | |
//! | `storable`, `dumper`, `yaml-pm`, `marshal`, `messagepack` (of Rails) | `value` | |
//! | `plack` | `file`, `cookie` | `--key`, `--now` |
//! | `mojolicious` | `cookie` | `--key`, `--now` |
//! | `django` | `row` (also a file), `cookie`, `cache`, `cache-row`, `cache-file`, `database` (all rows without `--id`) | `--key`, `--name`, `--now`, `--id` |
//! | `pickle` | `value` | |
//! | `flask`, `starlette` | `cookie` | `--key`, `--name`, `--now` |
//! | `flask-session` | `value`, `file`, `database`, `id` (of a signed cookie) | `--key`, `--now`, `--id` |
//! | `beaker` | `file`, `value`, `cookie` and these with `encrypted-` or `json-` before them | `--key`, `--name`, `--now` |
//! | `rack` | `cookie`, `redis` | `--key`, `--name` |
//! | `rails` | `cookie`, `cache`, `active-record` | `--key`, `--name`, `--now`, `--id` |
//! | `express` | `value` (of Redis or a file), `cookie` (its id), `connect-sqlite3`, `better-sqlite3` | `--key`, `--name`, `--id` |
//! | `cookie-session` | `cookie` | `--key`, `--name` |
//! | `iron-session` | `cookie` | `--key` (each has the id of its place, from 1), `--name`, `--now` |
//! | `tower-sessions` | `record`, `sqlx` (SQLite), `cookie` (its key, plain without `--key`), `cookie-private` | `--key`, `--name`, `--id` |
//! | `actix-session` | `value` (of Redis), `cookie-signed`, `cookie-private`, `key-signed`, `key-private` | `--key`, `--name` |
//! | `axum-session` | `value`, `sqlite` | `--key` (of the database), `--id` |
//! | `async-session` | `value`, `cookie` (of CookieStore, signed where there is a `--key`) | `--key`, `--name` |
//!
//! Beaker needs its validate_key last, and its encrypt_key before that.
//!
//! `--key TEXT` or `--key-file FILE`, newest first, may be repeated; other users of a machine can see `--key`. `--now
//! SECONDS` is the time at which ends are judged, now by default. Nothing is printed of a key. `-` as the file is the standard input.
//!
//! Keys of Rust's libraries are 64 bytes: text, `hex:DIGITS`, or `derive:TEXT` for `Key::derive_from`.
//!
//! Exit code: 0 for a session, 1 for none (damaged, ended, wrong key), 2 for a wrong call.

use std::io::Read as _;
use std::process::ExitCode;

use session_handover::php::{igbinary, laravel, lzf, msgpack, session};
use session_handover::{Bounds, Value, notation};
use session_handover::{node, perl, python, ruby, rust};

#[cfg(test)]
mod samples;

#[derive(Default)]
struct Call {
    words: Vec<String>,
    keys: Vec<String>,
    name: Option<String>,
    id: Option<String>,
    now: f64,
    lzf: bool,
}

fn call(mut arguments: impl Iterator<Item = String>) -> Result<Call, String> {
    #[expect(clippy::disallowed_methods, reason = "the program's clock, where --now gives none")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut call = Call { now: now.map_or(0.0, |now| now.as_secs_f64()), ..Call::default() };
    while let Some(argument) = arguments.next() {
        let mut next = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--key" => call.keys.push(next()?),
            "--key-file" => {
                let path = next()?;
                let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
                call.keys.push(text.trim_end().to_owned());
            }
            "--name" => call.name = Some(next()?),
            "--id" => call.id = Some(next()?),
            "--now" => call.now = next()?.parse().map_err(|_| "--now needs seconds since 1970")?,
            "--lzf" => call.lzf = true,
            option if option.starts_with("--") => return Err(format!("unknown option {option}")),
            _ => call.words.push(argument),
        }
    }
    if call.words.len() == 3 { Ok(call) } else { Err("decode SYSTEM FORMAT [OPTIONS] FILE".to_owned()) }
}

fn input(path: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = match path {
        "-" => std::io::stdin().read_to_end(&mut bytes).map(drop),
        path => std::fs::read(path).map(|read| bytes = read),
    };
    read.map(|()| bytes).map_err(|error| format!("{path}: {error}"))
}

/// One column of the row with this id.
fn row(path: &str, query: &str, id: Option<&str>) -> Result<Vec<u8>, String> {
    let id = id.ok_or("--id names the row")?;
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let found = rusqlite::Connection::open_with_flags(path, flags).and_then(|database| {
        database
            .query_row(query, [id], |row| row.get_ref(0)?.as_bytes().map(<[u8]>::to_vec).map_err(Into::into))
    });
    found.map_err(|error| format!("{path}: {error}"))
}

/// All entries of a page file: key, value, and whether it lives.
fn entries(bytes: &[u8], now: f64, bounds: &Bounds) -> Result<Value, session_handover::Error> {
    use perl::fastmmap::{Serializer, read};
    #[expect(clippy::cast_possible_truncation, reason = "a moment in seconds")]
    let now = now as i64;
    let text = |text: &str| Value::Text(text.into());
    let entries = read(bytes, None, Serializer::Storable, bounds)?.into_iter().map(|entry| {
        let live = Value::Bool(!entry.ended(now));
        let value = match entry.value {
            Ok(value) => (text("value"), value),
            Err(error) => (text("damaged"), Value::Text(error.to_string().into())),
        };
        Value::Map(vec![(text("key"), entry.key), value, (text("live"), live)])
    });
    Ok(Value::Map(vec![(text("entries"), Value::List(entries.collect()))]))
}

enum Failure {
    /// The call is wrong.
    Call(String),
    /// The session does not exist, is damaged or has ended.
    Session(session_handover::Error),
    /// The row says that the session has ended.
    Ended,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Call(text)
    }
}

impl From<session_handover::Error> for Failure {
    fn from(error: session_handover::Error) -> Self {
        Self::Session(error)
    }
}

fn decode(call: &Call) -> Result<Value, Failure> {
    let [system, format, path] = &call.words[..] else { return Err(String::new().into()) };
    let bounds = &Bounds::default();
    let name = |default: &str| call.name.clone().unwrap_or_else(|| default.to_owned());
    let handler = match format.as_str() {
        "php_binary" => session::Handler::PhpBinary,
        "php_serialize" => session::Handler::PhpSerialize,
        _ => session::Handler::Php,
    };
    let (php, json) = (laravel::Serialization::Php, laravel::Serialization::Json);
    let encrypter = || laravel::Encrypter::new(call.keys.iter().map(String::as_str));
    let id = call.id.as_deref();
    let read = || {
        let bytes = input(path)?;
        Ok::<_, Failure>(if call.lzf { lzf::decompress(&bytes, bounds)? } else { bytes })
    };
    Ok(match (system.as_str(), format.as_str()) {
        ("php", "php" | "php_binary" | "php_serialize") | ("symfony", "php") => {
            session::read(handler, &read()?, bounds)?
        }
        ("php", "igbinary") => igbinary::read_session(&read()?, bounds)?,
        ("php", "msgpack") => msgpack::read_session(&read()?, bounds)?,
        ("symfony", "pdo") => {
            let data = row(path, "SELECT sess_data FROM sessions WHERE sess_id = ?1", id)?;
            session::read(session::Handler::Php, &data, bounds)?
        }
        ("laravel", "file") => laravel::read(php, &read()?, bounds)?,
        ("laravel", "file-json") => laravel::read(json, &read()?, bounds)?,
        ("laravel", "cached") => laravel::read_cached(php, &read()?, bounds)?,
        ("laravel", "encrypted") => encrypter()?.read(php, &read()?, bounds)?,
        ("laravel", "cookie") => {
            Value::Text(encrypter()?.session_id(&name("laravel_session"), &read()?, bounds)?.into())
        }
        ("laravel", "session-cookie") => {
            let id = id.ok_or_else(|| "--id names the cookie".to_owned())?;
            encrypter()?.read_cookie(php, id, &read()?, call.now, bounds)?
        }
        ("laravel", "database") => {
            let payload = row(path, "SELECT payload FROM sessions WHERE id = ?1", id)?;
            laravel::read_row(php, &payload, bounds)?
        }
        ("cgi-session", serializer) => {
            use perl::cgi_session::Serializer;
            let serializer = match serializer {
                "file" => Serializer::Detect,
                "dumper" => Serializer::Dumper,
                "storable" => Serializer::Storable,
                "yaml" => Serializer::Yaml,
                "sqlite" => {
                    let data = row(path, "SELECT a_session FROM sessions WHERE id = ?1", id)?;
                    return Ok(perl::cgi_session::read(&data, Serializer::Detect, bounds)?);
                }
                other => return Err(format!("cgi-session has no serializer {other}").into()),
            };
            perl::cgi_session::read(&read()?, serializer, bounds)?
        }
        ("catalyst", "file") => perl::catalyst::stored(perl::catalyst::read_file(&read()?, bounds)?)?.value,
        ("catalyst", "redis") => perl::catalyst::read_text(&read()?, bounds)?,
        ("catalyst", "dbi") => {
            let data = row(path, "SELECT session_data FROM sessions WHERE id = ?1", id)?;
            perl::catalyst::read_text(&data, bounds)?
        }
        ("cache-fastmmap" | "catalyst", "fastmmap") => entries(&read()?, call.now, bounds)?,
        ("apache-session", "file") => perl::apache::read(&read()?, bounds)?,
        ("dancer" | "dancer2", "yaml" | "json") => {
            use perl::dancer::Serializer;
            let serializer = if format == "json" { Serializer::Json } else { Serializer::Yaml };
            perl::dancer::read(&read()?, serializer, bounds)?
        }
        ("plack", "file") => perl::storable::read(&read()?, bounds)?,
        ("rails", "active-record") => {
            let data = row(path, "SELECT data FROM sessions WHERE session_id = ?1", id)?;
            ruby::rails::read_row(&data, bounds)?
        }
        ("dumper", "value") => perl::dumper::read(&read()?, bounds)?,
        ("storable", "value") => perl::storable::read(&read()?, bounds)?,
        ("yaml-pm", "value") => perl::yaml::read(&read()?, bounds)?,
        ("messagepack", "value") => ruby::msgpack::read(&read()?, bounds)?,
        ("marshal", "value") => ruby::marshal::read(&read()?, bounds)?,
        ("plack", "cookie") => {
            let key = call.keys.first().ok_or_else(|| "--key is needed".to_owned())?;
            perl::plack::Cookie::new(key.as_str()).read(&read()?, call.now, bounds)?.value
        }
        ("mojolicious", "cookie") => {
            perl::mojolicious::Cookie::new(call.keys.iter().map(String::as_str))
                .read(&read()?, call.now, bounds)?
                .value
        }
        ("pickle", "value") => python::pickle::read(&read()?, bounds)?,
        ("django", format) => django(call, format, path)?,
        ("flask", "cookie") => {
            python::flask::Cookie::new(call.keys.iter().map(String::as_str))
                .name(name("session"))
                .read(&read()?, call.now, bounds)?
                .value
        }
        ("starlette", "cookie") => {
            python::starlette::Cookie::new(call.keys.iter().map(String::as_str))
                .name(name("session"))
                .read(&read()?, call.now, bounds)?
                .value
        }
        ("flask-session", format) => flask_session(call, format, path)?,
        ("beaker", format) => beaker(call, format, path)?,
        ("rack", "cookie") => {
            ruby::rack::Cookie::new(call.keys.clone()).name(name("rack.session")).read(&read()?, bounds)?
        }
        ("rack", "redis") => ruby::rack::read_redis(&read()?, bounds)?,
        ("rails", "cookie") => {
            let keys = call.keys.iter().map(String::as_str);
            ruby::rails::Cookie::new(name("_myapp_session").as_str(), keys)
                .read(&read()?, call.now, bounds)?
                .value
        }
        ("express" | "cookie-session" | "iron-session", _) => node(call, bounds)?,
        ("tower-sessions" | "actix-session" | "axum-session" | "async-session", _) => rust(call, bounds)?,
        ("rails", "cache") => ruby::rails_cache::read(&read()?, bounds)?.value,
        _ => return Err(unknown(call)),
    })
}

fn unknown(call: &Call) -> Failure {
    let [system, format, _] = &call.words[..] else { return String::new().into() };
    format!("{system} has no format {format}: see the table at the top of this example").into()
}

/// A session and its end. `live`: where the row alone says whether it has ended.
struct Row {
    data: Value,
    end: Value,
    live: Option<bool>,
}

/// The rows of a table, or the session of one row: a query for id, end and session, and how a session and its end are read.
fn rows(
    call: &Call,
    query: &str,
    read: impl Fn(&[u8], Value) -> Result<Row, session_handover::Error>,
) -> Result<Value, Failure> {
    use rusqlite::types::ValueRef;
    let path = &call.words[2];
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let table = rusqlite::Connection::open_with_flags(path, flags).and_then(|database| {
        let mut statement = database.prepare(query)?;
        let rows = statement.query_map([], |row| {
            let end = match row.get_ref(1)? {
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Real(number) => Value::Float(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into()),
                _ => Value::Null,
            };
            Ok((row.get::<_, String>(0)?, end, row.get_ref(2)?.as_bytes()?.to_vec()))
        })?;
        rows.collect::<Result<Vec<_>, _>>()
    });
    let text = |text: &str| Value::Text(text.into());
    let mut all = Vec::new();
    for (id, end, data) in table.map_err(|error| format!("{path}: {error}"))? {
        if call.id.as_ref().is_some_and(|wanted| *wanted != id) {
            continue;
        }
        let read = read(&data, end.clone());
        if call.id.is_some() {
            return Ok(read?.data);
        }
        let (name, row) = match read {
            Ok(row) => ("data", row),
            Err(error) => ("damaged", Row { data: Value::Text(error.to_string().into()), end, live: None }),
        };
        let mut entry = vec![(text("id"), text(&id)), (text("expires"), row.end), (text(name), row.data)];
        entry.extend(row.live.map(|live| (text("live"), Value::Bool(live))));
        all.push(Value::Map(entry));
    }
    match &call.id {
        Some(id) => Err(format!("{path}: no row {id}").into()),
        None => Ok(Value::Map(vec![(text("rows"), Value::List(all))])),
    }
}

fn node(call: &Call, bounds: &Bounds) -> Result<Value, Failure> {
    use node::{cookie_session, express, iron_session};
    let [system, format, path] = &call.words[..] else { return Err(unknown(call)) };
    let name = |default: &str| call.name.clone().unwrap_or_else(|| default.to_owned());
    let session = |data: &[u8], end: Value| Ok(Row { data: express::read(data, bounds)?, end, live: None });
    Ok(match (system.as_str(), format.as_str()) {
        ("express", "value") => express::read(&input(path)?, bounds)?,
        ("express", "cookie") => {
            let cookie = express::Cookie::new(call.keys.clone()).name(name("connect.sid"));
            Value::Text(cookie.session_id(&input(path)?, bounds)?.into())
        }
        ("express", "connect-sqlite3") => rows(call, "SELECT sid, expired, sess FROM sessions", session)?,
        ("express", "better-sqlite3") => rows(call, "SELECT sid, expire, sess FROM sessions", session)?,
        ("cookie-session", "cookie") => cookie_session::Cookie::new(call.keys.clone())
            .name(name("session"))
            .read(&input(path)?, bounds)?,
        ("iron-session", "cookie") => {
            let first = call.keys.first().ok_or_else(|| "--key is needed".to_owned())?;
            let mut cookie = iron_session::Cookie::new(name("session"), first)?;
            for (index, key) in call.keys.iter().enumerate().skip(1) {
                cookie = cookie.password((index + 1).to_string(), key)?;
            }
            cookie.read(&input(path)?, call.now, bounds)?.value
        }
        _ => return Err(unknown(call)),
    })
}

fn rust(call: &Call, bounds: &Bounds) -> Result<Value, Failure> {
    use rust::cookie::{Cookie, Key, Security};
    use rust::{actix_session, async_session, axum_session, tower_sessions};
    let [system, format, path] = &call.words[..] else { return Err(unknown(call)) };
    let key = || {
        let Some(text) = call.keys.first() else { return Ok(None) };
        if let Some(master) = text.strip_prefix("derive:") {
            return Ok::<_, Failure>(Some(Key::derive_from(master.as_bytes())?));
        }
        let Some(digits) = text.strip_prefix("hex:") else { return Ok(Some(Key::new(text.as_bytes())?)) };
        let bytes = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
        let bytes: Option<Vec<u8>> = bytes.collect();
        Ok(Some(Key::new(&bytes.ok_or_else(|| "--key hex: needs digits".to_owned())?)?))
    };
    let needed = || Ok::<_, Failure>(key()?.ok_or_else(|| "--key is needed".to_owned())?);
    let signed = || Ok::<_, Failure>(key()?.map_or(Security::Plain, Security::Signed));
    let text = |cookie: Cookie| {
        let cookie = match &call.name {
            Some(name) => cookie.name(name),
            None => cookie,
        };
        Ok::<_, Failure>(cookie.open(&input(path)?, bounds)?)
    };
    Ok(match (system.as_str(), format.as_str()) {
        ("tower-sessions", "record") => tower_sessions::read(&input(path)?, bounds)?.value,
        ("tower-sessions", "sqlx") => {
            rows(call, "SELECT id, expiry_date, data FROM tower_sessions", |data, end| {
                let record = tower_sessions::read(data, bounds)?;
                Ok(Row { data: record.value, end, live: Some(record.expires > call.now) })
            })?
        }
        ("tower-sessions", "cookie") => Value::Text(text(tower_sessions::cookie(signed()?))?.into()),
        ("tower-sessions", "cookie-private") => {
            Value::Text(text(tower_sessions::cookie(Security::Private(needed()?)))?.into())
        }
        ("actix-session", "value") => actix_session::read(&input(path)?, bounds)?,
        ("actix-session", "cookie-signed" | "cookie-private" | "key-signed" | "key-private") => {
            let key = needed()?;
            let security =
                if format.ends_with("signed") { Security::Signed(key) } else { Security::Private(key) };
            let text = text(actix_session::cookie(security))?;
            if format.starts_with("key") {
                Value::Text(text.into())
            } else {
                actix_session::read(text.as_bytes(), bounds)?
            }
        }
        ("axum-session", "value") => axum_session::read(&input(path)?, bounds)?.value,
        ("axum-session", "sqlite") => {
            let query = "SELECT session FROM sessions WHERE id = ?1";
            let data = row(path, query, call.id.as_deref())?;
            match (key()?, &call.id) {
                (Some(key), Some(id)) => axum_session::read_sealed(&key, id, &data, bounds)?.value,
                _ => axum_session::read(&data, bounds)?.value,
            }
        }
        ("async-session", "value") => async_session::read(&input(path)?, bounds)?.value,
        ("async-session", "cookie") => {
            let text = text(async_session::cookie("sid", signed()?))?;
            async_session::read_cookie(text.as_bytes(), bounds)?.value
        }
        _ => return Err(unknown(call)),
    })
}

fn django(call: &Call, format: &str, path: &str) -> Result<Value, Failure> {
    use python::{django, django_cache};
    let bounds = &Bounds::default();
    let mut sessions = django::Sessions::new(call.keys.iter().map(String::as_str));
    if let Some(name) = &call.name {
        sessions = sessions.name(name);
    }
    Ok(match format {
        "row" => sessions.read_row(&input(path)?, bounds)?.value,
        "cookie" => sessions.read_cookie(&input(path)?, call.now, bounds)?.value,
        "database" => {
            let Some(id) = &call.id else { return django_rows(&sessions, call.now, path) };
            let id = Some(id.as_str());
            let column =
                |name| row(path, &format!("SELECT {name} FROM django_session WHERE session_key = ?1"), id);
            let end =
                String::from_utf8(column("expire_date")?).ok().and_then(|end| django::expire_date(&end));
            if end.is_none_or(|end| end <= call.now) {
                return Err(Failure::Ended);
            }
            sessions.read_row(&column("session_data")?, bounds)?.value
        }
        "cache" => django_cache::read(&input(path)?, bounds)?,
        "cache-row" => django_cache::read_row(&input(path)?, bounds)?,
        "cache-file" => django_cache::read_file(&input(path)?, call.now, bounds)?.value,
        other => return Err(format!("django has no format {other}").into()),
    })
}

/// All rows of Django: key, session, end, and whether it lives.
fn django_rows(sessions: &python::django::Sessions, now: f64, path: &str) -> Result<Value, Failure> {
    let failed = |error: rusqlite::Error| format!("{path}: {error}");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(path, flags).map_err(failed)?;
    let query = "SELECT session_key, session_data, expire_date FROM django_session";
    let mut statement = database.prepare(query).map_err(failed)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(failed)?;
    let text = |text: &str| Value::Text(text.into());
    let mut found = Vec::new();
    for row in rows {
        let (key, data, end): (String, String, String) = row.map_err(failed)?;
        let data = match sessions.read_row(data.as_bytes(), &Bounds::default()) {
            Ok(opened) => (text("data"), opened.value),
            Err(error) => (text("damaged"), Value::Text(error.to_string().into())),
        };
        let live = python::django::expire_date(&end).is_some_and(|end| end > now);
        let end = format!("{}Z", end.replacen(' ', "T", 1));
        found.push(Value::Map(vec![
            (text("key"), Value::Text(key.into())),
            data,
            (text("expire"), Value::Text(end.into())),
            (text("live"), Value::Bool(live)),
        ]));
    }
    Ok(Value::Map(vec![(text("rows"), Value::List(found))]))
}

fn flask_session(call: &Call, format: &str, path: &str) -> Result<Value, Failure> {
    use python::flask_session::{expiry, read, read_file, unsign_id};
    let bounds = &Bounds::default();
    Ok(match format {
        "value" => read(&input(path)?, bounds)?,
        "file" => read_file(&input(path)?, call.now, bounds)?.value,
        "id" => {
            let key = call.keys.first().ok_or_else(|| "--key is needed".to_owned())?;
            Value::Text(unsign_id(key.as_bytes(), &input(path)?)?.into())
        }
        "database" => {
            let id = call.id.as_ref().map(|id| format!("session:{id}"));
            let column = |name| {
                row(path, &format!("SELECT {name} FROM sessions WHERE session_id = ?1"), id.as_deref())
            };
            let end = String::from_utf8(column("expiry")?).ok().and_then(|end| expiry(&end));
            if end.is_none_or(|end| end <= call.now) {
                return Err(Failure::Ended);
            }
            read(&column("data")?, bounds)?
        }
        other => return Err(format!("flask-session has no format {other}").into()),
    })
}

fn beaker(call: &Call, format: &str, path: &str) -> Result<Value, Failure> {
    use python::beaker::{Cipher, Serializer, Sessions};
    let bounds = &Bounds::default();
    // Files need no key. A cookie does not hold without one.
    let mut sessions = Sessions::default().validate_key(call.keys.last().cloned().unwrap_or_default());
    if let Some(name) = &call.name {
        sessions = sessions.name(name);
    }
    let (mut rest, mut ciphers) = (format, vec![(None, 128)]);
    if let Some(after) = rest.strip_prefix("encrypted-") {
        rest = after;
        let all = [(Cipher::Gcm, 128), (Cipher::Ctr, 128), (Cipher::Gcm, 48), (Cipher::Ctr, 48)];
        ciphers = all.map(|(cipher, bits)| (Some(cipher), bits)).to_vec();
    }
    if let Some(after) = rest.strip_prefix("json-") {
        rest = after;
        sessions = sessions.serializer(Serializer::Json);
    }
    let bytes = input(path)?;
    let mut outcome = Err(format!("beaker has no format {format}").into());
    for (cipher, bits) in ciphers {
        let mut sessions = sessions.clone();
        if let Some(cipher) = cipher {
            let [key, _] = &call.keys[..] else {
                return Err("an encrypted format needs --key twice: encrypt_key, validate_key"
                    .to_owned()
                    .into());
            };
            sessions = sessions.encrypt_key(key.clone(), cipher).nonce_bits(bits);
        }
        outcome = match rest {
            "file" => sessions.read_file(&bytes, call.now, bounds).map_err(Failure::from),
            "value" => sessions.read_value(&bytes, call.now, bounds).map_err(Failure::from),
            "cookie" => sessions.read_cookie(&bytes, call.now, bounds).map_err(Failure::from),
            _ => break,
        };
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]
fn main() -> ExitCode {
    match call(std::env::args().skip(1)).map_err(Failure::Call).and_then(|call| decode(&call)) {
        Ok(value) => {
            println!("{}", notation::write(&value));
            ExitCode::SUCCESS
        }
        Err(Failure::Session(error)) => {
            eprintln!("no session: {error}");
            ExitCode::from(1)
        }
        Err(Failure::Ended) => {
            eprintln!("no session: its row has ended");
            ExitCode::from(1)
        }
        Err(Failure::Call(text)) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}
