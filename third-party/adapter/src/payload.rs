//! A record as values of a session of another project, and a key as an id.

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value};
use session_core::{Key, Record, Revision, Timestamp};
use sha2::{Digest as _, Sha256};

/// The data and the revision as values of a session. The deadline is the session's own; `endless` remembers that the
/// record has none.
pub fn encode(record: &Record) -> Map<String, Value> {
    let mut values = Map::new();
    values.insert("data".into(), BASE64.encode(&record.data).into());
    values.insert("revision".into(), HEXLOWER.encode(&record.revision.to_bytes()).into());
    if record.expires.is_none() {
        values.insert("endless".into(), true.into());
    }
    values
}

/// The record of these values and the session's deadline. `None` if the values are not those of [`encode`].
pub fn decode<'a>(value: impl Fn(&str) -> Option<&'a Value>, expires: Timestamp) -> Option<Record> {
    let data = BASE64.decode(value("data")?.as_str()?.as_bytes()).ok()?;
    let revision = HEXLOWER.decode(value("revision")?.as_str()?.as_bytes()).ok()?;
    let expires = value("endless").is_none().then_some(expires);
    Some(Record::new(data, expires, Revision::from_bytes(revision.try_into().ok()?)))
}

/// The first 16 bytes of the key's SHA-256, for ids of 128 bits. The ids of these libraries are random numbers that
/// they draw themselves.
pub fn digest(key: &Key) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(key.as_bytes())[..16]);
    bytes
}
