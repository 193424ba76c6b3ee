//! `copy`: all records of a store to another one.

use std::pin::pin;

use futures_util::StreamExt as _;
use session_core::{Driver, Key, Record, StoreErrorKind};

use crate::config::{CopyOptions, Originals};
use crate::error::{MigrateError, On as _, Side, Sided};
use crate::pair::{Found, Pair, is_immovable};
use crate::report::{CopyReport, Progress};
use crate::walk::{Walk, at_once};

/// Copies every live record of the prefixes from the old store to the new one, with its deadline and revision.
///
/// Applications may use both stores through [`Migrating`](crate::Migrating) meanwhile, in any number of processes, and
/// other copies may run. The copy never overwrites a record of the new store and brings back no record that was removed.
/// It may be killed at any moment and repeated, from the last position that `progress` received or from the beginning.
///
/// A record that the new store cannot hold, or that is damaged, stays in the old store and is counted. With
/// [`Originals::Remove`] a record leaves the old store after the new store was flushed and has returned it equal.
///
/// The memory in use is bounded by one page of records.
///
/// # Errors
/// [`MigrateError`] where a store fails, with the position to continue from. `Misconfigured` if both are the same store,
/// if one of them cannot compare and store, or if a process changes the old store without `Migrating`. `InvalidCursor` for
/// a position of another copy.
pub async fn copy<O: Driver, N: Driver>(
    old: &O,
    new: &N,
    originals: Originals,
    options: CopyOptions,
    mut progress: impl FnMut(&Progress) + Send,
) -> Result<CopyReport, MigrateError> {
    let pair = Pair { old, new };
    let mut report = CopyReport::default();
    let from = options.from.clone();
    pair.check().await.map_err(|error| MigrateError::new(error, from.clone(), report))?;
    let walk = Walk::new(options.prefixes, options.page, options.from).on(Side::Old);
    let mut walk = walk.map_err(|error| MigrateError::new(error, None, report))?;
    loop {
        let position = walk.position();
        let failed = |error, report| MigrateError::new(error, position.clone(), report);
        let page = walk.next(old).await.on(Side::Old).map_err(|error| failed(error, report))?;
        let Some(keys) = page else { return Ok(report) };
        let mut done = report;
        pair.copy_page(keys, originals, options.concurrency, &mut done)
            .await
            .map_err(|error| failed(error, report))?;
        report = done;
        progress(&Progress { report, position: walk.position() });
    }
}

/// What became of one record.
enum Copied {
    Now(Record),
    Before(Record),
    Gone,
    Different,
    TooLarge,
    Damaged,
}

impl<O: Driver, N: Driver> Pair<'_, O, N> {
    /// Copies a page, and makes it safe before it removes anything.
    async fn copy_page(
        &self,
        keys: Vec<Key>,
        originals: Originals,
        concurrency: usize,
        report: &mut CopyReport,
    ) -> Sided<()> {
        let mut stored = Vec::new();
        let mut answers = pin!(at_once(keys, concurrency, |key| async move {
            let copied = self.copy_one(&key).await;
            (key, copied)
        }));
        while let Some((key, copied)) = answers.next().await {
            match copied? {
                Copied::Now(record) => stored.push((key, record, true)),
                Copied::Before(record) => stored.push((key, record, false)),
                Copied::Gone => report.gone += 1,
                Copied::Different => report.different += 1,
                Copied::TooLarge => report.too_large += 1,
                Copied::Damaged => report.damaged += 1,
            }
        }
        if stored.is_empty() {
            return Ok(());
        }
        self.new.flush().await.on(Side::New)?;
        let mut answers = pin!(at_once(stored, concurrency, |(key, record, now)| async move {
            let confirmed = match originals {
                Originals::Remove => self.confirm_and_clean(&key, &record).await,
                Originals::Keep => Ok(true),
            };
            (confirmed, now, record.data.len() as u64)
        }));
        while let Some((confirmed, now, bytes)) = answers.next().await {
            match (confirmed?, now) {
                (true, true) => (report.copied, report.bytes) = (report.copied + 1, report.bytes + bytes),
                (true, false) => report.present += 1,
                (false, _) => report.different += 1,
            }
        }
        Ok(())
    }

    async fn copy_one(&self, key: &Key) -> Sided<Copied> {
        Ok(match self.fill(key).await {
            Ok(Found::Nothing) => Copied::Gone,
            Ok(Found::Copied(record)) => Copied::Now(record),
            Ok(Found::Present { old, new }) if old == new => Copied::Before(old),
            Ok(Found::Present { .. }) => Copied::Different,
            Err(failed) if failed.error.kind() == StoreErrorKind::TooLarge => Copied::TooLarge,
            Err(failed) if is_immovable(&failed.error) => Copied::Damaged,
            Err(failed) => return Err(failed),
        })
    }
}
