//! Moments and days of the Gregorian calendar.
#![allow(dead_code, reason = "each format uses a part")]

/// Offsets of clocks from UTC, in seconds.
pub(crate) const OFFSETS: std::ops::RangeInclusive<i64> = -86_400..=86_400;

/// RFC 3339 text of a moment: seconds since 1970 in UTC, shown at an offset in seconds.
pub(crate) fn moment(seconds: i64, nano: u32, offset: i64) -> Option<String> {
    if !OFFSETS.contains(&offset) || nano > 999_999_999 {
        return None;
    }
    // RFC 3339 has no offsets with seconds.
    let offset = if offset % 60 == 0 { offset } else { 0 };
    let local = seconds.checked_add(offset)?;
    let (year, month, day) = civil_from_days(local.div_euclid(86_400));
    if !(0..=9999).contains(&year) {
        return None;
    }
    let clock = local.rem_euclid(86_400);
    let mut text =
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", clock / 3600, clock / 60 % 60, clock % 60);
    if nano != 0 {
        let digits = format!(".{nano:09}");
        text.push_str(digits.trim_end_matches('0'));
    }
    if offset == 0 {
        text.push('Z');
    } else {
        let minutes = offset.abs() / 60;
        text.push(if offset < 0 { '-' } else { '+' });
        text.push_str(&format!("{:02}:{:02}", minutes / 60, minutes % 60));
    }
    Some(text)
}

/// Seconds since 1970 of an RFC 3339 text with an offset.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| -> Option<u32> {
        let part = bytes.get(from..to)?;
        part.iter().all(u8::is_ascii_digit).then_some(())?;
        std::str::from_utf8(part).ok()?.parse().ok()
    };
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut fraction = 0.0;
    if bytes.get(at) == Some(&b'.') {
        let end = bytes[at + 1..]
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .map_or(bytes.len(), |end| at + 1 + end);
        fraction = text.get(at..end)?.parse::<f64>().ok()?;
        at = end;
    }
    let offset = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 => {
            let seconds = i64::from(digits(at + 1, at + 3)? * 3600 + digits(at + 4, at + 6)? * 60);
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year.into(), month, day) * 86_400
        + i64::from(hour) * 3600
        + i64::from(minute) * 60
        + i64::from(second)
        - offset;
    #[expect(clippy::cast_precision_loss, reason = "a moment of four-digit years is far below 2^53")]
    Some(seconds as f64 + fraction)
}

/// Days since 1970-01-01 of a day of the Gregorian calendar (Hinnant's algorithm).
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = i64::from(month);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The day of the Gregorian calendar, of days since 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
