//! The import of an older application's sessions.

use std::fs::{self, File};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{Ran, lines, run};

/// Runs an import into a new store of the directory.
fn import(directory: &tempfile::TempDir, words: &[&str]) -> Ran {
    let to = format!("sqlite:{}", directory.path().join("new.db").display());
    run(&[&["import", &*to, "--create", "--json", "--user", "user"], words].concat(), "")
}

/// The counts of one import: imported, known before, ended.
fn counts(ran: &Ran) -> (u64, u64, u64) {
    let report = &lines(&ran.out)[0];
    let number = |name: &str| report[name].as_u64().unwrap();
    assert!(ran.code == 0 && report["complete"] == true, "{ran:?}");
    (number("imported"), number("known"), number("ended"))
}

#[test]
fn import_counts_and_imports_once() {
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old.db");
    let end = 4_102_444_800_000_i64;
    let table = Connection::open(&old).unwrap();
    table.execute_batch("CREATE TABLE visitors (sid PRIMARY KEY, expired, sess)").unwrap();
    for (sid, end, sess) in [
        ("one", end, r#"{"cookie":{},"user":"alice","cart":{"items":[1,2.5,null,true]}}"#),
        ("two", end, r#"{"cookie":{},"user":7}"#),
        ("three", end, r#"{"cookie":{}}"#),
        ("four", 1_000, r#"{"cookie":{},"user":"late"}"#),
        ("five", end, r#"{"cookie":{},"user":"#),
    ] {
        table.execute("INSERT INTO visitors VALUES (?1, ?2, ?3)", rusqlite::params![sid, end, sess]).unwrap();
    }
    let from = format!("sqlite:{}", old.display());
    let words = ["--system", "connect-sqlite3", "--from", &from, "--place", "visitors"];
    let kept = ["--keep", "cart.items=items", "--keep", "theme"];
    for (dry_run, imported, known) in [(true, 2, 0), (false, 2, 0), (false, 0, 2), (true, 0, 2)] {
        let dry: &[&str] = if dry_run { &["--dry-run"] } else { &[] };
        let ran = import(&directory, &[&words[..], &kept, dry].concat());
        let mut report = lines(&ran.out).remove(0);
        assert_eq!(report["malformed"].as_array().unwrap().len(), 1);
        assert_eq!(report["malformed"][0]["sessions"], 1);
        report["malformed"] = Value::Null;
        let expected = json!({
            "imported": imported, "known": known, "ended": 1, "without_user": 1, "malformed": null,
            "dry_run": dry_run, "complete": true,
        });
        assert_eq!((ran.code, report), (5, expected), "{}", ran.err);
    }
    for (words, text) in [
        (["--system", "rack", "--from", &from], "this system has no table"),
        (["--system", "rack", "--from", "/srv/old"], "--from has no scheme"),
        (["--system", "rack", "--from", "mysql:old"], "--from begins with"),
    ] {
        let ran = import(&directory, &words);
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains(text), "{}", ran.err);
    }
}

#[test]
fn sessions_that_ended_in_the_old_system_stay_ended() {
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old");
    fs::create_dir(&old).unwrap();
    let from = format!("files:{}", old.display());
    let php = |more: &[&str]| import(&directory, &[&["--system", "php", "--from", &from], more].concat());
    let none = php(&[]);
    assert_eq!(none.code, 4);
    assert!(none.err.starts_with("error: no session was found"), "{}", none.err);

    let put = |name: &str, text: &str, age: u64| {
        let path = old.join(name);
        fs::write(&path, text).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the time of a file is that of the system")]
        let changed = std::time::SystemTime::now() - Duration::from_secs(age);
        File::open(&path).unwrap().set_modified(changed).unwrap();
    };
    put("sess_new", "user|s:5:\"alice\";", 1_000);
    put("sess_old", "user|s:3:\"bob\";", 3_000);
    // `session.gc_maxlifetime` is 1,440 s by default, whatever `--hours` is.
    assert_eq!(counts(&php(&["--hours", "500"])), (1, 0, 1));
    assert_eq!(counts(&php(&["--lifetime", "3600"])), (1, 1, 0));
    let ran = import(&directory, &["--system", "django", "--from", "sqlite:/absent", "--lifetime", "60"]);
    assert_eq!((ran.code, &*ran.err), (2, "error: this store says itself when sessions end\n"));
}

#[test]
fn settings_of_the_old_system_are_options() {
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old");
    fs::create_dir_all(old.join("a/b")).unwrap();
    let from = format!("files:{}", old.display());
    let call = |system: &str, more: &[&str]| {
        counts(&import(&directory, &[&["--system", system, "--from", &from][..], more].concat()))
    };
    let session = "a:1:{s:4:\"user\";s:5:\"alice\";}";
    fs::write(old.join("a/b/sess_abc"), session).unwrap();
    assert_eq!(call("php", &["--handler", "php-serialize", "--levels", "2"]), (1, 0, 0));
    fs::write(old.join("json"), r#"{"user":"alice"}"#).unwrap();
    let key = directory.path().join("key");
    fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let key = key.display().to_string();
    assert_eq!(call("laravel", &["--serialization", "json", "--secrets", &key]), (1, 0, 0));
    fs::remove_file(old.join("json")).unwrap();
    fs::write(old.join("one.json"), r#"{"user":"alice"}"#).unwrap();
    fs::write(old.join("two.yml"), "--- \nuser: alice\n").unwrap();
    assert_eq!(call("dancer", &[]), (1, 0, 0));
    assert_eq!(call("dancer-json", &[]), (1, 0, 0));
}

#[test]
fn import_reads_servers_with_a_password_from_a_variable() {
    let options = xtask_redis::Options::new().set("requirepass", "hunter2@/");
    let server = xtask_redis::Server::start(options).unwrap();
    let from = format!("redis://127.0.0.1:{}", server.port());
    let directory = tempfile::tempdir().unwrap();
    let to = format!("sqlite:{}", directory.path().join("new.db").display());
    let arguments = ["import", &to, "--create", "--user", "user", "--system", "php", "--from", &from];
    let with = |password: &str| {
        let all = [&arguments[..], &["--from-password-env", "OLD"]].concat();
        let ran = crate::run_in(&[("OLD", password)], &all, "");
        assert!(!ran.err.contains("hunter"), "{}", ran.err);
        ran
    };
    assert_eq!(with("hunter3").code, 1);
    assert_eq!(with("hunter2@/").code, 4, "connected, and no session is there");
}
