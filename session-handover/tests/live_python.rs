//! Sessions of random values that Django, Flask, Flask-Session, Starlette and Beaker write while the test runs. Skipped with a
//! red line where they cannot be installed for `python3`.
#![allow(clippy::unwrap_used, reason = "software that answers otherwise fails its test")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::Value as Json;
use session_conformance::testing::amount;
use session_handover::python::{beaker, django, django_cache, flask, flask_session, pickle, starlette};
use session_handover::{Bounds, Error, Value, notation};

const PACKAGES: [&str; 9] = [
    "Django==5.2.19",
    "Flask==3.1.3",
    "Flask-Session==0.8.0",
    "msgspec==0.22.0",
    "cachelib==0.17.0",
    "starlette==1.10.0",
    "Beaker==1.14.1",
    "cryptography==50.0.2",
    "pycryptodome==3.23.0",
];

/// The folder of the packages, which the first run with this Python fills.
fn packages() -> Option<PathBuf> {
    let version = Command::new("python3").arg("-V").output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version).trim().replace(' ', "-");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("packages-{version}"));
    if folder.exists() {
        return Some(folder);
    }
    let fresh = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let installed = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(fresh.path())
        .args(PACKAGES)
        .output();
    match installed {
        Ok(output) if output.status.success() => {
            // Another run may have been faster.
            let _ = std::fs::rename(fresh.keep(), &folder);
            Some(folder)
        }
        other => {
            let why = other.map(|output| String::from_utf8_lossy(&output.stderr).trim().to_owned());
            let why = why.unwrap_or_else(|error| error.to_string());
            let last = why.lines().last().unwrap_or_default().to_owned();
            eprintln!("\x1b[31mSKIPPED: the packages cannot be installed for python3: {last}\x1b[0m");
            None
        }
    }
}

fn output(packages: &Path, arguments: &[&str], input: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/sessions.py");
    let mut child = Command::new("python3")
        .arg(script)
        .args(arguments)
        .env("PYTHONPATH", packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "sessions.py {arguments:?} failed");
    String::from_utf8(output.stdout).unwrap()
}

fn read(kind: &str, bytes: &[u8], now: f64) -> Result<Value, Error> {
    let bounds = &Bounds::default();
    let django = || django::Sessions::new(["django secret", "an old one"]);
    let beaker = |format: &str| {
        let mut sessions = beaker::Sessions::default().validate_key("a validate key").timeout(60.0);
        if format.ends_with("counter") {
            sessions = sessions.encrypt_key("an encrypt key", beaker::Cipher::Ctr).nonce_bits(48);
        } else if format.ends_with("encrypted") {
            sessions = sessions.encrypt_key("an encrypt key", beaker::Cipher::Gcm);
        }
        if format.starts_with("json") {
            sessions = sessions.serializer(beaker::Serializer::Json);
        }
        sessions
    };
    match kind {
        "pickle" => pickle::read(bytes, bounds),
        "django-row" => Ok(django().read_row(bytes, bounds)?.value),
        "django-cookie" => Ok(django().read_cookie(bytes, now, bounds)?.value),
        "django-cache-file" => Ok(django_cache::read_file(bytes, now, bounds)?.value),
        "django-cache-row" => django_cache::read_row(bytes, bounds),
        "flask-cookie" => Ok(flask::Cookie::new(["flask secret"]).read(bytes, now, bounds)?.value),
        "flask-session" => flask_session::read(bytes, bounds),
        "flask-session-file" => Ok(flask_session::read_file(bytes, now, bounds)?.value),
        "flask-session-id" => {
            flask_session::unsign_id(b"flask secret", bytes).map(|id| Value::Text(id.into()))
        }
        "starlette-cookie" => {
            Ok(starlette::Cookie::new(["starlette secret"]).read(bytes, now, bounds)?.value)
        }
        other => match (other.strip_prefix("beaker-file-"), other.strip_prefix("beaker-cookie-")) {
            (Some(format), _) => beaker(format).read_file(bytes, now, bounds),
            (_, Some(format)) => beaker(format).read_cookie(bytes, now, bounds),
            _ => panic!("{other}"),
        },
    }
}

/// A notation in which each value stands in all its places, floats are bits, and sets are sorted.
fn plain(json: &Json, known: &mut HashMap<u64, Json>) -> Json {
    match json {
        Json::Array(items) => items.iter().map(|item| plain(item, known)).collect(),
        Json::Object(map) => {
            if let Some(name) = map.get("$same") {
                return known[&name.as_u64().unwrap()].clone();
            }
            if let Some(name) = map.get("$id") {
                let of = plain(&map["of"], known);
                known.insert(name.as_u64().unwrap(), of.clone());
                return of;
            }
            if let Some(text) = map.get("$float") {
                let number: f64 = text.as_str().unwrap().parse().unwrap();
                return format!("float {}", if number.is_nan() { 1 } else { number.to_bits() }).into();
            }
            let mut map: serde_json::Map<_, _> =
                map.iter().map(|(key, value)| (key.clone(), plain(value, known))).collect();
            if let Some(Json::Array(items)) = map.get_mut("$set") {
                items.sort_by_key(Json::to_string);
            }
            Json::Object(map)
        }
        other => other.clone(),
    }
}

#[test]
fn sessions_of_real_python_systems_are_read_and_written() {
    let Some(packages) = packages() else { return };
    let folder = tempfile::tempdir().unwrap();
    let seed = fastrand::u32(..).to_string();
    let count = amount(120, 4_000).to_string();
    let (mut kinds, mut rows, mut texts) = (HashMap::<String, usize>::new(), String::new(), String::new());
    for line in output(&packages, &[&seed, &count, folder.path().to_str().unwrap()], "").lines() {
        let [kind, bytes, now, expected] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).unwrap();
        let about = || format!("seed {seed}, {kind}: {expected}\n{}", bytes.escape_ascii());
        let now = now.parse().unwrap();
        let value = read(kind, &bytes, now).unwrap_or_else(|error| panic!("{error}: {}", about()));
        let decoded: Json = serde_json::from_str(&notation::write(&value)).unwrap();
        let wanted: Json = serde_json::from_str(expected).unwrap();
        let (decoded, wanted) = (plain(&decoded, &mut HashMap::new()), plain(&wanted, &mut HashMap::new()));
        assert_eq!(decoded, wanted, "{}", about());
        *kinds.entry(kind.to_owned()).or_default() += 1;
        if kind != "django-row" {
            continue;
        }
        let sessions = django::Sessions::new(["django secret", "an old one"]);
        let opened = sessions.read_row(&bytes, &Bounds::default()).unwrap();
        if let Ok(again) = sessions.write(&opened.value, &opened.envelope, opened.signed.unwrap()) {
            assert_eq!(again.as_bytes(), bytes, "{}", about());
            // A changed session is compressed by us.
            let Value::Map(mut entries) = opened.value else { panic!("{}", about()) };
            entries.insert(0, (Value::Text("changed".into()), Value::Bool(true)));
            let changed = sessions.write(&Value::Map(entries), &opened.envelope, 1_800_000_000).unwrap();
            rows += &format!("{changed}\n");
            texts += &format!("{expected}\n");
        }
    }
    assert_eq!(kinds.len(), 20, "{kinds:?}");
    // Django reads what we write, and Python's notation of it has the new key alone in addition.
    let answers = output(&packages, &["read"], &rows);
    assert_eq!(answers.lines().count(), texts.lines().count());
    assert!(answers.lines().count() >= 2 * kinds["django-cookie"], "{kinds:?}");
    for (answer, text) in answers.lines().zip(texts.lines()) {
        let new = ["[\"changed\", true], ", "\"changed\": true, ", "\"changed\": true"];
        let new = new.iter().find(|new| answer.contains(**new)).unwrap();
        assert_eq!(answer.replacen(new, "", 1), text, "seed {seed}");
    }
    eprintln!("{kinds:?} read");
}
