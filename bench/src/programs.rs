//! The programs of the subjects: built once, run many times.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use session_bench_work::{Args, Work, pause, stopwatch};

use crate::SUBJECT;
use crate::groups::{Group, Program, Subject};
use crate::homes::Homes;
use crate::report::{complain, progress};

/// The figures of one run.
pub(crate) type Figures = HashMap<String, f64>;

/// The built programs.
#[derive(Debug)]
pub(crate) struct Programs {
    ours: PathBuf,
    /// A peer that did not build is not in it; else the words that start it.
    peers: BTreeMap<&'static str, Vec<OsString>>,
    homes: Homes,
}

impl Programs {
    /// Builds the peers of these groups, beside the directory that this program was built in.
    pub(crate) fn build(groups: &[Group], data: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let ours = std::env::current_exe()?;
        let target = ours.parent().and_then(Path::parent).ok_or("this program is nowhere")?.to_owned();
        let mut peers = BTreeMap::new();
        let mut tried = Vec::new();
        for subject in groups.iter().flat_map(|group| &group.subjects) {
            let name = match subject.program {
                Program::Ours => continue,
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
                Err(error) => complain(&format!("peer {name} cannot be had, its rows are missing: {error}")),
            }
        }
        let homes = Homes::below(&data.map_or_else(|| target.join("bench-data"), Path::to_owned))?;
        Ok(Self { ours, peers, homes })
    }

    /// The directory of the stores on disk.
    pub(crate) fn data(&self) -> &Path {
        self.homes.data()
    }

    /// Says that this group is next: stores and servers that it does not share with the one before go.
    pub(crate) fn begin(&mut self, group: &Group) -> Result<(), String> {
        self.homes.begin(group)
    }

    /// Runs one subject on the work of its group.
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
            in_time(vec![start(&words, &filling)?])?.first().ok_or("it did not run".into()).and_then(read)
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
            Program::Peer(name) | Program::Perl { script: name, .. } => {
                self.peers.get(name).cloned().ok_or_else(|| "it could not be had".into())
            }
        }
    }

    /// As many processes as are asked for: their rates and failures add up, of their gaps the longest counts.
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

/// The figure that says how many records there were, where the store could not be filled with all of them in time.
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

/// Runs them to their ends, or kills them after [`PATIENCE`]. What they print is shorter than a pipe is, so they never
/// wait for us to read.
fn in_time(mut children: Vec<Child>) -> Result<Vec<Output>, String> {
    let text = |error: io::Error| error.to_string();
    let start = stopwatch();
    for place in 0..children.len() {
        while children[place].try_wait().map_err(text)?.is_none() {
            if start.elapsed() > PATIENCE {
                for child in &mut children {
                    child.kill().and_then(|()| child.wait()).map_err(text)?;
                }
                return Err("it did not come to an end".into());
            }
            pause(Duration::from_millis(20));
        }
    }
    children.into_iter().map(|child| child.wait_with_output().map_err(text)).collect()
}

/// Filling the largest store takes two minutes, and a run a few seconds.
const PATIENCE: Duration = Duration::from_secs(240);

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
    command.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]);
    command.arg(peers().join(name).join("Cargo.toml")).arg("--target-dir").arg(target);
    done(&mut command)?;
    Ok(vec![target.join("release").join(format!("session-bench-peer-{name}")).into()])
}

/// Finds Perl and the module, or installs Debian's packages where this process may.
fn perl(script: &str, module: &str) -> Result<Vec<OsString>, String> {
    let mut there = Command::new("perl");
    there.arg(format!("-M{module}")).args(["-e", "1"]);
    if done(&mut there).is_err() {
        let package = format!("lib{}-perl", module.to_lowercase().replace("::", "-"));
        progress(&format!("installing perl and {package}"));
        install(&package).and_then(|()| done(&mut there)).map_err(|error| {
            format!("install perl and its {module} (Debian: apt-get install perl {package}): {error}")
        })?;
    }
    Ok(vec!["perl".into(), peers().join(script).join(format!("{script}.pl")).into()])
}

fn install(package: &str) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;

    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        return Err("only root may".into());
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    let updated = done(apt().arg("update"));
    // Lists that are there already may do.
    done(apt().args(["install", "-y", "--no-install-recommends", "perl", package])).map_err(|error| {
        let update = updated.err().unwrap_or_default();
        format!("{error} {update}").trim().to_owned()
    })
}

fn done(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
