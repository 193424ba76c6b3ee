//! `cargo xtask ci`: everything that a change must pass.

use std::process::{Command, Stdio};

use clap::Args;

use crate::{Result, cargo, e2e, test};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only the quick checks, without the tests
    #[arg(long)]
    no_tests: bool,
}

/// Later steps run even if an earlier one fails, so that one run shows every failure.
pub(crate) fn run(options: &Options) -> Result {
    let mut steps = vec![
        ("format", step(|| done(cargo::run(&mut cargo::cargo(["fmt", "--all", "--check"]), false)))),
        ("lints", step(|| done(lints()))),
        ("documentation", step(|| done(documentation()))),
        ("each feature by itself", step(|| done(features()))),
        ("usual sets of features", step(|| done(usual_sets()))),
        ("packages", step(|| done(packages()))),
        ("dependencies", step(dependencies)),
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

fn lints() -> Result {
    let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    cargo::run(&mut cargo::cargo(arguments), false)
}

fn documentation() -> Result {
    let mut command = cargo::cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    cargo::run(command.env("RUSTDOCFLAGS", "-D warnings"), false)
}

/// Checks each crate with no feature and with each feature alone. Uses clippy, so that warnings fail and the build of
/// the lints step is reused.
fn features() -> Result {
    let metadata = cargo::metadata()?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mut ran = 0;
    for package in packages {
        let name = package["name"].as_str().ok_or("a package without a name")?;
        let features: Vec<_> =
            package["features"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
        if features.is_empty() {
            continue;
        }
        for feature in std::iter::once("").chain(features.into_iter().map(String::as_str)) {
            if feature == "default" {
                continue;
            }
            let mut command = cargo::cargo(["clippy", "--quiet", "--package", name, "--no-default-features"]);
            if !feature.is_empty() {
                command.args(["--features", feature]);
            }
            cargo::run(command.args(["--", "-D", "warnings"]), false)?;
            ran += 1;
        }
    }
    if ran == 0 { Err("found no crate with a feature".into()) } else { Ok(()) }
}

/// Feature sets of session-kit that applications use, and none.
const USUAL_SETS: [&str; 10] = [
    "",
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

fn usual_sets() -> Result {
    for set in USUAL_SETS {
        let arguments = ["--package", "session-kit", "--no-default-features", "--features", set];
        let mut lints = cargo::cargo(["clippy", "--quiet"]);
        cargo::run(lints.args(arguments).args(["--", "-D", "warnings"]), false)?;
    }
    // The errors of schemes whose feature is off.
    let test = ["test", "--quiet", "--package", "session-kit", "--test", "switched_off"];
    cargo::run(&mut cargo::cargo(test), false)
}

/// Packs each published crate as for the registry, without compiling it again. Fails where a dependency has no version
/// or a file is missing. Needs no network.
fn packages() -> Result {
    let metadata = cargo::metadata()?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mut command = cargo::cargo(["package", "--quiet", "--offline", "--no-verify", "--allow-dirty"]);
    let mut published = 0;
    for package in packages.iter().filter(|package| package["publish"].is_null()) {
        command.args(["--package", package["name"].as_str().ok_or("a package without a name")?]);
        published += 1;
    }
    if published == 0 { Err("found no crate to publish".into()) } else { cargo::run(&mut command, false) }
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
