//! Deserialization of driver options.

use std::time::Duration;

use serde::de::{Deserialize as _, Deserializer, Error as _};

use crate::duration::{DurationError, parse_duration};

/// Deserializes a duration from text such as `250ms`, `5s` or `2 hours`: milliseconds, or the form of
/// [`parse_duration`].
///
/// For driver authors: `#[serde(deserialize_with = "session_core::deserialize_duration")]`.
///
/// # Errors
/// The deserializer's error for other text.
pub fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = match text.strip_suffix("ms") {
        Some(millis) => {
            millis.trim_end().parse().map(Duration::from_millis).map_err(|_| DurationError::NoNumber)
        }
        None => parse_duration(&text),
    };
    duration.map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    #[test]
    fn duration_options_have_a_unit_down_to_milliseconds() {
        let read = |text: &'static str| {
            let text: StrDeserializer<'_, Error> = text.into_deserializer();
            deserialize_duration(text).ok()
        };
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(read("0 ms"), Some(Duration::ZERO));
        assert_eq!(read("2 hours"), Some(Duration::from_secs(7_200)));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-5ms"), None);
    }
}
