//! Moments and days as Ruby's classes dump them.

use crate::Value;
#[cfg(feature = "rails")]
pub(crate) use crate::calendar::parse;
pub(crate) use crate::calendar::{OFFSETS, moment};
use crate::calendar::{civil_from_days, days_from_civil};
use crate::graph::{Graph, Id, Node};

/// A moment, a day or a number that a class of Ruby's library wrote with `_dump`. `None`: another class, or damaged.
pub(crate) fn from_dump(
    class: &str,
    text: &[u8],
    attributes: &[(Value, Id)],
    graph: &Graph,
) -> Option<Value> {
    match class {
        "Time" => time(text, attributes, graph),
        "BigDecimal" => {
            // Digits of precision, a colon, the number.
            let text = std::str::from_utf8(text).ok()?;
            let (_, number) = text.split_once(':')?;
            Some(Value::Decimal(number.to_owned()))
        }
        _ => None,
    }
}

fn time(text: &[u8], attributes: &[(Value, Id)], graph: &Graph) -> Option<Value> {
    let bytes: [u8; 8] = text.try_into().ok()?;
    let high = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let low = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let integer = |name: &str| {
        attributes.iter().find_map(|(key, id)| match (key, graph.get(*id)) {
            (Value::Symbol(key), Node::Leaf(Value::Int(number))) if key == name => Some(*number),
            _ => None,
        })
    };
    if high & 0x8000_0000 == 0 {
        // Ruby before 1.8: seconds and microseconds since 1970.
        return Some(Value::Time(moment(i64::from(high), low.checked_mul(1000)?, 0)?));
    }
    let year = i64::from((high >> 14) & 0xffff) + 1900;
    let month = ((high >> 10) & 0xf) + 1;
    let day = (high >> 5) & 0x1f;
    let hour = high & 0x1f;
    let minute = (low >> 26) & 0x3f;
    let second = (low >> 20) & 0x3f;
    let micro = low & 0xf_ffff;
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 24
        || minute > 59
        || second > 60
        || micro > 999_999
    {
        return None;
    }
    let mut nano = micro * 1000;
    if let (Some(number), Some(of)) = (integer("nano_num"), integer("nano_den"))
        && of > 0
        && let Ok(more) = u32::try_from(number / of)
        && more < 1000
    {
        nano += more;
    }
    let offset = integer("offset").unwrap_or(0);
    let seconds = days_from_civil(year, month, day) * 86_400
        + i64::from(hour) * 3600
        + i64::from(minute) * 60
        + i64::from(second);
    Some(Value::Time(moment(seconds, nano, offset)?))
}

/// `Date` and `DateTime`, which keep their state as a list: period, Julian day, second of the day, nanosecond, offset, calendar.
pub(crate) fn from_state(class: &str, state: Id, graph: &mut Graph) -> Option<Node> {
    if !matches!(class, "Date" | "DateTime") {
        return None;
    }
    let Node::List(items) = graph.get(state) else { return None };
    let number = |index: usize| match items.get(index).map(|id| graph.get(*id)) {
        Some(Node::Leaf(Value::Int(number))) => Some(*number),
        _ => None,
    };
    if items.len() != 6 {
        return None;
    }
    let (period, day, second, nano, offset) = (number(0)?, number(1)?, number(2)?, number(3)?, number(4)?);
    // A period is the least common multiple of the calendars' cycles, in days.
    let day = period.checked_mul(71_149_239)?.checked_add(day)?;
    if !(-800_000_000..=800_000_000).contains(&day)
        || !(0..86_400).contains(&second)
        || !OFFSETS.contains(&offset)
    {
        return None;
    }
    if class == "Date" {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a day, or an infinity that becomes the largest one"
        )]
        let reform = match items.get(5).map(|id| graph.get(*id)) {
            Some(Node::Leaf(Value::Float(reform))) => *reform as i64,
            Some(Node::Leaf(Value::Int(reform))) => *reform,
            _ => REFORM,
        };
        return Some(Node::Leaf(Value::Date(date_of_julian_day(day, reform)?)));
    }
    let nano = u32::try_from(nano).ok().filter(|nano| *nano < 1_000_000_000)?;
    let seconds = (day - UNIX_JULIAN_DAY) * 86_400 + second;
    Some(Node::Leaf(Value::DateTime(moment(seconds, nano, offset)?)))
}

const UNIX_JULIAN_DAY: i64 = 2_440_588;

/// The day of the reform of the calendar in Italy, with which Ruby's dates begin to be Gregorian.
pub(crate) const REFORM: i64 = 2_299_161;

/// `YYYY-MM-DD` of a Julian day number, in the Julian calendar before the day `reform`, as Ruby shows it.
pub(crate) fn date_of_julian_day(day: i64, reform: i64) -> Option<String> {
    let (year, month, day) =
        if day < reform { julian_from_day(day)? } else { civil_from_days(day.checked_sub(UNIX_JULIAN_DAY)?) };
    (0..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

fn julian_from_day(day: i64) -> Option<(i64, i64, i64)> {
    let day = day.checked_add(32_082).filter(|day| (0..=10_000_000).contains(day))?;
    let year = (4 * day + 3) / 1461;
    let of_year = day - 1461 * year / 4;
    let month = (5 * of_year + 2) / 153;
    Some((year - 4800 + month / 10, month + 3 - 12 * (month / 10), of_year - (153 * month + 2) / 5 + 1))
}
