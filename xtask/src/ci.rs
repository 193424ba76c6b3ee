//! `cargo xtask ci`: what must hold before a change is taken in.

use std::process::{Command, Stdio};

use clap::Args;

use crate::{Result, cargo, test};

/// What is left out.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Checks only, without the tests: what one wants before each commit
    #[arg(long)]
    no_tests: bool,
}

/// Later steps run even if an earlier one failed, so that one run says all there is to say.
pub(crate) fn run(options: &Options) -> Result {
    let mut steps = vec![
        ("format", step(|| cargo::run(&mut cargo::cargo(["fmt", "--all", "--check"]), false))),
        ("lints", step(lints)),
        ("documentation", step(documentation)),
        ("each feature by itself", step(features)),
        ("dependencies", step(dependencies)),
    ];
    if !options.no_tests {
        steps.push(("tests", step(|| test::run(&test::Options { full: false }))));
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

/// What a step took in whole seconds, and how it went: `Some` says why it was skipped.
type Told = (u64, Result<Option<&'static str>>);

fn step<T: Into<Skipped>>(work: impl FnOnce() -> Result<T>) -> Told {
    let before = test::stopwatch();
    let result = work().map(|skipped| skipped.into().0);
    if let Err(error) = &result {
        eprintln!("xtask: {error}");
    }
    (before.elapsed().as_secs(), result)
}

/// Why a step was skipped, if it was.
struct Skipped(Option<&'static str>);

impl From<()> for Skipped {
    fn from((): ()) -> Self {
        Self(None)
    }
}

fn lints() -> Result {
    let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    cargo::run(&mut cargo::cargo(arguments), false)
}

fn documentation() -> Result {
    let mut command = cargo::cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    cargo::run(command.env("RUSTDOCFLAGS", "-D warnings"), false)
}

/// Every feature of every crate alone, and each crate that has any with none of them. The lints' own driver checks
/// them, so that a warning under one feature fails, and what it compiled before is used again.
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
    if ran == 0 { Err("no crate has a feature: that cannot be".into()) } else { Ok(()) }
}

fn dependencies() -> Result<Skipped> {
    let there =
        Command::new("cargo-deny").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Ok(Skipped(Some(
            "cargo-deny is not installed, so bans, licences and sources were not looked at",
        )));
    }
    cargo::run(&mut cargo::cargo(["deny", "--all-features", "check", "bans", "licenses", "sources"]), false)?;
    Ok(Skipped(None))
}
