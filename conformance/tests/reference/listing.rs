//! Pages, and what is due to be purged.

use std::time::Duration;

use session_core::{
    Cursor, Entry, Key, Operation, Page, Prefix, Record, Result, StoreError, StoreErrorKind, Timestamp,
    is_live,
};

use super::log::{Log, Slot};
use super::{Defect, Reference};

/// A page in the order of the keys. The cursor is the last key that was reported.
pub fn page(
    driver: &Reference,
    log: &mut Log,
    prefix: &Prefix,
    from: &Cursor,
    limit: usize,
    live: impl Fn(&Log, &Key) -> Option<Slot>,
) -> Result<Page> {
    if driver.has(Defect::LimitZeroEnds) && limit == 0 {
        return Ok(Page::last(Vec::new()));
    }
    let limit = if driver.has(Defect::WholeAtOnce) { usize::MAX } else { limit.max(1) };
    let after = match start(driver, log, prefix, from) {
        Ok(after) => after,
        Err(_) if driver.has(Defect::GarbageStartsAgain) => None,
        Err(error) => return Err(error),
    };
    // `count` and `clear` ask for large pages.
    let longer =
        driver.has(Defect::PrefixMatchesLonger) || (driver.has(Defect::ClearsOtherPrefixes) && limit > 200);
    let all = driver.has(Defect::CountsOtherPrefixes) && limit > 200;
    let here = |key: &Key| key.is_in(prefix) || all || (longer && key.as_str().starts_with(prefix.as_str()));
    let graves = log.graves.iter().filter(|_| driver.has(Defect::ReportsRemoved));
    let mut keys: Vec<Key> = log.index.keys().chain(graves).filter(|key| here(key)).cloned().collect();
    keys.sort();
    let listed = |key: &Key| {
        live(log, key).is_some() || (driver.has(Defect::ReportsRemoved) && log.graves.contains(key))
    };
    keys.retain(listed);
    if keys.is_empty() && from.is_start() && driver.has(Defect::EmptyTraversalFails) {
        return Err(StoreError::new(StoreErrorKind::Backend, Operation::Traverse));
    }
    let begin = match &after {
        Some(Start::After(key)) if driver.has(Defect::RepeatsKeys) => keys.partition_point(|one| one < key),
        Some(Start::After(key)) => keys.partition_point(|one| one <= key),
        Some(Start::Offset(offset)) => *offset,
        None => 0,
    };
    let end = begin.saturating_add(limit).min(keys.len());
    let mut entries = Vec::new();
    let mut ended = false;
    for key in keys.get(begin..end).unwrap_or_default() {
        let reads =
            matches!(driver.handle.defect, Some(Defect::TraverseFailsAtDamage | Defect::DamageEndsTraverse));
        if reads && let Some(slot) = log.index.get(key).copied() {
            match log.read(key, slot) {
                Err(error) if driver.has(Defect::TraverseFailsAtDamage) => return Err(error),
                Err(_) => {
                    ended = true;
                    break;
                }
                Ok(_) => {}
            }
        }
        entries.push(entry(driver, log, key));
    }
    let next = (end < keys.len() && !ended).then(|| cursor(driver, log, &keys[end - 1], end));
    if driver.has(Defect::TraverseTouches) {
        for entry in &entries {
            let slot = log.index.get(&entry.key).copied();
            if let Some(Some(record)) = slot.map(|slot| log.read(&entry.key, slot)).transpose()? {
                let expires = record.expires.map(|at| at.saturating_add(Duration::from_millis(1)));
                log.put(&entry.key, &Record { expires, ..record })?;
            }
        }
    }
    if next.is_none() && driver.has(Defect::TraverseSkipsLast) {
        entries.pop();
    }
    Ok(Page { entries, next })
}

enum Start {
    After(Key),
    Offset(usize),
}

fn start(driver: &Reference, log: &Log, prefix: &Prefix, from: &Cursor) -> Result<Option<Start>> {
    if from.is_start() {
        return Ok(None);
    }
    let invalid = || StoreError::new(StoreErrorKind::InvalidCursor, Operation::Traverse);
    let text = std::str::from_utf8(from.as_bytes()).map_err(|_| invalid())?;
    let (text, mark) = match driver.handle.defect {
        Some(
            Defect::CursorOfHandle
            | Defect::CursorOfHandleStartsAgain
            | Defect::CursorIsOffset
            | Defect::TraverseFailsOnChange,
        ) => {
            let (mark, text) = text.split_once(' ').ok_or_else(invalid)?;
            (text, mark.parse::<u64>().map_err(|_| invalid())?)
        }
        _ => (text, 0),
    };
    let wide = matches!(
        driver.handle.defect,
        Some(Defect::PrefixMatchesLonger | Defect::CountsOtherPrefixes | Defect::ClearsOtherPrefixes)
    );
    let key = Key::parse(text).ok().filter(|key| wide || key.is_in(prefix)).ok_or_else(invalid)?;
    match driver.handle.defect {
        Some(Defect::CursorOfHandle) if mark != driver.id => return Err(invalid()),
        Some(Defect::CursorOfHandleStartsAgain) if mark != driver.id => return Ok(None),
        Some(Defect::TraverseFailsOnChange) if mark != length(log) => {
            return Err(StoreError::new(StoreErrorKind::Backend, Operation::Traverse));
        }
        Some(Defect::CursorNeedsItsKey) if !log.index.contains_key(&key) => return Err(invalid()),
        Some(Defect::CursorIsOffset) => return Ok(Some(Start::Offset(mark as usize))),
        _ => {}
    }
    Ok(Some(Start::After(key)))
}

fn cursor(driver: &Reference, log: &Log, last: &Key, end: usize) -> Cursor {
    let text = last.as_str();
    let text = match driver.handle.defect {
        Some(Defect::CursorOfHandle | Defect::CursorOfHandleStartsAgain) => format!("{} {text}", driver.id),
        Some(Defect::CursorIsOffset) => format!("{end} {text}"),
        Some(Defect::TraverseFailsOnChange) => format!("{} {text}", length(log)),
        _ => text.to_owned(),
    };
    Cursor::from_bytes(text.into_bytes())
}

fn length(log: &Log) -> u64 {
    log.file.metadata().map_or(0, |meta| meta.len())
}

fn entry(driver: &Reference, log: &Log, key: &Key) -> Entry {
    let Some(slot) = log.index.get(key).copied() else { return Entry::new(key.clone()) };
    let entry = Entry::new(key.clone()).with_deadline(slot.expires).with_revision(slot.revision);
    match log.read(key, slot) {
        Ok(Some(record)) => {
            entry.with_size(record.data.len() as u64 + u64::from(driver.has(Defect::EntryLies)))
        }
        _ => entry,
    }
}

/// The keys of at most `limit` expired records.
pub fn due(driver: &Reference, log: &Log, now: Timestamp, limit: usize) -> Vec<Key> {
    if driver.has(Defect::PurgeRemembersDeadline) {
        let due = log.first_due.iter().filter(|(key, at)| **at <= now && log.index.contains_key(*key));
        return due.take(limit).map(|(key, _)| key.clone()).collect();
    }
    let now = match driver.handle.defect {
        Some(Defect::PurgeTakesLive) => now.saturating_add(Duration::from_millis(10)),
        _ => now,
    };
    let here = |key: &Key| key.prefix() == "session" || !driver.has(Defect::PurgeOnlySessions);
    let due = log.index.iter().filter(|(key, slot)| here(key) && !is_live(slot.expires, now));
    let reads = driver.has(Defect::DamageEndsPurge);
    let due = due.take_while(|(key, slot)| !reads || log.read(key, **slot).is_ok());
    due.take(limit).map(|(key, _)| key.clone()).collect()
}
