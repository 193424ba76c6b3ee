//! Runs one clause on one driver, and reports the result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::advice;
use crate::clauses::roles::ROLES;
use crate::failure::{Check, Failure, unmet};
use crate::harness::{Harness, Kind};
use crate::level::{Level, Requirement};
use crate::matrix::{self, Verdict};
use crate::role;
use crate::settings::Settings;
use crate::stage::{Context, Stage};
use crate::suite::Place;
use crate::table::{CLAUSES, Clause};

/// All clauses for one driver.
pub struct Suite {
    context: Context,
    settings: Settings,
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Suite({})", self.context.harness.name())
    }
}

impl Suite {
    /// The suite of one driver. `suite!` calls it.
    pub fn new(
        harness: impl Harness,
        place: Place,
        lacks: &[(Requirement, &'static str)],
        known: &[(&'static str, &'static str)],
    ) -> Self {
        let settings = Settings::from_env();
        let context = Context {
            harness: Arc::new(Arc::new(harness)),
            place,
            lacks: lacks.to_vec(),
            known: known.to_vec(),
            tag: String::new(),
            test: String::new(),
            full: settings.full,
            recovery: Duration::from_secs(30),
            seed: settings.seed_or_fresh(),
            remark: Arc::default(),
        };
        Self { context, settings }
    }

    /// The same suite with a tag that its child processes read by [`child_tag`], for a test with several harnesses.
    #[must_use]
    pub fn tagged(mut self, tag: impl Into<String>) -> Self {
        self.context.tag = tag.into();
        self
    }

    /// The same suite with its result files in `dir`; the environment is ignored.
    #[must_use]
    pub fn leaving_results_in(mut self, dir: impl Into<PathBuf>) -> Self {
        self.settings.out = Some(dir.into());
        self
    }

    /// The same suite with less time for a handle to work again after a failure; 30 seconds by default. For tests with
    /// drivers that never do.
    #[must_use]
    pub fn recovering_within(mut self, limit: Duration) -> Self {
        self.context.recovery = limit;
        self
    }

    /// Runs the clause of the test `name`, leaves a result file, and panics unless the verdict is green.
    ///
    /// # Panics
    /// If the clause or the harness fails, or if a clause in `known` passes.
    pub fn run(&self, name: &str) {
        let (context, clause) = (self.for_test(name), by_name(name));
        let dir = self.results();
        let driver = self.context.harness.name();
        let version = self.context.place.version;
        if clause.id == matrix::DECLARATIONS {
            matrix::declare(&dir, &driver, version, &self.context.lacks);
        }
        let link = self.context.known.iter().find(|(id, _)| *id == clause.id).map(|(_, link)| *link);
        let outcome = examine(&context, clause, self.patience()).and_then(|()| self.known_ids(clause));
        let (verdict, reason, red) = match (outcome, link) {
            (Ok(()), None) => {
                let remark = context.remark.lock().unwrap_or_else(PoisonError::into_inner);
                (Verdict::Pass, remark.clone(), None)
            }
            (Ok(()), Some(link)) => {
                let text = format!("known to fail ({link}), but it passes: take it out of `known`");
                (Verdict::Fail, text.clone(), Some(unmet("the failure that was declared", text)))
            }
            (Err(Failure::Unmet { .. }), Some(link)) => (Verdict::Known, link.to_owned(), None),
            (Err(Failure::Harness(text)), _) => (Verdict::Error, text.clone(), Some(Failure::Harness(text))),
            (Err(failure), None) => (Verdict::Fail, short(&failure), Some(failure)),
        };
        matrix::leave(&dir, &driver, version, clause.id, verdict, &reason);
        if let Some(failure) = red {
            panic!("{}", report(&context, clause, name, &failure));
        }
    }

    /// Runs the clause of an ignored test on request. It writes no result file: the clause stays `n/a`.
    ///
    /// # Panics
    /// If the clause fails, which is expected.
    pub fn run_ignored(&self, name: &str) {
        let (context, clause) = (self.for_test(name), by_name(name));
        if let Err(failure) = examine(&context, clause, self.patience()) {
            panic!("{}", report(&context, clause, name, &failure));
        }
    }

    /// Runs the clause `id` in the test `test`, and returns the result instead of a verdict. For tests of the suite.
    ///
    /// # Errors
    /// The failure of the clause.
    pub fn examine(&self, id: &str, test: &str, patience: Duration) -> Result<(), Failure> {
        let clause = crate::table::clause(id).ok_or_else(|| Failure::Harness(format!("no clause {id}")))?;
        examine(&self.for_test(test), clause, patience)
    }

    /// Clause B01 checks the declarations, `known` among them.
    fn known_ids(&self, clause: &Clause) -> Check {
        let mut ids = self.context.known.iter().map(|(id, _)| *id);
        match ids.find(|id| clause.id == matrix::DECLARATIONS && crate::table::clause(id).is_none()) {
            Some(id) => Err(unmet("`known` names existing clauses", format!("no clause {id}"))),
            None => Ok(()),
        }
    }

    /// The context of the test `name`. A child process plays its role instead, and ends.
    fn for_test(&self, name: &str) -> Context {
        let inner = self.context.place.module.split_once("::").map(|(_, inner)| format!("{inner}::"));
        let test = inner.unwrap_or_default() + name;
        let context = Context { test, ..self.context.clone() };
        role::serve(context.clone(), ROLES);
        context
    }

    fn patience(&self) -> Duration {
        // A hanging test is noticed after this time. A test that only waits for a slow disk or server must not be.
        Duration::from_secs(if self.settings.full { 2_400 } else { 600 })
    }

    fn results(&self) -> PathBuf {
        self.settings.out.clone().unwrap_or_else(|| matrix::next_to(self.context.place.scratch))
    }
}

/// In a child process, the tag of the suite that it belongs to.
#[must_use]
pub fn child_tag() -> Option<String> {
    role::tag()
}

fn by_name(name: &str) -> &'static Clause {
    let found = CLAUSES.iter().find(|clause| clause.name == name);
    found.expect("suite! takes its tests from the table")
}

/// Runs a clause on its own thread, so that a driver that blocks forever is a failure and not a stuck run.
fn examine(context: &Context, clause: &'static Clause, patience: Duration) -> Check {
    let (tell, told) = channel();
    let context = Arc::new(context.clone());
    let thread = std::thread::Builder::new().name(clause.id.to_owned()).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| on_runtime(context, clause)));
        let _ = tell.send(result.unwrap_or_else(|panic| Err(unmet("no call panics", panic_text(&*panic)))));
    });
    if let Err(cause) = thread {
        return Err(Failure::Harness(format!("cannot start a thread: {cause}")));
    }
    match told.recv_timeout(patience) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            Err(unmet(format!("the clause ends within {} s", patience.as_secs()), "a call hangs"))
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(unmet("no call panics", "the thread of the clause has ended"))
        }
    }
}

fn on_runtime(context: Arc<Context>, clause: &Clause) -> Check {
    // Up to level expiry calls are sequential. Above it, tasks must race on several threads.
    let mut builder = match clause.level {
        Level::Basic | Level::Traverse | Level::Expiry => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(4).enable_all().build();
    let runtime = runtime.map_err(|cause| Failure::Harness(format!("cannot build a runtime: {cause}")))?;
    let result = runtime.block_on(async {
        let stage = Stage::new(context, Kind::Plain).await?;
        (clause.check)(&stage).await
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}

fn short(failure: &Failure) -> String {
    match failure {
        Failure::Unmet { expected, actual } => format!("expected {expected}; got {actual}"),
        Failure::Harness(text) => text.clone(),
    }
}

fn report(context: &Context, clause: &Clause, name: &str, failure: &Failure) -> String {
    let Place { package, version, target, .. } = context.place;
    let (result, (section, change)) = match failure {
        Failure::Unmet { expected, actual } => {
            let reason = clause.reason.split_whitespace().collect::<Vec<_>>().join(" ");
            let result = format!("because:  {reason}\nexpected: {expected}\nactual:   {actual}");
            (result, advice::of(clause))
        }
        Failure::Harness(text) => {
            (format!("error:    the harness failed\ncause:    {text}"), advice::HARNESS)
        }
    };
    let full = if context.full { "SESSION_KIT_FULL=1 " } else { "" };
    format!(
        "\ndriver:   {} ({package} {version})\nclause:   {} ({}, level {})\nsentence: {}\n{result}\n\
         change:   {change}\nread:     \"{section}\" in the README of session-conformance, and {} in SPEC.md\n\
         again:    {full}SESSION_KIT_SEED={} cargo test -p {package} --test {target} {} -- --exact \
         --include-ignored\n",
        context.harness.name(),
        clause.id,
        clause.strength(),
        clause.level,
        clause.text,
        clause.id,
        context.seed,
        if context.test.is_empty() { name } else { &context.test },
    )
}
