//! The record that reserves a key in the new store while its record is moved there.
//!
//! | offset | length | content |
//! |---|---|---|
//! | 0 | 24 | `reserved by migration 1:`, where 1 is the version |
//! | 24 | 8 | the revision under which it is stored |
//!
//! It counts as absent. Its revision is random, so a store on that revision succeeds only if nothing else has happened to
//! the key since: a process that was stopped in the middle of a move cannot finish the move later and bring back a record
//! that has been removed. A store with `Absent` could not tell the two apart.

use std::time::Duration;

use session_core::{Record, Result, Revision, Timestamp};

/// A process that dies in the middle of a move leaves its reservation behind. The next move takes it over; otherwise it
/// expires.
const LIFETIME: Duration = Duration::from_secs(60);
const MARK: &[u8; 24] = b"reserved by migration 1:";

/// The length of its data in bytes.
pub(crate) const LEN: u64 = 32;

/// A new reservation.
pub(crate) fn reserve(now: Timestamp) -> Result<Record> {
    let revision = Revision::random()?;
    let data = [&MARK[..], &revision.to_bytes()].concat();
    Ok(Record::new(data, Some(now.saturating_add(LIFETIME)), revision))
}

pub(crate) fn is_reservation(record: &Record) -> bool {
    record.data.strip_prefix(MARK).is_some_and(|rest| rest == record.revision.to_bytes())
}

/// The record, unless it is a reservation.
pub(crate) fn real(found: Option<Record>) -> Option<Record> {
    found.filter(|record| !is_reservation(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservation_has_its_documented_bytes() {
        let now = Timestamp::from_millis(1_000);
        let reservation = reserve(now).unwrap();
        let expected = [&b"reserved by migration 1:"[..], &reservation.revision.to_bytes()].concat();
        assert_eq!((&reservation.data[..], reservation.data.len() as u64), (&expected[..], LEN));
        assert_eq!(reservation.expires, Some(Timestamp::from_millis(61_000)));
        assert!(is_reservation(&reservation));
        // A copy under another revision is data of an application.
        let other = Record { revision: Revision::from_bytes([1; 8]), ..reservation };
        assert!(!is_reservation(&other));
        assert!(!is_reservation(&Record::new(&MARK[..], None, other.revision)));
    }
}
