//! Sessions that the real software writes while the test runs. A system that is not installed is skipped with a red line.
#![allow(clippy::unwrap_used, reason = "software that answers otherwise fails its test")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use session_conformance::testing::amount;
use session_handover::perl::{dumper, storable, yaml};
use session_handover::ruby::{rails, rails_json};
use session_handover::{Bounds, Value, notation};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/live")
}

/// Whether a program runs. If it does not, the test is skipped.
fn runs(program: &str, arguments: &[&str]) -> bool {
    let runs = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !runs {
        eprintln!("\x1b[31mskipped: `{program} {}` does not run here\x1b[0m", arguments.join(" "));
    }
    runs
}

fn output(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?} failed");
    String::from_utf8(output.stdout).unwrap()
}

fn now() -> f64 {
    #[expect(clippy::disallowed_methods, reason = "the other program signs with the clock of this machine")]
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn rails_cookies_are_read_and_written_back_exactly() {
    if !runs("ruby", &["-e", "require 'active_support'"]) {
        return;
    }
    let cookie = rails::Cookie::new("_app_session", ["0123456789abcdef".repeat(4)]);
    let mut written = String::new();
    let mut texts = String::new();
    let mut count = 0;
    for line in output("ruby", &["rails.rb"], "").lines() {
        let [protection, digest, value, json] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let opened = cookie.read(value.as_bytes(), now(), &Bounds::default()).unwrap();
        assert_eq!(rails_json::to_json(&opened.value).unwrap(), json, "{}", notation::write(&opened.value));
        let again = cookie.write(&opened.value, &opened.envelope, opened.envelope.iv()).unwrap();
        assert_eq!(again, value);
        let fresh = vec![7; opened.envelope.iv().len()];
        let fresh = cookie.write(&opened.value, &opened.envelope, &fresh).unwrap();
        written += &format!("{protection}\t{digest}\t{fresh}\n");
        texts += &format!("{json}\n");
        if opened.expires.is_some() {
            let late = cookie.read(value.as_bytes(), now() + 3601.0, &Bounds::default()).unwrap_err();
            assert_eq!(late.kind(), session_handover::ErrorKind::Expired);
        }
        count += 1;
    }
    assert_eq!(count, 60);
    // Rails reads every cookie of ours that has a purpose; it reads the others without asking for one.
    assert_eq!(output("ruby", &["rails.rb", "read"], &written), texts);
}

/// Compares texts by their content: Data::Dumper writes short integers without quotes.
fn texts(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(number) => number.to_string().into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(texts).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.as_text().unwrap_or("not text").to_owned(), texts(value)))
            .collect(),
        other => panic!("a structure of texts gave {other:?}"),
    }
}

fn random(formats: &[&str]) {
    let seed = fastrand::u32(..).to_string();
    let count = amount(300, 20_000).to_string();
    let mut lines = 0;
    for line in output("perl", &[&["random.pl", &seed, &count], formats].concat(), "").lines() {
        let [format, bytes, json] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let bytes: Vec<u8> = bytes
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let bounds = Bounds::default();
        let value = match format {
            "native" | "network" => storable::read(&bytes, &bounds),
            "yaml" => yaml::read(&bytes, &bounds),
            _ => dumper::read(&bytes, &bounds),
        };
        let about = || format!("seed {seed}: {json}\n{}", String::from_utf8_lossy(&bytes));
        let value = value.unwrap_or_else(|error| panic!("{error}: {}", about()));
        assert_eq!(texts(&value), serde_json::from_str::<Json>(json).unwrap(), "{}", about());
        lines += 1;
    }
    assert!(lines > 0);
}

#[test]
fn perl_storable_and_dumps_are_read() {
    if runs("perl", &["-MStorable", "-MJSON::PP", "-MData::Dumper", "-e1"]) {
        random(&["native", "network", "dumper"]);
    }
}

#[test]
fn perl_yaml_is_read() {
    if runs("perl", &["-MYAML", "-MJSON::PP", "-e1"]) {
        random(&["yaml"]);
    }
}
