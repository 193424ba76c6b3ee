//! The programs of the subjects: built once, run many times.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use session_bench_work::{Args, Work, pause, stopwatch};

use crate::SUBJECT;
use crate::groups::{Area, Group, Program, Subject};
use crate::report::{complain, progress};

/// The figures of one run.
pub(crate) type Figures = HashMap<String, f64>;

/// The built programs and the stores that they left on disk; these are removed at the end.
#[derive(Debug)]
pub(crate) struct Programs {
    ours: PathBuf,
    /// A peer that did not build is not in it.
    peers: BTreeMap<&'static str, PathBuf>,
    data: PathBuf,
}

impl Programs {
    /// Builds the peers of these groups, beside the directory that this program was built in.
    pub(crate) fn build(groups: &[Group], data: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let ours = std::env::current_exe()?;
        let target = ours.parent().and_then(Path::parent).ok_or("this program is nowhere")?.to_owned();
        let mut peers = BTreeMap::new();
        let mut tried = Vec::new();
        for subject in groups.iter().flat_map(|group| &group.subjects) {
            if let Program::Peer(name) = subject.program
                && !tried.contains(&name)
            {
                tried.push(name);
                match build(name, &target.join("peers")) {
                    Ok(path) => drop(peers.insert(name, path)),
                    Err(error) => {
                        complain(&format!("peer {name} cannot be built, its rows are missing: {error}"))
                    }
                }
            }
        }
        // A directory of this run alone, for two may run at once, and one may have been killed.
        let data = data
            .map_or_else(|| target.join("bench-data"), Path::to_owned)
            .join(std::process::id().to_string());
        std::fs::create_dir_all(&data)?;
        Ok(Self { ours, peers, data })
    }

    /// Runs one subject on the work of its group.
    pub(crate) fn run(&self, subject: &Subject, group: &Group, args: Args) -> Result<Figures, String> {
        let program = match subject.program {
            Program::Ours => &self.ours,
            Program::Peer(name) => self.peers.get(name).ok_or("it was not built")?,
        };
        let mut args =
            Args { subject: subject.subject.into(), work: subject.work.unwrap_or(args.work), ..args };
        if group.area == Area::Sqlite {
            args.dir = self.data.join(match subject.program {
                Program::Ours => "ours",
                Program::Peer(name) => name,
            });
            if !args.dir.exists() {
                progress(&format!("filling {}", args.dir.display()));
                call(program, subject.program, &Args { work: Work::Prepare, ..args.clone() })?;
            }
        }
        call(program, subject.program, &args)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // Some hundred megabytes that nobody needs any more; where they cannot be removed they are in the target
        // directory at least.
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

fn call(program: &Path, which: Program, args: &Args) -> Result<Figures, String> {
    let mut command = Command::new(program);
    if which == Program::Ours {
        command.arg(SUBJECT);
    }
    command.args(args.words()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = in_time(command).map_err(|error| error.to_string())?;
    let (text, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, complaint.trim()));
    }
    let line = text.lines().next_back().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| format!("answered {line:?}: {error}"))
}

/// Runs it to its end, or kills it after [`PATIENCE`]. What it prints is shorter than a pipe is, so it never waits for
/// us to read.
fn in_time(mut command: Command) -> io::Result<Output> {
    let mut child = command.spawn()?;
    let start = stopwatch();
    while child.try_wait()?.is_none() {
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not come to an end"));
        }
        pause(Duration::from_millis(20));
    }
    child.wait_with_output()
}

/// Filling a store takes ten seconds on a slow day; a run takes two.
const PATIENCE: Duration = Duration::from_secs(90);

fn build(name: &str, target: &Path) -> Result<PathBuf, String> {
    progress(&format!("building peer {name}"));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name).join("Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(target.join("release").join(format!("session-bench-peer-{name}")))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
