//! Help, manual pages, completions and the README agree.

use std::fs;
use std::process::Command;

use crate::{PROGRAM, Stage, handle, run};

const README: &str = include_str!("../../README.md");

fn verbs() -> Vec<String> {
    let command = session_cli::command();
    command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

#[test]
fn readme_has_the_printed_help() {
    let help = run(&["--help"], "");
    assert_eq!((help.code, &*help.err), (0, ""));
    let shown = help.out.trim_end();
    assert!(README.contains(&format!("```text\n{shown}\n```\n")), "the README needs this help:\n{shown}");
    let (_, codes) = shown.split_once("Exit codes:\n").unwrap();
    for line in codes.lines() {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(README.contains(&row), "the README needs this row: {row}");
    }
}

#[tokio::test]
async fn examples_of_the_readme_run() {
    let mut stage = Stage::sqlite().await;
    let id = stage.session(Some("alice")).await;
    let old = "CREATE TABLE sessions (sid PRIMARY KEY, expired, sess);
               INSERT INTO sessions VALUES ('one', 4102444800000, '{\"cookie\":{},\"user\":\"alice\"}')";
    rusqlite::Connection::open(stage.directory.path().join("old.db")).unwrap().execute_batch(old).unwrap();
    let examples: Vec<_> = README.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    for verb in verbs() {
        let start = format!("sessionctl {verb} ");
        assert!(examples.iter().any(|example| example.contains(&start)), "no example of {verb}");
    }
    for example in examples {
        let output = Command::new("sh")
            .args(["-c", &example.replace("sessionctl ", &format!("{PROGRAM} "))])
            .current_dir(stage.directory.path())
            .env("STORE", &stage.url)
            .env("HANDLE", handle(id))
            .output()
            .unwrap();
        // The examples that end sessions come before those that look for them.
        let code = output.status.code().unwrap();
        assert!([0, 4].contains(&code), "{example}: {code} {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn manual_pages_name_each_verb_and_option() {
    let page = run(&["man"], "");
    assert_eq!((page.code, &*page.err), (0, ""));
    assert!(page.out.contains(".TH sessionctl 1") && page.out.contains("\\-\\-json"), "{}", page.out);
    assert!(page.out.contains("Exit codes"), "{}", page.out);
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display().to_string();
    let written = run(&["man", "--directory", &place], "");
    assert_eq!((written.code, &*written.out), (0, ""));
    for verb in verbs() {
        assert!(page.out.contains(&format!("sessionctl\\-{}", verb.replace('-', "\\-"))), "{verb}");
        let page = fs::read_to_string(directory.path().join(format!("sessionctl-{verb}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    let page = fs::read_to_string(directory.path().join("sessionctl-purge.1")).unwrap();
    assert!(page.contains("\\-\\-batch"), "{page}");
    assert_eq!(run(&["man", "--directory", "/absent/directory"], "").code, 1);
}

#[test]
fn completions_of_shells_know_verbs_and_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell], "");
        assert_eq!((script.code, &*script.err), (0, ""), "{shell}");
        for word in ["end-user", "password-env", "sessionctl"] {
            assert!(script.out.contains(word), "{shell}: {word}");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessionctl.bash");
    fs::write(&path, run(&["completions", "bash"], "").out).unwrap();
    let script = format!(
        "source {}; COMP_WORDS=(sessionctl end); COMP_CWORD=1; _sessionctl sessionctl end sessionctl; echo ${{COMPREPLY[@]}}",
        path.display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "end end-user\n");
}
