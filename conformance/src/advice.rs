//! What a driver author should look at when a clause fails: one line per clause, and a section of the guide.

use crate::table::Clause;

/// A section of the guide in README.md.
const READS: &str = "Reads";
const CHANGES: &str = "Changes";
const TOUCH: &str = "Touch";
const CLOSE: &str = "Close, flush and errors";
const TRAVERSAL: &str = "Traversal";
const EXPIRY: &str = "Expiry and purge";
const TASKS: &str = "Many tasks";
const PROCESSES: &str = "Handles and processes";
const DURABLE: &str = "Durability";
const FAULTS: &str = "Faults";
const CLAIMS: &str = "Claims";
const LEVEL_SESSION: &str = "Level session";

/// The section of the guide and the usual change for a failed clause.
pub(crate) fn of(clause: &Clause) -> (&'static str, &'static str) {
    let row = ADVICE.iter().find(|(id, _, _)| *id == clause.id);
    match row {
        Some((_, section, change)) => (section, change),
        // Level session has no rows: its clauses test session-manager, on a driver that passes the other levels.
        None => (LEVEL_SESSION, SESSION),
    }
}

/// The section about the harness, for failures that say nothing about the driver.
pub(crate) const HARNESS: (&str, &str) = (
    "The harness",
    "the hook that the cause names, in your `tests/conformance.rs`; the driver was not judged",
);

const SESSION: &str = "the failed clauses of the other levels first; if there are none, repeat the clause with this seed \
                       and report it as a mistake of session-manager";

#[rustfmt::skip]
const ADVICE: &[(&str, &str, &str)] = &[
    ("B01", CLAIMS, "`capabilities()` or `lacks`, so that both say the same; an operation that you lack fails with `StoreError::unsupported`"),
    ("B02", READS, "store and return data, deadline and revision together, unchanged"),
    ("B03", CHANGES, "replace the whole record, also the deadline if the new one has none"),
    ("B04", READS, "`retrieve` only looks: no upsert, no `entry().or_insert`"),
    ("B05", READS, "tell empty data from a missing record, for example by a column that is not null"),
    ("B06", READS, "store data as bytes (BLOB, binary), not as text"),
    ("B07", CHANGES, "use a type of column or value without a smaller limit, or claim the limit as `max_record_bytes`"),
    ("B08", CHANGES, "call `check_record_bytes` before the write, and write nothing if it fails"),
    ("B09", READS, "pass the key as a parameter, or encode it before it becomes a path or a name"),
    ("B10", READS, "compare keys as bytes: a binary collation, no trimming, no lower case"),
    ("B11", READS, "use the whole key with its prefix, `key.as_bytes()`, not `key.id()`"),
    ("B12", READS, "allow keys of `Key::MAX_LEN` bytes, or hash them with all their bytes"),
    ("B13", CHANGES, "remove the record of this key only, and leave no mark that blocks a later store"),
    ("B14", CHANGES, "answer `Applied` only if a live record was removed: carry out what `ChangeRequest::decide` says"),
    ("B15", CHANGES, "carry out what `ChangeRequest::decide` says for a removal with `Absent`"),
    ("B16", CHANGES, "compare the revision in the same step as the removal"),
    ("B17", CHANGES, "check for a live record in the same step as the insert"),
    ("B18", CHANGES, "compare the revision in the same step as the write"),
    ("B19", CHANGES, "write under `Revision` only over a live record: no upsert"),
    ("B20", CHANGES, "read the live record in the step that found the conflict, and return all of it"),
    ("B21", CHANGES, "compare the offered revision with the live one before you answer `Conflict`: `ChangeRequest::decide` does"),
    ("B22", CHANGES, "store the revision as eight bytes, not as a number or text"),
    ("B23", TOUCH, "set deadline and revision, keep the data, and answer `true`"),
    ("B24", TOUCH, "compare the revision with `touch.from` in the same step"),
    ("B25", TOUCH, "update only: a touch never inserts"),
    ("B26", TOUCH, "answer `true` if the live record already has revision `touch.to`"),
    ("B27", TOUCH, "set the deadline that is given, also an earlier one or none"),
    ("B28", PROCESSES, "share the store between clones, for example behind an `Arc`"),
    ("B29", TASKS, "make the write one step that a dropped future cannot split: no `.await` between its halves"),
    ("B30", CLOSE, "roll back the transaction and return the connection on every path that fails"),
    ("B31", CLOSE, "keep keys, data and parameters out of error texts and their sources"),
    ("B32", CLOSE, "check a `Gate` first in every call, also in `flush`, and close it in `close`"),
    ("B33", CLOSE, "let `flush` succeed if there is nothing to write"),
    ("B34", EXPIRY, "store the deadline as 64-bit milliseconds, and calculate with saturation"),
    ("B35", CHANGES, "take the decision from `ChangeRequest::decide`, and carry out exactly that"),
    ("B36", CLAIMS, "do not await in `retrieve`, or do not claim `at_once`"),
    ("B37", CHANGES, "compare only the revision of `loaded` in `store_over`, or leave the default"),
    ("B38", CHANGES, "forget the cached record before each change, and keep what the store says, not what was offered; or leave the default of `retrieve_recent`"),
    ("T01", TRAVERSAL, "continue after the last key of the page, for all bytes that a key may have"),
    ("T02", TRAVERSAL, "compare the prefix with its colon: `key.is_in(prefix)`"),
    ("T03", TRAVERSAL, "treat a limit of 0 as 1, and allow `usize::MAX`"),
    ("T04", TRAVERSAL, "return an empty last page where no key matches"),
    ("T05", TRAVERSAL, "take deadline, revision and size from the record itself, or leave them out of the entry"),
    ("T06", TRAVERSAL, "leave out records whose deadline has passed by the clock"),
    ("T07", TRAVERSAL, "let the cursor name a key, not a position: offsets shift"),
    ("T08", TRAVERSAL, "read each page from the store when it is asked for: no snapshot of keys"),
    ("T09", TRAVERSAL, "check the cursor's bytes and fail with `StoreError::invalid_cursor`; `Cursor::key` does"),
    ("T10", TRAVERSAL, "put all that the next page needs into the cursor, nothing into the handle"),
    ("T11", TRAVERSAL, "end a page near its limit"),
    ("T12", TRAVERSAL, "walk in an order that growth does not change, or do not claim `exactly_once`"),
    ("T13", TRAVERSAL, "report every live key in `traverse`, once if you claim `exactly_once`"),
    ("T14", TRAVERSAL, "report keys of this prefix only, and let `remove` say whether it removed"),
    ("T15", TRAVERSAL, "read only: a traversal moves no deadline"),
    ("T16", TRAVERSAL, "let the cursor work if the record of its key is gone"),
    ("T17", TRAVERSAL, "call `yield_now().await` once per page if the page needs no other await"),
    ("E01", EXPIRY, "compare with `record.is_live(self.clock().now())`: expired is `now >= deadline`"),
    ("E02", EXPIRY, "check the deadline in `retrieve`, whether or not `purge` has run"),
    ("E03", EXPIRY, "treat an expired record as absent in every condition"),
    ("E04", EXPIRY, "check the deadline before the revision"),
    ("E05", EXPIRY, "answer `Conflict(None)` for an expired record, under `Absent` `Applied`"),
    ("E06", EXPIRY, "check the deadline in `touch` too"),
    ("E07", EXPIRY, "judge by the deadline of the last touch, also in an index of deadlines"),
    ("E08", EXPIRY, "remove the old record if the condition holds and the offered one has expired: `Decision::Delete`"),
    ("E09", EXPIRY, "accept a past deadline in `touch`: the record has ended then"),
    ("E10", EXPIRY, "keep \"no deadline\" apart from every number"),
    ("E11", EXPIRY, "do not use 0 for \"no deadline\""),
    ("E12", EXPIRY, "remove what has expired by the clock, and count each removal once"),
    ("E13", EXPIRY, "stop at the limit and answer `more: true` while expired records may remain"),
    ("E14", EXPIRY, "check the deadline of each record in the step that removes it"),
    ("E15", EXPIRY, "purge over all prefixes"),
    ("E16", EXPIRY, "answer `more: false` once a pass has found no expired record"),
    ("E17", EXPIRY, "check the deadline again at the removal: the record may be a new one"),
    ("E18", EXPIRY, "check the deadline of a cached record by the clock, as for any other"),
    ("C01", TASKS, "compare and write under one lock, in one transaction or in one statement"),
    ("C02", TASKS, "check and insert in one step, and return the record that was there"),
    ("C03", TASKS, "find out in the removing step whether there was a record"),
    ("C04", TASKS, "let stores and removals compare under the same lock or in the same statement"),
    ("C05", TASKS, "publish a record as a whole: one value, one row, one rename"),
    ("C06", TASKS, "replace in one step, without removing the old record first"),
    ("C07", TASKS, "touch in one step, or by a store on the revision that was read"),
    ("C08", TASKS, "touch in one step that needs a live record"),
    ("C09", EXPIRY, "check the deadline in the step that removes, not when the record was listed"),
    ("C10", EXPIRY, "count what your own step removed"),
    ("C11", TASKS, "look at the smallest bad history above: which call saw a state that no order explains?"),
    ("C12", TASKS, "read what was written last: no cache that a write does not renew"),
    ("C13", TRAVERSAL, "let a walk meet changes without an error"),
    ("C14", TASKS, "hold no lock across an await that a caller may drop; a change that was handed to a thread keeps its turn"),
    ("C15", TASKS, "compare the record of this key only: no revision for the whole store"),
    ("C16", TASKS, "keep no runtime's handle in the driver: threads of your own, or connections that each runtime may poll"),
    ("C17", CLOSE, "let running calls end or fail with `Closed`, also those that wait in a queue"),
    ("C18", TASKS, "compare in the same step as the write"),
    ("C19", CHANGES, "compare and write in one step in `store_over` as well"),
    ("C20", TASKS, "let a read bring nothing into the cache if a change of its key has begun or ended since the read began"),
    ("P01", PROCESSES, "read what other handles wrote: no cache per handle without a check"),
    ("P02", PROCESSES, "put the lock where all handles meet: in the engine, or in state that they share"),
    ("P03", PROCESSES, "look at the smallest bad history above, and at what a handle keeps for itself"),
    ("P04", PROCESSES, "compare in the engine, not in a handle's memory"),
    ("P05", TRAVERSAL, "put all that the next page needs into the cursor"),
    ("P06", PROCESSES, "claim `Shared::Process` and name `Processes` in `lacks`, or read what other processes wrote"),
    ("P07", PROCESSES, "use a lock of the engine or of the operating system, not a mutex in memory"),
    ("P08", PROCESSES, "look at the smallest bad history above: locks and caches must work between processes"),
    ("P09", PROCESSES, "use locks that the system releases when their holder dies, and repair what it left half done"),
    ("P10", PROCESSES, "check and insert in one step of the engine"),
    ("P11", PROCESSES, "count what the engine says that this step removed"),
    ("P12", PROCESSES, "publish a record as a whole for other processes too: one transaction or one rename"),
    ("P13", PROCESSES, "remember the process id at `open`, and fail with `Misconfigured` in a forked child"),
    ("P14", PROCESSES, "count the age of a cached record from the beginning of the read that brought it, and claim that bound as `staleness`"),
    ("D01", DURABLE, "write all that `store` acknowledged before `close` returns"),
    ("D02", DURABLE, "write removals and touches as well as stores"),
    ("D03", DURABLE, "hand the write to the kernel before the answer, and ignore or repair an incomplete end when you open"),
    ("D04", DURABLE, "write the removal before its answer"),
    ("D05", DURABLE, "write deadline and revision in one step before the answer"),
    ("D06", DURABLE, "let the conflict show only what a kill cannot undo"),
    ("D07", DURABLE, "repair an incomplete write when you open, without a manual step"),
    ("D08", DURABLE, "sync before each answer, or claim `Survives::Kill` and name `PowerLoss` in `lacks`"),
    ("F01", FAULTS, "check what you read; fail with `Corrupt`, and neither repair nor remove it"),
    ("F02", FAULTS, "put a checksum over key, deadline, revision and data; `session_core::frame` does"),
    ("F03", FAULTS, "skip a damaged record in `traverse` and `purge` instead of failing"),
    ("F04", FAULTS, "turn connection errors into `Unavailable`, with a timeout of your own below 10 s"),
    ("F05", FAULTS, "open a new connection when the old one is broken"),
    ("F06", FAULTS, "turn \"no space\" into `Full`, with nothing written; `StoreErrorKind::from_io` does"),
    ("F07", FAULTS, "give room back after removals, and try again when the disk has room"),
    ("F08", FAULTS, "turn lost rights into `Misconfigured`; `StoreErrorKind::from_io` does"),
    ("F09", FAULTS, "compare the key that is stored with the record before you use the record"),
    ("F10", FAULTS, "turn a missing descriptor into `Unavailable`; `StoreErrorKind::from_io` does"),
    ("F11", FAULTS, "compare the open file with the one at the path at least once a second; `session_core::KnownFile` does"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;
    use crate::table::CLAUSES;

    #[test]
    fn each_clause_of_a_driver_has_one_row() {
        let of_drivers = CLAUSES.iter().filter(|clause| clause.level != Level::Session);
        let ids: Vec<_> = of_drivers.map(|clause| clause.id).collect();
        assert_eq!(ADVICE.iter().map(|(id, _, _)| *id).collect::<Vec<_>>(), ids);
    }

    #[test]
    fn guide_has_each_section_that_failures_name() {
        let guide = include_str!("../README.md");
        let named = ADVICE.iter().map(|(_, section, _)| *section).chain([HARNESS.0, LEVEL_SESSION]);
        for section in named {
            // Some of the headings are numbered steps.
            let heading = guide.lines().filter(|line| line.starts_with('#')).any(|line| {
                line.trim_start_matches(|letter: char| "#. ".contains(letter) || letter.is_ascii_digit())
                    == section
            });
            assert!(heading, "README.md has no section {section:?}");
        }
    }
}
