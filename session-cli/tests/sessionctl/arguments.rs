//! Wrong arguments and URLs, and passwords.

use std::fs;

use crate::{Stage, handle, lines, run, run_in};

#[test]
fn wrong_urls_are_the_errors_of_open() {
    for (url, text) in [
        (
            "sessions.db",
            "URL has no scheme; write `sqlite:` before the path of a file, or `redis://` before a host",
        ),
        ("sqlight:sessions.db", "scheme `sqlight` is unknown; did you mean `sqlite`?"),
        ("sqlite:a.db?durabilty=power", "option `durabilty` is unknown; did you mean `durability`?"),
        ("sqlite:a.db?readers=many", "option `readers` takes a whole number"),
        ("redis://127.0.0.1:99999", "port is not a number from 1 to 65535"),
        ("memory:", "memory is a store of one process, which no other can open"),
    ] {
        let ran = run(&["ls", url], "");
        assert_eq!((ran.code, &*ran.out, ran.err), (2, "", format!("error: {text}\n")), "{url}");
    }
}

#[test]
fn missing_store_has_its_own_code_and_is_not_created() {
    let directory = tempfile::tempdir().unwrap();
    let none = || assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let end = ["0".repeat(43)];
    for scheme in ["sqlite", "file", "mmap", "sled"] {
        let url = format!("{scheme}:{}", directory.path().join("store").display());
        for (verb, more) in [
            ("ls", &[][..]),
            ("show", &end),
            ("count", &[]),
            ("user", &["alice".to_owned()]),
            ("end", &end),
            ("end-user", &["alice".to_owned()]),
            ("purge", &[]),
            ("stat", &[]),
            ("bench", &[]),
        ] {
            let more: Vec<_> = more.iter().map(String::as_str).collect();
            let ran = run(&[&[verb, &*url], &more[..]].concat(), "");
            assert_eq!((ran.code, &*ran.out), (3, ""), "{verb} {scheme}: {}", ran.err);
            assert!(ran.err.contains("create is off"), "{}", ran.err);
            none();
        }
    }
}

#[tokio::test]
async fn ids_and_values_in_wrong_arguments_are_not_repeated() {
    let mut stage = Stage::sqlite().await;
    let id = stage.session(Some("alice")).await;
    let id = id.reveal();
    // `run` of a stage fails if the id is in the output.
    for (verb, more) in [
        ("show", &[id.as_str()][..]),
        ("end", &[id.as_str()]),
        ("ls", &[id.as_str()]),
        ("ls", &["--id", id.as_str()]),
        ("ls", &["--user"]),
        ("show", &["-", "--value", "cart", id.as_str()]),
    ] {
        let ran = stage.run(verb, more);
        assert_eq!((ran.code, &*ran.out), (2, ""), "{verb}");
        assert!(ran.err.starts_with("error: "), "{}", ran.err);
    }
    assert!(stage.run("end", &[id.as_str()]).err.contains("standard input"));
    let input = format!("{}\n{}x\n", "0".repeat(43), id.as_str());
    let ran = stage.run_with("end", &["-"], &input);
    assert_eq!((ran.code, &*ran.err), (1, "error: a line is neither a session handle nor a session id\n"));
    assert_eq!(ran.out, format!("{}  not found\n", "0".repeat(43)), "the lines before it were used");
    let ran = stage.run_with("show", &["-"], "");
    assert_eq!((ran.code, &*ran.err), (1, "error: standard input is empty\n"));
    assert_eq!(
        stage.run("end", &["short"]).err,
        "error: HANDLE is not a session handle; ls prints the handles\n"
    );
}

#[tokio::test]
async fn handles_may_begin_with_hyphens() {
    let stage = Stage::sqlite().await;
    let handles = ["-0", "--0", "-h0", "-V0"].map(|start| format!("{start:x<43}"));
    for handle in &handles {
        assert_eq!(stage.run("show", &[handle]).err, "error: no live session has this handle\n");
    }
    let ended = stage
        .run("end", &["--json", &handles[0], &handles[1], "--user-epochs", &handles[2], "--", &handles[3]]);
    assert_eq!((ended.code, &*ended.err), (4, ""));
    let shown: Vec<_> =
        lines(&ended.out).iter().map(|line| line["handle"].as_str().unwrap().to_owned()).collect();
    assert_eq!(shown, handles);
    let id = format!("-{}", "x".repeat(31));
    for verb in ["show", "end"] {
        let ran = stage.run(verb, &[&id]);
        assert!(ran.code == 2 && ran.err.contains("standard input"), "{}", ran.err);
    }
}

#[tokio::test]
async fn value_that_does_not_decode_is_not_shown() {
    let mut stage = Stage::sqlite().await;
    let id = stage.session(None).await;
    let session = stage.sessions.load(id).await.unwrap();
    session.insert_as("cart", crate::SECRET, session_kit::Codec::Bincode).unwrap();
    let _ = stage.sessions.finish(&session).await.unwrap();
    let ran = stage.run("show", &[&handle(id), "--value", "cart"]);
    assert_eq!((ran.code, &*ran.out), (1, ""));
    assert!(ran.err.contains("cart"), "{}", ran.err);
}

#[tokio::test]
async fn passwords_come_from_files_and_variables() {
    const PASSWORD: &str = "hunter2/é@?&";
    let server =
        xtask_redis::Server::start(xtask_redis::Options::new().set("requirepass", PASSWORD)).unwrap();
    let url = format!("redis://127.0.0.1:{}", server.port());
    let directory = tempfile::tempdir().unwrap();
    let (right, wrong) = (directory.path().join("right"), directory.path().join("wrong"));
    fs::write(&right, format!("{PASSWORD}\nnot this line\n")).unwrap();
    fs::write(&wrong, "hunter3\n").unwrap();
    let (right, wrong) = (right.display().to_string(), wrong.display().to_string());
    for (options, code, text) in [
        (&["--password-env", "STORE_PASSWORD"][..], 0, ""),
        (&["--password-file", &right], 0, ""),
        (&["--password-file", &wrong], 1, "misconfigured"),
        (&[], 1, "misconfigured"),
        (&["--password-file", "/absent/file"], 1, "/absent/file"),
        (&["--password-env", "UNSET"], 2, "environment variable UNSET is not set"),
        (&["--password-env", "STORE_PASSWORD", "--password-file", &right], 2, "cannot be used with"),
    ] {
        let ran = run_in(&[("STORE_PASSWORD", PASSWORD)], &[&["count", &*url], options].concat(), "");
        assert_eq!(ran.code, code, "{options:?}: {}", ran.err);
        assert!(ran.err.contains(text) && (code > 0 || ran.err.is_empty()), "{}", ran.err);
        assert!(!ran.err.contains("hunter") && !ran.out.contains("hunter"), "{}", ran.err);
    }
    // In the URL it works too, and other users can see it.
    let ran = run(&["count", &url.replace("//", "//:hunter3@")], "");
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("warning: other users see the password"), "{}", ran.err);
    assert!(!ran.err.contains("hunter"), "{}", ran.err);
    let ran = run_in(&[("P", "hunter2")], &["ls", "sqlite:a.db", "--password-env", "P"], "");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("option `password` belongs to"), "{}", ran.err);
}
