//! `copy` and `verify`: all records of one store in another.

use serde::Serialize;
use session_kit::migrate::{self, CopyOptions, CopyReport, Originals, VerifyOptions, VerifyReport};

use crate::arguments::{Copy, Verify};
use crate::failure::{Exit, Result};
use crate::progress::Progress;
use crate::store::{Context, Store};

#[derive(Debug, Serialize)]
struct Copied {
    copied: u64,
    present: u64,
    gone: u64,
    different: u64,
    too_large: u64,
    damaged: u64,
    bytes: u64,
    /// Whether all records were read.
    complete: bool,
}

/// Copies, until a signal comes: a copy that was stopped at any point may be repeated.
pub(crate) async fn copy(options: &Copy, context: &mut Context) -> Result<Exit> {
    let old = Store::open(&options.place, false, context).await?;
    let new = Store::open(&options.to.place(), options.create, context).await?;
    let originals = if options.moves { Originals::Remove } else { Originals::Keep };
    let bar = Progress::count("records");
    let mut last = CopyReport::default();
    let progress = |done: &migrate::Progress| {
        last = done.report;
        let CopyReport { copied, present, gone, different, too_large, damaged, .. } = last;
        bar.set(copied + present + gone + different + too_large + damaged);
    };
    let work = migrate::copy(&old.driver, &new.driver, originals, CopyOptions::default(), progress);
    let (report, complete) = match context.stop.or(work).await {
        Ok(done) => (done?, true),
        Err(_) => (last, false),
    };
    drop(bar);
    old.close().await?;
    new.close().await?;
    let CopyReport { copied, present, gone, different, too_large, damaged, bytes, .. } = report;
    let copied = Copied { copied, present, gone, different, too_large, damaged, bytes, complete };
    context.output.item(&copied, || copied.text())?;
    let left = if report.is_complete() { Exit::Done } else { Exit::Damaged };
    Ok(context.stop.requested().filter(|_| !complete).unwrap_or(left))
}

impl Copied {
    fn text(&self) -> String {
        let mut text = table(&[
            ("copied", self.copied),
            ("present before", self.present),
            ("ended meanwhile", self.gone),
            ("different", self.different),
            ("too large", self.too_large),
            ("damaged", self.damaged),
            ("bytes copied", self.bytes),
        ]);
        if !self.complete {
            text.push_str("\ninterrupted: the same command completes it");
        }
        text
    }
}

#[derive(Debug, Serialize)]
struct Compared {
    equal: u64,
    missing: u64,
    other_data: u64,
    other_deadline: u64,
    other_revision: u64,
    damaged_old: u64,
    damaged_new: u64,
    in_new: u64,
}

pub(crate) async fn verify(options: &Verify, context: &mut Context) -> Result<Exit> {
    let old = Store::open(&options.place, false, context).await?;
    let new = Store::open(&options.to.place(), false, context).await?;
    let bar = Progress::count("records");
    let progress = |done: &VerifyReport| bar.set(done.equal + done.differences() + done.in_new);
    let work = migrate::verify(&old.driver, &new.driver, VerifyOptions::default(), progress);
    let report = context.stop.or(work).await??;
    drop(bar);
    old.close().await?;
    new.close().await?;
    let compared = Compared::of(&report);
    context.output.item(&compared, || compared.text())?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::Damaged })
}

impl Compared {
    fn of(report: &VerifyReport) -> Self {
        Self {
            equal: report.equal,
            missing: report.missing,
            other_data: report.other_data,
            other_deadline: report.other_deadline,
            other_revision: report.other_revision,
            damaged_old: report.damaged_old,
            damaged_new: report.damaged_new,
            in_new: report.in_new,
        }
    }

    fn text(&self) -> String {
        table(&[
            ("equal", self.equal),
            ("missing", self.missing),
            ("other data", self.other_data),
            ("other deadline", self.other_deadline),
            ("other revision", self.other_revision),
            ("damaged in old", self.damaged_old),
            ("damaged in new", self.damaged_new),
            ("all in new", self.in_new),
        ])
    }
}

fn table(lines: &[(&str, u64)]) -> String {
    lines.iter().map(|(name, number)| format!("{name:16}{number:>9}")).collect::<Vec<_>>().join("\n")
}
