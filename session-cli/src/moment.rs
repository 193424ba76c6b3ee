//! Moments as text.

use session_kit::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// RFC 3339 in UTC, to the millisecond. A moment after the year 9999 is shown as the last one before.
pub(crate) fn exact(moment: Timestamp) -> String {
    format!("{}.{:03}Z", seconds(moment), moment.as_millis().min(LAST) % 1_000)
}

/// The same to the second, for people.
pub(crate) fn short(moment: Timestamp) -> String {
    format!("{}Z", seconds(moment))
}

/// The last millisecond of the year 9999.
const LAST: u64 = 253_402_300_799_999;

fn seconds(moment: Timestamp) -> String {
    let seconds = i64::try_from(moment.as_millis().min(LAST) / 1_000).unwrap_or_default();
    let text = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_default().trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_one_length() {
        let millis = Timestamp::from_millis;
        assert_eq!(exact(millis(1_800_000_000_007)), "2027-01-15T08:00:00.007Z");
        assert_eq!(short(millis(1_800_000_000_007)), "2027-01-15T08:00:00Z");
        assert_eq!(exact(millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(exact(millis(u64::MAX)), "9999-12-31T23:59:59.999Z");
    }
}
