//! `import`: the live sessions of an older application.

use std::time::Duration;

use serde::Serialize;
use session_kit::handover::{Import as Handover, Imported, ListedSource, Value};
use session_kit::{Session, Sessions};

use crate::arguments::Import;
use crate::failure::{Exit, Failure, Result};
use crate::old::{Kept, Source, at, text};
use crate::password;
use crate::progress::Progress;
use crate::store::{Context, Store};

#[derive(Debug, Serialize)]
struct Report {
    imported: u64,
    known: u64,
    ended: u64,
    without_user: u64,
    malformed: Vec<Malformed>,
    dry_run: bool,
    /// Whether all old sessions were read.
    complete: bool,
}

#[derive(Debug, Serialize)]
struct Malformed {
    reason: String,
    sessions: u64,
}

pub(crate) async fn import(options: &Import, context: &mut Context) -> Result<Exit> {
    let (env, file) = (options.from_password_env.as_deref(), options.from_password_file.as_deref());
    let password = password::read(env, file, context.variable)?;
    let source = Source::open(&options.old, password.as_deref())?;
    let store = Store::open(&options.place, options.create, context).await?;
    let sessions = store.sessions()?;
    let (imported, complete) = match &source {
        Source::Php(source) => run(options, source, &sessions, context).await?,
        Source::Files(source) => run(options, source, &sessions, context).await?,
        #[cfg(unix)]
        Source::FastMmap(source) => run(options, source, &sessions, context).await?,
        Source::Sqlite(source) => run(options, source, &sessions, context).await?,
        Source::Postgres(source) => run(options, source, &sessions, context).await?,
        Source::Redis(source) => run(options, source, &sessions, context).await?,
    };
    store.close().await?;
    if complete && imported.total() == 0 {
        return Err(Failure::NotFound("no session was found: --from or --place may be wrong"));
    }
    let report = Report::new(&imported, options.dry_run, complete);
    context.output.item(&report, || report.text())?;
    let damaged = if report.malformed.is_empty() { Exit::Done } else { Exit::Damaged };
    Ok(context.stop.requested().filter(|_| !complete).unwrap_or(damaged))
}

/// Imports, until a signal comes: an import that was stopped at any point may be run again.
async fn run(
    options: &Import,
    source: &impl ListedSource,
    sessions: &Sessions,
    context: &Context,
) -> Result<(Imported, bool)> {
    let bar = Progress::count("sessions");
    let map = |old: Value, session: &Session| {
        let Some(user) = at(&old, &options.user).and_then(text) else { return Ok(false) };
        session.login(&user)?;
        for keep in &options.keep {
            let (path, name) = keep.split_once('=').unwrap_or((keep, keep));
            if let Some(value) = at(&old, path) {
                session.insert(name, &Kept(value))?;
            }
        }
        Ok(true)
    };
    let mut last = Imported::default();
    let progress = |done: &Imported| {
        bar.set(done.total());
        bar.say(format!("{} imported", done.imported));
        last.clone_from(done);
    };
    let longest = Duration::from_secs(u64::from(options.hours) * 3_600);
    let handover = Handover::new(longest).dry_run(options.dry_run);
    match context.stop.or(handover.run(source, sessions, map, progress)).await {
        Ok(done) => Ok((done?, true)),
        Err(_) => Ok((last, false)),
    }
}

impl Report {
    fn new(imported: &Imported, dry_run: bool, complete: bool) -> Self {
        let malformed = imported.malformed.iter();
        Self {
            imported: imported.imported,
            known: imported.known,
            ended: imported.expired,
            without_user: imported.refused,
            malformed: malformed
                .map(|(reason, &sessions)| Malformed { reason: reason.clone(), sessions })
                .collect(),
            dry_run,
            complete,
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![
            format!("imported      {:>9}", self.imported),
            format!("known before  {:>9}", self.known),
            format!("ended         {:>9}", self.ended),
            format!("without user  {:>9}", self.without_user),
        ];
        lines.extend(
            self.malformed
                .iter()
                .map(|Malformed { reason, sessions }| format!("malformed     {sessions:>9}  {reason}")),
        );
        if self.dry_run {
            lines.push("dry run: nothing was stored".into());
        }
        if !self.complete {
            lines.push("interrupted: the same command completes it".into());
        }
        lines.join("\n")
    }
}
