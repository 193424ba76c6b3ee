//! `cargo xtask test`: every test of the workspace, and a sum at the end.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cargo::Program;
use crate::tally::Tally;
use crate::{Result, cargo, conformance, demo, servers};

/// How the tests are run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Long forms: longer histories, all orders of three requests, at least 200 kills for each test that kills
    #[arg(long)]
    pub(crate) full: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    // The matrix must show this run, never an older one.
    conformance::forget()?;
    let parts = [
        ("tests and doctests", told(tests(options.full))),
        ("conformance matrix", told(conformance::report().map(Tally::one))),
        ("demo --check", told(demo::check(true))),
    ];

    println!();
    let mut all = Tally::default();
    for (name, tally) in &parts {
        let Tally { passed, failed, ignored } = tally;
        println!("{name:<40} {passed:>5} passed  {failed:>3} failed  {ignored:>3} ignored");
        all.add(tally);
    }
    println!("\n{} passed, {} failed", all.passed, all.failed);
    if all.is_good() { Ok(()) } else { Err("not all tests passed".into()) }
}

/// How many test programs run at once. Most of them wait for servers, child processes or disks.
const AT_ONCE: usize = 4;

/// The programs that take longest. They start first, so that none of them runs alone at the end.
const LONGEST: [(&str, &str); 7] = [
    ("session-store-postgres", "conformance"),
    ("session-store-postgres", "driver"),
    ("session-store-redis", "conformance"),
    ("session-migrate", "conformance"),
    ("conformance", "conformance"),
    ("session-manager", "session"),
    ("session-store-redis", "driver"),
];

/// The packages whose tests wait for servers nearly all the time, and how many of their tests run at once.
const WAITING: ([&str; 2], &str) = (["session-store-postgres", "session-store-redis"], "--test-threads=6");

/// Runs all test programs and doctests of all crates, with every feature.
fn tests(full: bool) -> Result<Tally> {
    let mut programs = cargo::build(&["test", "--workspace", "--all-features", "--no-run"])?;
    let example = conformance::example()?;
    let build: Vec<&str> =
        ["test", "--no-run"].into_iter().chain(example.iter().map(String::as_str)).collect();
    programs.extend(cargo::build(&build)?);
    programs.retain(|program| program.tests);
    if programs.is_empty() {
        return Err("cargo built no test program".into());
    }
    programs.sort_by_key(|program| {
        LONGEST
            .iter()
            .position(|longest| *longest == (&*program.package(), &*program.name))
            .unwrap_or(LONGEST.len())
    });
    let mut jobs = vec![doctests(&["--workspace", "--all-features"]), doctests(&example), switch()?];
    for program in &programs {
        jobs.push(job(program));
        if (&*program.package(), &*program.name) == ("session-store-redis", "conformance") {
            match servers::valkey() {
                Ok(valkey) => {
                    let (name, mut command) = job(program);
                    servers::choose(&mut command, &valkey);
                    jobs.push((format!("{name} on {}", valkey.0), command));
                }
                // The matrix says so again.
                Err(error) => println!("not run: {} on Valkey: {error}", job(program).0),
            }
        }
    }
    if full {
        for (_, command) in &mut jobs {
            command.envs(conformance::FULL);
        }
    }
    let limit = Duration::from_secs(60 * if full { 240 } else { 20 });
    let (jobs, all) = (Mutex::new(jobs.into_iter()), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, command)) = { lock(&jobs).next() } {
                    let tally = told(run_one(&name, command, limit));
                    lock(&all).add(&tally);
                }
            });
        }
    });
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn doctests<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> (String, Command) {
    let mut command = cargo::cargo(["test", "--doc", "--no-fail-fast"]);
    command.args(arguments);
    (cargo::text(&command), command)
}

/// The applications of other session libraries that change to a store of ours. They are a workspace of their own.
fn switch() -> Result<(String, Command)> {
    let mut command = cargo::cargo(["test", "--no-fail-fast"]);
    command.args(cargo::standalone("examples/switch")?);
    Ok(("examples of the switch".to_owned(), command))
}

fn job(program: &Program) -> (String, Command) {
    let mut command = Command::new(&program.path);
    command.current_dir(&program.folder).env("CARGO_MANIFEST_DIR", &program.folder);
    if WAITING.0.contains(&&*program.package()) {
        command.arg(WAITING.1);
    }
    (format!("{} of {}", program.name, program.package()), command)
}

/// Runs one program for at most `limit` and then prints all of its output at once. Until then the output is in a file,
/// not in a pipe: a process that outlives the program would keep a pipe open.
fn run_one(name: &str, mut command: Command, limit: Duration) -> Result<Tally> {
    let folder = cargo::target()?.join("test-output");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.txt", name.replace(['/', ' '], "-")));
    let file = File::create(&path)?;
    let began = stopwatch();
    let mut child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if began.elapsed() < limit => pause(),
            None => {
                child.kill()?;
                println!("\n{name} was killed after {} s", limit.as_secs());
                break child.wait()?;
            }
        }
    };
    let output = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    println!("\n{name} ({} s, {status})\n{output}", began.elapsed().as_secs());
    Ok(Tally::of_run(&output, status.success()))
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, which runs in real time")]
pub(crate) fn pause() {
    thread::sleep(Duration::from_millis(20));
}

#[expect(clippy::disallowed_methods, reason = "a developer wants to know what takes how long")]
pub(crate) fn stopwatch() -> Instant {
    Instant::now()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A part that could not run is one failure.
fn told(tally: Result<Tally>) -> Tally {
    tally.unwrap_or_else(|error| {
        println!("FAIL {error}");
        Tally::one(false)
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn killed_hanging_or_silent_program_is_a_failure() {
        let result = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'";
        for (script, passed, failed) in [
            (result, 2, 0),
            ("true", 0, 1),
            (&*format!("{result} >&2; kill -9 $$"), 2, 1),
            (&*format!("{result}; exec sleep 60"), 2, 1),
            // The process in the background has the program's output.
            (&*format!("sleep 60 & {result}"), 2, 0),
        ] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let tally = run_one("a-test", command, Duration::from_secs(1)).expect("sh starts");
            assert_eq!((tally.passed, tally.failed), (passed, failed), "{script}");
        }
    }
}
