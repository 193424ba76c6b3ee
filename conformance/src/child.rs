//! Other processes: this test binary runs itself again, told by a variable to play a role instead of checking.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use session_core::Timestamp;

use crate::clauses::roles::ROLES;
use crate::common::nap;
use crate::failure::{Check, Failure, unmet};
use crate::history::Call;
use crate::settings::{ASSIGNMENT, variable};
use crate::stage::{Context, Stage};

/// What a child tells its parent: one line of JSON each, appended to a file. What was appended outlives the child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// The storage is open; the role waits for the starting signal.
    Ready,
    /// An operation: once when it begins, and once more when it was answered.
    Call(Call),
    /// A number, whose meaning is the role's.
    Note(u64),
    /// The check that the role made has failed.
    Failed { expected: String, actual: String },
    /// The role has come to its end.
    Done,
}

/// What a role has to work with.
pub(crate) struct RoleStage {
    pub(crate) stage: Stage,
    pub(crate) args: Vec<String>,
    pub(crate) post: Arc<Post>,
    go: PathBuf,
}

impl RoleStage {
    /// Says that this process is ready, and waits for the parent's signal, so that all begin at once.
    pub(crate) async fn ready(&self) {
        self.post.say(&Line::Ready);
        while !self.go.exists() {
            nap(Duration::from_millis(1)).await;
        }
    }

    /// An argument as a number.
    pub(crate) fn number(&self, index: usize) -> u64 {
        self.args.get(index).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A role: what a child process does.
pub(crate) type Role = for<'a> fn(&'a RoleStage) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>;

/// Where a child writes its lines.
pub(crate) struct Post(Mutex<File>);

impl Post {
    pub(crate) fn say(&self, line: &Line) {
        let mut text = serde_json::to_vec(line).expect("a line is plain data, which always has its JSON");
        text.push(b'\n');
        // One write per line; a parent that is gone reads nothing, which is no concern of the child's.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text);
    }
}

#[derive(Serialize, Deserialize)]
struct Assignment {
    role: String,
    args: Vec<String>,
    tag: String,
    address: String,
    now: u64,
    seed: u64,
    full: bool,
    log: PathBuf,
    go: PathBuf,
}

/// A child process. Dropping it kills it.
pub(crate) struct Child {
    process: std::process::Child,
    dir: tempfile::TempDir,
    role: String,
}

impl Child {
    /// Starts this binary in `role`, under `wrapper` where that is not empty: a program and its arguments, in which
    /// `{dir}` is a directory that [`read`](Self::read) reads from.
    pub(crate) fn spawn(
        context: &Context,
        role: &str,
        address: &str,
        now: Timestamp,
        args: &[String],
        wrapper: &[&str],
    ) -> Result<Self, Failure> {
        let trouble =
            |cause: std::io::Error| Failure::Trouble(format!("cannot run a child process: {cause}"));
        let dir = tempfile::tempdir().map_err(trouble)?;
        let assignment = Assignment {
            role: role.to_owned(),
            args: args.to_vec(),
            tag: context.tag.clone(),
            address: address.to_owned(),
            now: now.as_millis(),
            seed: context.seed,
            full: context.full,
            log: dir.path().join("log"),
            go: dir.path().join("go"),
        };
        let text = serde_json::to_string(&assignment)
            .map_err(|cause| Failure::Trouble(format!("cannot write an assignment: {cause}")))?;
        let errors = File::create(dir.path().join("errors")).map_err(trouble)?;
        let program = std::env::current_exe().map_err(trouble)?;
        let mut words =
            wrapper.iter().map(|word| word.replace("{dir}", &dir.path().to_string_lossy()).into());
        let mut command = Command::new(words.next().unwrap_or_else(|| program.clone().into_os_string()));
        if !wrapper.is_empty() {
            command.args(words).arg(&program);
        }
        let process = command
            .args([context.test.as_str(), "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
            .env(ASSIGNMENT, text)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(trouble)?;
        Ok(Self { process, dir, role: role.to_owned() })
    }

    /// Waits until the child has its storage open.
    pub(crate) async fn ready(&mut self) -> Check {
        for _ in 0..10_000 {
            if self.lines()?.iter().any(|line| matches!(line, Line::Ready)) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(self.died(&status.to_string()));
            }
            nap(Duration::from_millis(2)).await;
        }
        Err(unmet(format!("the process '{}' is ready within 20 s", self.role), "it is not"))
    }

    /// Gives the starting signal.
    pub(crate) fn go(&self) -> Check {
        File::create(self.dir.path().join("go"))
            .map(drop)
            .map_err(|cause| Failure::Trouble(format!("cannot give the starting signal: {cause}")))
    }

    /// SIGKILL, and what the child had said until then.
    pub(crate) fn kill(mut self) -> Result<Vec<Line>, Failure> {
        if let Ok(Some(status)) = self.process.try_wait() {
            // It was to go on until now.
            self.lines()?;
            return Err(self.died(&status.to_string()));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.lines()
    }

    /// A file that the wrapper has left.
    pub(crate) fn read(&self, name: &str) -> Result<String, Failure> {
        let text = std::fs::read(self.dir.path().join(name));
        let text = text.map_err(|cause| Failure::Trouble(format!("the wrapper left no {name}: {cause}")))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits for the end of the role, and gives what the child said.
    pub(crate) async fn finish(mut self) -> Result<Vec<Line>, Failure> {
        self.end().await
    }

    /// The same, where the wrapper has left files that are still to be read.
    pub(crate) async fn end(&mut self) -> Result<Vec<Line>, Failure> {
        for _ in 0..120_000 {
            if let Ok(Some(status)) = self.process.try_wait() {
                let lines = self.lines()?;
                let done = lines.iter().any(|line| matches!(line, Line::Done));
                return if done { Ok(lines) } else { Err(self.died(&status.to_string())) };
            }
            nap(Duration::from_millis(2)).await;
        }
        Err(unmet(format!("the process '{}' ends within 4 minutes", self.role), "it does not"))
    }

    fn lines(&self) -> Result<Vec<Line>, Failure> {
        let text = match std::fs::read(self.dir.path().join("log")) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(Failure::Trouble(format!("cannot read a child's lines: {cause}"))),
        };
        let mut lines = Vec::new();
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(Line::Failed { expected, actual }) => {
                    let actual = format!("{actual} (in a child process, role '{}')", self.role);
                    return Err(Failure::Unmet { expected, actual });
                }
                Ok(line) => lines.push(line),
                // The last line of a killed process may be cut short.
                Err(_) => break,
            }
        }
        Ok(lines)
    }

    fn died(&self, status: &str) -> Failure {
        let errors = std::fs::read_to_string(self.dir.path().join("errors")).unwrap_or_default();
        let tail: Vec<&str> = errors.lines().rev().take(8).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        unmet(
            format!("the process '{}' goes on to its end", self.role),
            format!("it ended with {status}: {}", tail.join(" | ")),
        )
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The calls among the lines. One whose answer is missing has none.
pub(crate) fn calls_in(lines: &[Line]) -> Vec<Call> {
    let mut calls: std::collections::BTreeMap<u64, Call> = std::collections::BTreeMap::new();
    for line in lines {
        if let Line::Call(call) = line {
            calls.insert(call.id, *call);
        }
    }
    calls.into_values().collect()
}

/// The tag of the suite whose child this process is, or `None` where it is no child.
pub(crate) fn tag() -> Option<String> {
    let assignment: Assignment = serde_json::from_str(&variable(ASSIGNMENT)?).ok()?;
    Some(assignment.tag)
}

/// Plays the role that this process was assigned, if it is a child, and ends it.
pub(crate) fn serve(context: Context) {
    let Some(text) = variable(ASSIGNMENT) else { return };
    let Ok(assignment) = serde_json::from_str::<Assignment>(&text) else { std::process::exit(3) };
    let post = match open_log(&assignment.log) {
        Ok(post) => Arc::new(post),
        Err(_) => std::process::exit(4),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { std::process::exit(5) };
    let failure = runtime.block_on(play(context, assignment, Arc::clone(&post))).err();
    match failure {
        None => post.say(&Line::Done),
        Some(Failure::Unmet { expected, actual }) => post.say(&Line::Failed { expected, actual }),
        Some(Failure::Trouble(text)) => {
            post.say(&Line::Failed { expected: "the storage can be reached from here".into(), actual: text });
        }
    }
    std::process::exit(0)
}

async fn play(context: Context, assignment: Assignment, post: Arc<Post>) -> Check {
    let context = Context { seed: assignment.seed, full: assignment.full, ..context };
    let now = Timestamp::from_millis(assignment.now);
    let stage = Stage::attached(Arc::new(context), &assignment.address, now)?;
    let role = ROLES.iter().find(|(name, _)| *name == assignment.role);
    let (_, role) = role.ok_or_else(|| Failure::Trouble(format!("no role '{}'", assignment.role)))?;
    let post_here = Arc::clone(&post);
    let role_stage = RoleStage { stage, args: assignment.args, post: post_here, go: assignment.go };
    role(&role_stage).await
}

fn open_log(path: &Path) -> std::io::Result<Post> {
    OpenOptions::new().create(true).append(true).open(path).map(|file| Post(Mutex::new(file)))
}
