//! Durations as text: `[+]N unit`.

use std::time::Duration;

/// Parses a duration such as `90`, `+36h`, `2 hours`, `1 day` or `1w`. For configuration of session layers and drivers.
///
/// The form is `[+]N unit`. The unit is `s`, `m`, `h`, `d`, `w` or its English word; without one, N counts seconds. The
/// space is optional. Zero, negative numbers, fractions, months and years (which vary in length) are errors. Case does not
/// matter, except that `M` is a month, as in CGI.pm.
///
/// # Errors
/// [`DurationError`], which does not contain the text.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim_matches(' ');
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(DurationError::NoNumber);
    }
    let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
    let unit = unit.trim_start_matches(' ');
    if unit == "M" {
        return Err(DurationError::NoFixedLength);
    }
    let seconds = match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 604_800,
        "month" | "months" | "y" | "year" | "years" => return Err(DurationError::NoFixedLength),
        _ => return Err(DurationError::UnknownUnit),
    };
    match number.checked_mul(seconds) {
        Some(0) => Err(DurationError::Zero),
        // A Timestamp counts milliseconds in 64 bits.
        Some(total) if total <= u64::MAX / 1_000 => Ok(Duration::from_secs(total)),
        _ => Err(DurationError::TooLong),
    }
}

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// The text does not begin with digits.
    #[error("a duration is a whole number and a unit: 90, 15m, +36h, 2 hours, 1d, 1w")]
    NoNumber,
    /// The unit is not s, m, h, d, w or one of their words.
    #[error("the unit of a duration is one of s, m, h, d, w or its English word")]
    UnknownUnit,
    /// The unit is months or years.
    #[error("months and years vary in length: use days or weeks")]
    NoFixedLength,
    /// The duration is zero.
    #[error("the duration is zero")]
    Zero,
    /// The duration exceeds a 64-bit number of milliseconds.
    #[error("the duration is too long")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_the_grammar() {
        for (text, seconds) in [
            ("90", 90),
            ("1m", 60),
            ("+36h", 129_600),
            ("2 hours", 7_200),
            ("1d", 86_400),
            ("1w", 604_800),
            ("1 Week", 604_800),
            ("3 MIN", 180),
            ("+ 5".replace(' ', "").as_str(), 5),
            ("10 minutes", 600),
            ("42s", 42),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, error) in [
            ("", DurationError::NoNumber),
            ("-5", DurationError::NoNumber),
            ("h", DurationError::NoNumber),
            ("1.5h", DurationError::UnknownUnit),
            ("1 fortnight", DurationError::UnknownUnit),
            ("1M1", DurationError::UnknownUnit),
            ("1 month", DurationError::NoFixedLength),
            ("1M", DurationError::NoFixedLength),
            ("+1 M", DurationError::NoFixedLength),
            ("2y", DurationError::NoFixedLength),
            ("0", DurationError::Zero),
            ("0h", DurationError::Zero),
            ("99999999999999999999", DurationError::TooLong),
            ("9999999999999999w", DurationError::TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }
}
