//! Child processes of the suite: this test binary runs itself again, in a role.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::common::nap;
use crate::failure::{Check, Failure, unmet};
use crate::history::Call;
use crate::stage::Stage;
use crate::testing::ChildProcess;

/// A child's report to its parent: a line of JSON, appended to a file that outlives the child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// The storage is open, and the role waits for the starting signal.
    Ready,
    /// An operation: once when it starts, and again when it is answered.
    Call(Call),
    /// A number whose meaning depends on the role.
    Note(u64),
    /// A check of the role failed.
    Failed { expected: String, actual: String },
    /// The role is finished.
    Done,
}

/// The file to which a child appends its lines.
pub(crate) struct Post(pub(crate) Mutex<File>);

impl Post {
    pub(crate) fn say(&self, line: &Line) {
        let mut text = serde_json::to_vec(line).expect("a line is plain data, which always has its JSON");
        text.push(b'\n');
        // One write per line. An error means that the parent has ended.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text);
    }
}

/// The task of a child process.
#[derive(Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) role: String,
    pub(crate) args: Vec<String>,
    pub(crate) tag: String,
    pub(crate) address: String,
    pub(crate) now: u64,
    pub(crate) seed: u64,
    pub(crate) full: bool,
    /// The file to which the child appends its lines.
    pub(crate) log: PathBuf,
    /// The file whose existence is the starting signal.
    pub(crate) go: PathBuf,
}

const NO_ADDRESS: &str = "the harness has no address(): write address() and attach(), or declare that the driver lacks \
                          `Kill` and `Processes`";

/// A child process. Dropping it kills it.
pub(crate) struct Child {
    process: ChildProcess,
    dir: tempfile::TempDir,
    role: String,
}

impl Stage {
    /// Starts this binary in `role` on this storage. A `wrapper` is a program with arguments that runs it; in them, `{dir}`
    /// is the directory that [`Child::read`] reads from.
    pub(crate) fn child(&self, role: &str, args: &[String], wrapper: &[&str]) -> Result<Child, Failure> {
        let trouble = |cause: std::io::Error| Failure::Harness(format!("no child process: {cause}"));
        let missing = || Failure::Harness(NO_ADDRESS.into());
        let (context, dir) = (&self.context, tempfile::tempdir().map_err(trouble)?);
        let assignment = Assignment {
            role: role.to_owned(),
            args: args.to_vec(),
            tag: context.tag.clone(),
            address: self.storage.address().ok_or_else(missing)?,
            now: self.now().as_millis(),
            seed: context.seed,
            full: context.full,
            log: dir.path().join("log"),
            go: dir.path().join("go"),
        };
        let text = serde_json::to_string(&assignment)
            .map_err(|cause| Failure::Harness(format!("cannot write an assignment: {cause}")))?;
        let words: Vec<_> =
            wrapper.iter().map(|word| word.replace("{dir}", &dir.path().to_string_lossy())).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let errors = File::create(dir.path().join("errors")).map_err(trouble)?;
        let mut command = ChildProcess::command(&context.test, &[&text], &words);
        let process = ChildProcess::try_start(command.stderr(errors)).map_err(trouble)?;
        Ok(Child { process, dir, role: role.to_owned() })
    }

    /// The same, and waits until the role has begun.
    pub(crate) async fn started(&self, role: &str, args: &[String]) -> Result<Child, Failure> {
        let mut child = self.child(role, args, &[])?;
        child.begin().await?;
        Ok(child)
    }
}

impl Child {
    /// Waits until the child has opened its storage.
    pub(crate) async fn ready(&mut self) -> Check {
        self.told("is ready", |lines| lines.iter().any(|line| matches!(line, Line::Ready))).await
    }

    /// Waits until the child has got `count` answers.
    pub(crate) async fn answered(&mut self, count: usize) -> Check {
        let what = format!("has got {count} answers");
        self.told(&what, |lines| calls_in(lines).iter().filter(|call| call.end.is_some()).count() >= count)
            .await
    }

    async fn told(&mut self, what: &str, is_told: impl Fn(&[Line]) -> bool) -> Check {
        for _ in 0..10_000 {
            if is_told(&lines(self.dir.path(), &self.role)?) {
                return Ok(());
            }
            if let Some(status) = self.process.ended() {
                return Err(self.died(&status.to_string()));
            }
            nap(Duration::from_millis(2)).await;
        }
        Err(unmet(format!("the process '{}' {what} within 20 s", self.role), "not within 20 s"))
    }

    /// Gives the starting signal.
    pub(crate) fn go(&self) -> Check {
        File::create(self.dir.path().join("go"))
            .map(drop)
            .map_err(|cause| Failure::Harness(format!("cannot give the starting signal: {cause}")))
    }

    /// Both.
    pub(crate) async fn begin(&mut self) -> Check {
        self.ready().await?;
        self.go()
    }

    /// Kills the child with SIGKILL, and returns its lines.
    pub(crate) fn kill(mut self) -> Result<Vec<Line>, Failure> {
        if let Some(status) = self.process.ended() {
            lines(self.dir.path(), &self.role)?;
            return Err(self.died(&status.to_string()));
        }
        drop(self.process.kill());
        lines(self.dir.path(), &self.role)
    }

    /// A file that the wrapper wrote.
    pub(crate) fn read(&self, name: &str) -> Result<String, Failure> {
        let text = std::fs::read(self.dir.path().join(name));
        let text = text.map_err(|cause| Failure::Harness(format!("the wrapper wrote no {name}: {cause}")))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits until the role is finished, and returns the child's lines.
    pub(crate) async fn finish(&mut self) -> Result<Vec<Line>, Failure> {
        for _ in 0..120_000 {
            if let Some(status) = self.process.ended() {
                let lines = lines(self.dir.path(), &self.role)?;
                let done = lines.iter().any(|line| matches!(line, Line::Done));
                return if done { Ok(lines) } else { Err(self.died(&status.to_string())) };
            }
            nap(Duration::from_millis(2)).await;
        }
        Err(unmet(format!("the process '{}' ends within 4 minutes", self.role), "it is still running"))
    }

    fn died(&self, status: &str) -> Failure {
        let errors = std::fs::read_to_string(self.dir.path().join("errors")).unwrap_or_default();
        let errors: Vec<&str> = errors.lines().collect();
        unmet(
            format!("the process '{}' is finished", self.role),
            format!("it ended with {status}: {}", errors[errors.len().saturating_sub(8)..].join(" | ")),
        )
    }
}

/// The lines in the directory of a child.
fn lines(dir: &Path, role: &str) -> Result<Vec<Line>, Failure> {
    let text = match std::fs::read(dir.join("log")) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(Failure::Harness(format!("cannot read a child's lines: {cause}"))),
    };
    let mut lines = Vec::new();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Line::Failed { expected, actual }) => {
                let actual = format!("{actual} (in a child process, role '{role}')");
                return Err(Failure::Unmet { expected, actual });
            }
            Ok(line) => lines.push(line),
            // The last line of a killed process may be incomplete.
            Err(_) => break,
        }
    }
    Ok(lines)
}

/// The calls among the lines.
pub(crate) fn calls_in(lines: &[Line]) -> Vec<Call> {
    let calls = lines.iter().filter_map(|line| if let Line::Call(call) = line { Some(call) } else { None });
    let newest: BTreeMap<u64, Call> = calls.map(|call| (call.id, *call)).collect();
    newest.into_values().collect()
}

/// The notes among the lines.
pub(crate) fn notes_in(lines: &[Line]) -> Vec<u64> {
    lines.iter().filter_map(|line| if let Line::Note(number) = line { Some(*number) } else { None }).collect()
}
