//! The programs of the subjects, built once and run many times.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use session_bench_work::{Args, Work, pause, stopwatch};

use crate::SUBJECT;
use crate::console::{complain, progress};
use crate::groups::{Group, Program, Subject};
use crate::homes::{Figures, Homes};

/// The built programs.
#[derive(Debug)]
pub(crate) struct Programs {
    ours: PathBuf,
    /// The earlier build, if the run compares with one.
    before: Option<PathBuf>,
    /// The command of each peer that could be built.
    peers: BTreeMap<&'static str, Vec<OsString>>,
    homes: Homes,
}

impl Programs {
    /// Builds the peers of these groups, beside this program's build directory.
    pub(crate) fn build(
        groups: &[Group],
        data: Option<&Path>,
        before: Option<PathBuf>,
    ) -> Result<Self, Box<dyn Error>> {
        let ours = std::env::current_exe()?;
        let target = ours.parent().and_then(Path::parent).ok_or("this program has no path")?.to_owned();
        let mut peers = BTreeMap::new();
        let mut tried = Vec::new();
        for subject in groups.iter().flat_map(|group| &group.subjects) {
            let name = match subject.program {
                Program::Ours | Program::Before => continue,
                Program::Peer(name) | Program::Perl { script: name, .. } => name,
            };
            if tried.contains(&name) {
                continue;
            }
            tried.push(name);
            let built = match subject.program {
                Program::Perl { script, module } => perl(script, module),
                _ => cargo(name, &target.join("peers")),
            };
            match built {
                Ok(words) => drop(peers.insert(name, words)),
                Err(error) => {
                    complain(&format!("peer {name} is unavailable, its rows are left out: {error}"))
                }
            }
        }
        let homes = Homes::below(&data.map_or_else(|| target.join("bench-data"), Path::to_owned))?;
        Ok(Self { ours, before, peers, homes })
    }

    /// The directory of the stores on disk.
    pub(crate) fn data(&self) -> &Path {
        self.homes.data()
    }

    /// Starts a group: removes stores and servers that it does not share with the previous group.
    pub(crate) fn begin(&mut self, group: &Group) -> Result<(), String> {
        self.homes.begin(group)
    }

    /// Runs one subject.
    pub(crate) fn run(&mut self, subject: &Subject, args: Args) -> Result<Figures, String> {
        let mut args = Args {
            subject: subject.subject.into(),
            work: subject.work.unwrap_or(args.work),
            records: subject.records.unwrap_or(args.records),
            ..args
        };
        let words = self.words(subject.program)?;
        let asked = args.records;
        self.homes.furnish(subject, &mut args, |args| {
            let filling = Args { work: Work::Prepare, processes: 1, ..args.clone() };
            in_time(vec![start(&words, &filling)?])?
                .first()
                .ok_or("the subject did not run".into())
                .and_then(read)
        })?;
        let mut figures = self.together(&words, &args)?;
        if args.records < asked {
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
            figures.insert(FEWER.to_owned(), args.records as f64);
        }
        Ok(figures)
    }

    fn words(&self, program: Program) -> Result<Vec<OsString>, String> {
        match program {
            Program::Ours => Ok(vec![self.ours.clone().into(), SUBJECT.into()]),
            Program::Before => {
                let before = self.before.clone().ok_or("no earlier build was given")?;
                Ok(vec![before.into(), SUBJECT.into()])
            }
            Program::Peer(name) | Program::Perl { script: name, .. } => {
                self.peers.get(name).cloned().ok_or_else(|| "the peer is unavailable".into())
            }
        }
    }

    /// Runs the requested number of processes. Rates and failures are added; of other figures the largest counts.
    fn together(&mut self, words: &[OsString], args: &Args) -> Result<Figures, String> {
        let meeting = self.homes.meeting().map_err(|error| error.to_string())?;
        let started = (0..args.processes)
            .map(|process| start(words, &Args { process, meeting: meeting.clone(), ..args.clone() }))
            .collect::<Result<_, _>>()?;
        let mut all = Figures::new();
        for output in in_time(started)? {
            for (name, value) in read(&output)? {
                let adds_up = matches!(name.as_str(), "rate" | "failed");
                let so_far = all.entry(name).or_insert(0.0);
                *so_far = if adds_up { *so_far + value } else { so_far.max(value) };
            }
        }
        Ok(all)
    }
}

/// The figure with the number of records, if the store could not be filled completely in time.
pub(crate) const FEWER: &str = "records";

fn start(words: &[OsString], args: &Args) -> Result<Child, String> {
    let (program, first) = words.split_first().ok_or("no program")?;
    Command::new(program)
        .args(first)
        .args(args.words())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())
}

/// Waits for the processes, and kills them after [`TIMEOUT`]. Their output fits into a pipe, so they never wait for a
/// reader.
fn in_time(mut children: Vec<Child>) -> Result<Vec<Output>, String> {
    let text = |error: io::Error| error.to_string();
    let start = stopwatch();
    for place in 0..children.len() {
        while children[place].try_wait().map_err(text)?.is_none() {
            if start.elapsed() > TIMEOUT {
                for child in &mut children {
                    child.kill().and_then(|()| child.wait()).map_err(text)?;
                }
                return Err("the subject timed out".into());
            }
            pause(Duration::from_millis(20));
        }
    }
    children.into_iter().map(|child| child.wait_with_output().map_err(text)).collect()
}

/// Filling the largest store takes up to ten minutes; a run takes a few seconds.
const TIMEOUT: Duration = Duration::from_secs(720);

fn read(output: &Output) -> Result<Figures, String> {
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next_back().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| format!("answered {line:?}: {error}"))
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Builds a workspace.
fn cargo(name: &str, target: &Path) -> Result<Vec<OsString>, String> {
    progress(&format!("building peer {name}"));
    let mut command = Command::new(env!("CARGO"));
    // The compiler beside that cargo. The `rustc` of rustup runs in the folder of the package that is compiled, and obeys a
    // toolchain file there: the package of atoi 2.0.0, on which sqlx depends, has one for Rust 1.57.
    let compiler = Path::new(env!("CARGO")).with_file_name("rustc");
    if compiler.exists() {
        command.env("RUSTC", compiler);
    }
    command.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]);
    command.arg(peers().join(name).join("Cargo.toml")).arg("--target-dir").arg(target);
    done(&mut command)?;
    Ok(vec![target.join("release").join(format!("session-bench-peer-{name}")).into()])
}

/// Finds Perl and the module, or installs Debian's packages if this process may.
fn perl(script: &str, module: &str) -> Result<Vec<OsString>, String> {
    let mut there = Command::new("perl");
    there.arg(format!("-M{module}")).args(["-e", "1"]);
    if done(&mut there).is_err() {
        let package = format!("lib{}-perl", module.to_lowercase().replace("::", "-"));
        progress(&format!("installing perl and {package}"));
        let installed = xtask_debian::install(&["perl", &package]).map_err(|error| error.to_string());
        installed.and_then(|()| done(&mut there)).map_err(|error| {
            format!("install perl and its {module} (Debian: apt-get install perl {package}): {error}")
        })?;
    }
    Ok(vec!["perl".into(), peers().join(script).join(format!("{script}.pl")).into()])
}

fn done(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
