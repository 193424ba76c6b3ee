//! Moments, days and UUIDs as Python's library packs them. Their text is that of `isoformat`.

use crate::calendar::{civil_from_days, days_from_civil};

/// The text of a UUID.
pub(crate) fn uuid(number: u128) -> String {
    let digits = format!("{number:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// The text of four bytes of a `date`.
pub(crate) fn date(bytes: &[u8]) -> Option<String> {
    let &[high, low, month, day] = bytes else { return None };
    let year = u16::from_be_bytes([high, low]);
    // A day that the month does not have becomes another one on the way.
    let days = days_from_civil(year.into(), month.into(), day.into());
    let real = (1..=12).contains(&month) && civil_from_days(days) == (year.into(), month.into(), day.into());
    (real && (1..=9999).contains(&year)).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// The text of six bytes of a `time`. The first bit marks the second of two equal times of a day.
pub(crate) fn time(bytes: &[u8]) -> Option<String> {
    let &[hour, minute, second, high, middle, low] = bytes else { return None };
    let hour = hour & 0x7f;
    let micro = u32::from_be_bytes([0, high, middle, low]);
    if hour > 23 || minute > 59 || second > 59 || micro > 999_999 {
        return None;
    }
    let fraction = if micro == 0 { String::new() } else { format!(".{micro:06}") };
    Some(format!("{hour:02}:{minute:02}:{second:02}{fraction}"))
}

/// The text of ten bytes of a `datetime`, in which the month has that bit.
pub(crate) fn date_time(bytes: &[u8]) -> Option<String> {
    let (day, clock) = bytes.split_at_checked(4)?;
    let &[high, low, month, day] = day else { return None };
    Some(format!("{}T{}", date(&[high, low, month & 0x7f, day])?, time(clock)?))
}

/// The text of an offset from UTC in microseconds. Python's are shorter than a day.
pub(crate) fn offset(micros: i64) -> Option<String> {
    let size = micros.checked_abs().filter(|size| *size < 86_400_000_000)?;
    let sign = if micros < 0 { '-' } else { '+' };
    let seconds = size / 1_000_000;
    let mut text = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    if size % 60_000_000 != 0 {
        text.push_str(&format!(":{:02}", seconds % 60));
    }
    if size % 1_000_000 != 0 {
        text.push_str(&format!(".{:06}", size % 1_000_000));
    }
    Some(text)
}
