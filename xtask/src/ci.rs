//! `cargo xtask ci`: everything that a change must pass.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use clap::Args;

use crate::{Result, book, cargo, conformance, e2e, test};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only the quick checks, without the tests
    #[arg(long)]
    no_tests: bool,
}

/// Examples in workspaces of their own.
const STANDALONE: [&str; 2] = [conformance::EXAMPLE, "examples/switch"];

/// Workspaces that are only formatted, because they compile the stores of other projects. They include the adapter.
const FOREIGN: [&str; 8] = [
    "third-party/async-session",
    "third-party/axum-session",
    "third-party/libsql",
    "third-party/memory",
    "third-party/redis",
    "third-party/rusqlite",
    "third-party/sqlx",
    "third-party/toasty",
];

/// Later steps run even if an earlier one fails, so that one run shows every failure.
pub(crate) fn run(options: &Options) -> Result {
    let mut steps = vec![
        ("format", step(|| done(format()))),
        ("lints", step(|| done(lints()))),
        ("documentation", step(|| done(documentation()))),
        ("sets of features", step(|| done(features()))),
        ("packages", step(|| done(packages()))),
        ("dependencies", step(dependencies)),
        ("book", step(book::in_ci)),
    ];
    if !options.no_tests {
        steps.push(("tests", step(|| done(test::run(&test::Options { full: false })))));
        steps.push(("shop in Chromium", step(in_chromium)));
    }

    println!();
    let mut failed = 0;
    for (name, (seconds, result)) in &steps {
        let said = match result {
            Ok(Some(note)) => format!("skipped: {note}"),
            Ok(None) => "ok".to_owned(),
            Err(error) => {
                failed += 1;
                format!("FAILED: {error}")
            }
        };
        println!("{name:<24} {seconds:>5} s  {said}");
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} steps failed", steps.len()).into()) }
}

/// The duration of a step in seconds, and its result: `Some` is the reason why it was skipped.
type Told = (u64, Result<Option<String>>);

fn step(work: impl FnOnce() -> Result<Option<String>>) -> Told {
    let before = test::stopwatch();
    let result = work();
    if let Err(error) = &result {
        eprintln!("xtask: {error}");
    }
    (before.elapsed().as_secs(), result)
}

fn done(result: Result) -> Result<Option<String>> {
    result.map(|()| None)
}

fn format() -> Result {
    cargo::run(&mut cargo::cargo(["fmt", "--all", "--check"]), false)?;
    for folder in STANDALONE.into_iter().chain(FOREIGN) {
        let manifest = cargo::root().join(folder).join("Cargo.toml");
        let mut command = cargo::cargo(["fmt", "--all", "--check", "--manifest-path"]);
        cargo::run(command.arg(manifest), false)?;
    }
    Ok(())
}

fn lints() -> Result {
    let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    cargo::run(&mut cargo::cargo(arguments), false)?;
    for folder in STANDALONE {
        let mut command = cargo::cargo(["clippy", "--workspace", "--all-targets"]);
        cargo::run(command.args(cargo::standalone(folder)?).args(["--", "-D", "warnings"]), false)?;
    }
    Ok(())
}

fn documentation() -> Result {
    let mut command = cargo::cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    cargo::run(command.env("RUSTDOCFLAGS", "-D warnings"), false)
}

/// A crate, and its features for one check.
type Set = (String, String);

/// Checks each published crate with no feature and with each feature alone, session-kit with its usual sets, and the README's program.
fn features() -> Result {
    let metadata = cargo::metadata()?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mut sets = Vec::new();
    for package in packages.iter().filter(|package| is_published(package)) {
        let name = package["name"].as_str().ok_or("a package without a name")?;
        let features: Vec<_> =
            package["features"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        if features.is_empty() {
            continue;
        }
        let alone = features.into_iter().filter(|feature| *feature != "default");
        sets.extend(std::iter::once("").chain(alone).map(|feature| (name.to_owned(), feature.to_owned())));
    }
    let (facade, others): (Vec<Set>, Vec<Set>) = sets.into_iter().partition(|(name, _)| name == FACADE);
    if facade.is_empty() || others.is_empty() {
        return Err("found no crate with a feature".into());
    }
    let usual = USUAL_SETS.map(|set| (FACADE.to_owned(), set.to_owned()));
    // The README's program and its dependencies, without the features of any other crate.
    let program = [("counter".to_owned(), String::new())];
    let facade: Vec<Set> = facade.into_iter().chain(usual).chain(program).collect();

    // Most of a check is one crate on one core, so half of them run beside the other half, in a directory of their own.
    let beside = cargo::target()?.join("features");
    thread::scope(|scope| {
        let half = scope.spawn(|| checks(&facade, Some(&beside)));
        let other = checks(&others, None);
        half.join().map_err(|_| "the checks of session-kit panicked")?.and(other)
    })?;
    // The errors of schemes whose feature is off, and of those that need one more.
    for features in ["", "postgres,redis-cluster"] {
        let test = ["test", "--quiet", "--package", FACADE, "--test", "switched_off", "--features", features];
        cargo::run(&mut cargo::cargo(test), false)?;
    }
    Ok(())
}

/// Uses clippy, so that warnings fail and the build of the lints step is reused.
fn checks(sets: &[Set], directory: Option<&Path>) -> Result {
    for (name, features) in sets {
        let mut command = cargo::cargo(["clippy", "--quiet", "--package", name, "--no-default-features"]);
        command.args(["--features", features, "--", "-D", "warnings"]);
        command.envs(directory.map(|directory| ("CARGO_TARGET_DIR", directory)));
        cargo::run(&mut command, false)?;
    }
    Ok(())
}

const FACADE: &str = "session-kit";

/// Feature sets of session-kit that applications use.
const USUAL_SETS: [&str; 9] = [
    "default,axum",
    "axum,cookie,sqlite",
    "axum,cookie,redis,redis-tls,sqlite",
    "axum,cookie,redis-cluster,redis-tls,serde",
    "axum,cookie,postgres",
    "axum,cookie,postgres-tls",
    "tower,cookie,file,mmap,json",
    "axum,sealed",
    "actix,cookie,sqlite",
];

/// Packs each published crate as for the registry, without compiling it again. Fails where a dependency has no version
/// or a file is missing. Needs no network.
fn packages() -> Result {
    let metadata = cargo::metadata()?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mut command = cargo::cargo(["package", "--quiet", "--offline", "--no-verify", "--allow-dirty"]);
    let mut published = 0;
    for package in packages.iter().filter(|package| is_published(package)) {
        command.args(["--package", package["name"].as_str().ok_or("a package without a name")?]);
        published += 1;
    }
    if published == 0 { Err("found no crate to publish".into()) } else { cargo::run(&mut command, false) }
}

fn is_published(package: &serde_json::Value) -> bool {
    package["publish"].is_null()
}

fn dependencies() -> Result<Option<String>> {
    let there =
        Command::new("cargo-deny").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Ok(Some("cargo-deny is not installed, so bans, licences and sources are unchecked".into()));
    }
    done(cargo::run(
        &mut cargo::cargo(["deny", "--all-features", "check", "bans", "licenses", "sources"]),
        false,
    ))
}

/// Skipped where Chromium is missing and cannot be fetched.
fn in_chromium() -> Result<Option<String>> {
    match e2e::find() {
        Ok(programs) => done(e2e::promises(&programs, None, true)),
        Err(error) => Ok(Some(error.to_string())),
    }
}
