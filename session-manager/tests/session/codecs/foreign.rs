//! Types of other crates.

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ChronoSeconds {
    #[serde(with = "chrono::serde::ts_seconds")]
    at: chrono::DateTime<chrono::Utc>,
}

pub(super) fn rows(table: &mut Table) {
    use serde_json::value::RawValue;
    const SECONDS: i64 = 1_800_000_000;
    rows! { table:
        "chrono::DateTime<Utc>": chrono::DateTime<chrono::Utc> = chrono::DateTime::from_timestamp(SECONDS, 123_456_789).unwrap();
        "chrono::DateTime<FixedOffset>": chrono::DateTime<chrono::FixedOffset> = chrono::DateTime::parse_from_rfc3339("2027-01-15T08:00:00.5+05:30").unwrap();
        "chrono::NaiveDateTime": chrono::NaiveDateTime = chrono::DateTime::from_timestamp(SECONDS, 1).unwrap().naive_utc();
        "chrono::NaiveDate": chrono::NaiveDate = chrono::NaiveDate::from_ymd_opt(-5, 2, 28).unwrap();
        "chrono::NaiveTime": chrono::NaiveTime = chrono::NaiveTime::from_hms_nano_opt(23, 59, 59, 1).unwrap();
        "chrono::Weekday": chrono::Weekday = chrono::Weekday::Sun;
        "chrono::Month": chrono::Month = chrono::Month::May;
        "chrono::serde::ts_seconds": ChronoSeconds = ChronoSeconds { at: chrono::DateTime::from_timestamp(SECONDS, 0).unwrap() };
        "time::OffsetDateTime": time::OffsetDateTime = time::OffsetDateTime::from_unix_timestamp(SECONDS).unwrap();
        "time::PrimitiveDateTime": time::PrimitiveDateTime = time::PrimitiveDateTime::MIN;
        "time::Date": time::Date = time::Date::MAX;
        "time::Time": time::Time = time::Time::MIDNIGHT;
        "time::UtcOffset": time::UtcOffset = time::UtcOffset::from_hms(-5, -30, 0).unwrap();
        "time::Duration": time::Duration = time::Duration::MIN;
        "time::Weekday": time::Weekday = time::Weekday::Sunday;
        "time::Month": time::Month = time::Month::May;
        "uuid::Uuid": uuid::Uuid = uuid::Uuid::from_u128(u128::MAX / 3);
        "uuid::NonNilUuid": uuid::NonNilUuid = uuid::NonNilUuid::new(uuid::Uuid::max()).unwrap();
        "uuid::fmt::Simple": uuid::fmt::Simple = uuid::Uuid::from_u128(7).simple();
        "rust_decimal::Decimal": rust_decimal::Decimal = rust_decimal::Decimal::new(-12_345, 28);
        "url::Url": url::Url = "https://example.com/ä?b#c".parse().unwrap();
        "bytes::Bytes": bytes::Bytes = bytes::Bytes::from_static(&[0, 255]);
        "bytes::BytesMut": bytes::BytesMut = bytes::BytesMut::from(&[0, 255][..]);
        "serde_bytes::ByteBuf": serde_bytes::ByteBuf = serde_bytes::ByteBuf::from([0, 255]);
        "serde_bytes::ByteArray<4>": serde_bytes::ByteArray<4> = serde_bytes::ByteArray::new([0, 255, 1, 2]);
        "serde_json::Value": serde_json::Value = serde_json::json!({"a": [1, -1, 0.1, u64::MAX, null, "b", true, {}]});
        "serde_json::Value::Null": serde_json::Value = serde_json::Value::Null;
        "serde_json::Number": serde_json::Number = 7.into();
        "serde_json::Map": serde_json::Map<String, serde_json::Value> = [("a".to_owned(), 1.into())].into_iter().collect();
        "Box<serde_json::value::RawValue>": Box<RawValue> = RawValue::from_string(r#"{"a": [1.0]}"#.into()).unwrap(), by |a, b| a.get() == b.get();
        "Vec<Box<RawValue>>": Vec<Box<RawValue>> = vec![RawValue::from_string("1".into()).unwrap()], by looks;
    }
}
