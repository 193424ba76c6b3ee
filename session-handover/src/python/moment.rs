//! Moments, days and UUIDs as Python's library packs them. Their text is that of `isoformat`.
#![allow(dead_code, reason = "each system uses a part")]

use crate::calendar::{civil_from_days, days_from_civil, moment, parse};

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

/// The seconds since 1970 of a moment as Python or a database writes it. Without a zone it is in UTC.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let text = text.trim().replacen(' ', "T", 1);
    parse(&text).or_else(|| parse(&format!("{text}Z")))
}

/// The moment of an HTTP date, such as `Wed, 15 Jan 2025 12:00:00 GMT`.
pub(crate) fn http_date(text: &str) -> Option<String> {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = text.split(' ').collect();
    let &[_, day, month, year, clock, "GMT"] = words.as_slice() else { return None };
    let month = MONTHS.chunks(3).zip(1_u8..).find(|(name, _)| *name == month.as_bytes())?.1;
    let year: u16 = year.parse().ok()?;
    let [high, low] = year.to_be_bytes();
    let day = day.parse().ok()?;
    date(&[high, low, month, day])?;
    let clock: Vec<i64> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let &[hour @ 0..24, minute @ 0..60, second @ 0..60] = clock.as_slice() else { return None };
    let days = days_from_civil(year.into(), month.into(), day.into());
    moment(days * 86_400 + hour * 3600 + minute * 60 + second, 0, 0)
}
