//! The child processes of the suite: each plays a role instead of checking.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::Timestamp;

use crate::child::{Assignment, Line, Post};
use crate::common::nap;
use crate::failure::{Check, Failure};
use crate::stage::{Context, Stage};
use crate::testing::assigned;

/// The storage, arguments and report file of a role.
pub(crate) struct RoleStage {
    pub(crate) stage: Stage,
    pub(crate) args: Vec<String>,
    pub(crate) post: Arc<Post>,
    go: PathBuf,
}

impl RoleStage {
    /// Reports that this process is ready, and waits for the signal with which all children start together.
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

/// A role.
pub(crate) type Role = for<'a> fn(&'a RoleStage) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>;

/// The assignment of this process, or `None` in the parent.
fn assignment() -> Option<Assignment> {
    serde_json::from_str(assigned()?.1.first()?).ok()
}

/// The tag of the suite whose child this process is.
pub(crate) fn tag() -> Option<String> {
    Some(assignment()?.tag)
}

/// If this process is a child, plays the role that it was assigned, and ends the process.
pub(crate) fn serve(context: Context, roles: &[(&str, Role)]) {
    let Some(assignment) = assignment() else { return };
    let file = OpenOptions::new().create(true).append(true).open(&assignment.log);
    let post = Arc::new(Post(Mutex::new(file.expect("the parent made the directory of its child"))));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a child can build a runtime");
    let failure = runtime.block_on(play(context, assignment, roles, Arc::clone(&post))).err();
    post.say(&match failure {
        None => Line::Done,
        Some(Failure::Unmet { expected, actual }) => Line::Failed { expected, actual },
        Some(Failure::Harness(text)) => Line::Failed {
            expected: "a child process opens the storage by attach() and open()".into(),
            actual: text,
        },
    });
    std::process::exit(0)
}

async fn play(context: Context, assignment: Assignment, roles: &[(&str, Role)], post: Arc<Post>) -> Check {
    let context = Context { seed: assignment.seed, full: assignment.full, ..context };
    let now = Timestamp::from_millis(assignment.now);
    let stage = Stage::attached(Arc::new(context), &assignment.address, now)?;
    let role = roles.iter().find(|(name, _)| *name == assignment.role);
    let (_, role) = role.ok_or_else(|| Failure::Harness(format!("no role '{}'", assignment.role)))?;
    role(&RoleStage { stage, args: assignment.args, post, go: assignment.go }).await
}
