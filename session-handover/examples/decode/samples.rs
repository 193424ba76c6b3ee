//! The command reads each sample of the real systems.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use session_handover::{ErrorKind, Value, notation};

use common::{Sample, same};

use crate::{Failure, call, decode};

#[path = "../../tests/common/mod.rs"]
mod common;

fn samples() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let folder = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let text =
        |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str()).expect("a name").to_owned();
    let mut all = Vec::new();
    for system in folder(&root).iter().filter(|path| path.is_dir()) {
        let about =
            folder(system).into_iter().filter(|path| path.extension().is_some_and(|end| end == "json"));
        all.extend(about.map(|path| (text(system.file_name()), text(path.file_stem()))));
    }
    all.sort();
    all
}

/// The system, the format and the options for a sample.
fn words(system: &str, name: &str) -> &'static str {
    match (system, name) {
        ("actix-session", "cookie-store-private") => "actix-session cookie-private",
        ("actix-session", "cookie-store-signed") => "actix-session cookie-signed",
        ("actix-session", _) => "actix-session key-signed",
        ("apache-session", _) => "apache-session file",
        ("async-session", "cookie-store") => "async-session cookie",
        ("async-session", _) => "async-session value",
        ("axum-session", _) => "axum-session sqlite",
        ("beaker", "cookie-signed") => "beaker cookie",
        ("beaker", "file-encrypted") => "beaker encrypted-file",
        ("beaker", "redis") => "beaker value",
        ("beaker", _) => "beaker file",
        ("cache-fastmmap", _) => "cache-fastmmap fastmmap --now 1795883800",
        ("catalyst", "dbi") => "catalyst dbi",
        ("catalyst", "fastmmap") => "catalyst fastmmap --now 1795883800",
        ("catalyst", "redis-session") => "catalyst redis",
        ("catalyst", _) => "catalyst file",
        ("cgi-session", "sqlite") => "cgi-session sqlite",
        ("cgi-session", _) => "cgi-session file",
        ("cookie-session", _) => "cookie-session cookie",
        ("dancer", _) => "dancer yaml",
        ("dancer2", _) => "dancer2 yaml",
        ("django", "sessions") => "django database --now 1800000000",
        ("django", "signed-cookie" | "signed-cookie-3.0") => "django cookie",
        ("django", "cache-file") => "django cache-file --now 0",
        ("django", name) if name.starts_with("cache") => "django cache",
        ("django", _) => "django row",
        ("express", "better-sqlite3-store") => "express better-sqlite3",
        ("express", "connect-sqlite3") => "express connect-sqlite3",
        ("express", name) if name.starts_with("cookie") => "express cookie",
        ("express", _) => "express value",
        ("flask", _) => "flask cookie",
        ("flask-session", "file") => "flask-session file --now 0",
        ("flask-session", "sqlalchemy") => "flask-session database --now 0",
        ("flask-session", _) => "flask-session value",
        ("iron-session", _) => "iron-session cookie --now 0",
        ("laravel", "cookie-cbc" | "cookie-gcm") => "laravel cookie",
        ("laravel", "database") => "laravel database",
        ("laravel", "file-encrypted-cbc" | "file-encrypted-gcm") => "laravel encrypted",
        ("laravel", "file-json") => "laravel file-json",
        ("laravel", _) => "laravel file",
        ("mojolicious", _) => "mojolicious cookie --now 1800000000",
        ("php", name) if name.ends_with("-binary") => "php php_binary",
        ("php", name) if name.ends_with("-serialize") => "php php_serialize",
        ("php", name) if name.ends_with("-igbinary") => "php igbinary",
        ("php", name) if name.ends_with("-msgpack") => "php msgpack",
        ("php", "redis-lzf") => "php php --lzf",
        ("php", _) => "php php",
        ("plack", "cookie") => "plack cookie",
        ("plack", _) => "plack file",
        ("rack", "marshal-keys" | "marshal-types") => "marshal value",
        ("rack", name) if name.starts_with("more-") => "marshal value",
        ("rack", "redis") => "rack redis",
        ("rack", _) => "rack cookie",
        ("rails", "active-record-marshal") => "rails active-record",
        ("rails", name) if name.starts_with("cache") => "rails cache",
        ("rails", _) => "rails cookie --now 1800000000",
        ("starlette", _) => "starlette cookie",
        ("storable", _) => "storable value",
        ("symfony", "pdo") => "symfony pdo",
        ("symfony", _) => "symfony php",
        ("tower-sessions", "sqlx-sqlite") => "tower-sessions sqlx --now 1795900000",
        ("tower-sessions", _) => "tower-sessions record",
        _ => panic!("{system}/{name} has no option"),
    }
}

/// The id of the row, where the sample is one row of a database.
fn row_id(system: &str, name: &str, about: &Json) -> Option<String> {
    let id = |key: &str| about[key].as_str().expect("an id").to_owned();
    match (system, name) {
        ("catalyst", "dbi") => Some(id("key")),
        ("rails", "active-record-marshal") => Some(session_handover::ruby::rack::private_id(&id("id"))),
        ("axum-session", _)
        | ("cgi-session", "sqlite")
        | ("flask-session", "sqlalchemy")
        | ("laravel", "database")
        | ("symfony", "pdo") => Some(id("id")),
        _ => None,
    }
}

/// The keys in the form of the command.
fn keys(system: &str, name: &str, sample: &Sample) -> Vec<String> {
    let secret = &sample.about["secret"];
    if secret.is_null() {
        return Vec::new();
    }
    let bytes = |text: &Json| {
        let digits = text.as_str().and_then(|text| text.strip_prefix("64 bytes of 0x")).expect("a key");
        format!("hex:{}", digits.repeat(64))
    };
    let text = |key: &str| secret[key].as_str().expect("a secret").to_owned();
    match (system, name) {
        ("axum-session", _) => secret.get("database_key").map(bytes).into_iter().collect(),
        ("actix-session", _) => vec![bytes(&secret["key"])],
        ("beaker", "file-encrypted") => vec![text("encrypt_key"), text("validate_key")],
        ("beaker", _) => secret.get("validate_key").map(|_| text("validate_key")).into_iter().collect(),
        _ => sample.secrets(),
    }
}

/// What the sample expects, as the command prints it.
fn check(system: &str, name: &str, sample: &Sample, value: Value) {
    let expect = sample.expect();
    let part = |value: &Value, key: &str| value.get(key).cloned().expect("a part of a row");
    for (list, id, data) in [("rows", "id", "data"), ("rows", "key", "data"), ("entries", "key", "value")] {
        let Some(expected) =
            expect[list].as_array().filter(|rows| rows.iter().all(|row| row[id].is_string()))
        else {
            continue;
        };
        let Value::List(found) = part(&value, list) else { panic!("{list}") };
        for row in expected {
            let is_row = |found: &&Value| found.get(id).and_then(Value::as_text) == row[id].as_str();
            let found = found.iter().find(is_row).expect("the row");
            same(&row[data], &part(found, data));
            if let Some(live) = row["live"].as_bool() {
                assert_eq!(part(found, "live"), Value::Bool(live));
            }
        }
        return;
    }
    match (system, name, value) {
        ("catalyst", "file-session" | "file-expires", value) => same(&expect[1]["fields"]["_Data"], &value),
        // The stored bytes do not have the key.
        ("rails", "active-record-marshal", value) => {
            let mut expect = expect.clone();
            let nothing = expect.as_object_mut().and_then(|expect| expect.shift_remove("nothing"));
            assert_eq!(nothing, Some(Json::Null));
            same(&expect, &value);
        }
        // Random, or left out of the sample.
        ("laravel", "file-encrypted-cbc" | "file-encrypted-gcm", Value::Map(entries)) => {
            same(expect, &without(entries, &["_token"]))
        }
        ("beaker", "cookie-signed", Value::Map(entries)) => {
            same(expect, &without(entries, &["_id", "_creation_time", "_accessed_time"]));
        }
        (_, _, value) => same(expect, &value),
    }
}

fn without(mut entries: Vec<(Value, Value)>, names: &[&str]) -> Value {
    entries.retain(|(key, _)| key.as_text().is_none_or(|key| !names.contains(&key)));
    Value::Map(entries)
}

#[test]
fn command_reads_each_sample() {
    let all = samples();
    assert!(all.len() >= 132, "{} samples", all.len());
    for (system, name) in all {
        eprintln!("{system}/{name}");
        let sample = Sample::named(&system, &name);
        let mut arguments: Vec<String> = words(&system, &name).split(' ').map(str::to_owned).collect();
        let keys = keys(&system, &name, &sample);
        arguments.extend(keys.iter().flat_map(|key| ["--key".to_owned(), key.clone()]));
        if let Some(id) = row_id(&system, &name, &sample.about) {
            arguments.extend(["--id".to_owned(), id]);
        }
        if let Some(moment) = sample.about["as_of"].as_f64() {
            arguments.extend(["--now".to_owned(), moment.to_string()]);
        }
        arguments.push(sample.path.to_str().expect("a path").to_owned());
        let decoded = call(arguments.into_iter()).map_err(Failure::Call).and_then(|call| decode(&call));
        match decoded {
            Ok(value) => {
                assert!(sample.about["expect_error"].is_null());
                let printed = notation::write(&value);
                assert!(keys.iter().all(|key| !printed.contains(key.as_str())), "a key was printed");
                check(&system, &name, &sample, value);
            }
            Err(Failure::Session(error)) => {
                assert!(sample.about["expect_error"].is_string(), "{error}");
                assert_eq!(error.kind(), ErrorKind::Malformed);
            }
            Err(Failure::Ended) => panic!("it has ended"),
            Err(Failure::Call(text)) => panic!("{text}"),
        }
    }
}
