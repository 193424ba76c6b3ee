//! An asynchronous model of blobs with tags and its own mapping: the object of a record is the blob whose name is the whole
//! key, and its tag is the revision. Every call is pending once before its work and once after it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use session_core::{Capabilities, Condition, Entry, Key, Prefix, Result as CoreResult, Timestamp, yield_now};
use session_store_delegate::{Delegate, Fields, Flushed, Location, Model, Value};

use super::lock;

#[derive(Clone, Default)]
pub(crate) struct Blobs(Arc<Mutex<BTreeMap<String, Blob>>>);

/// A blob. A new blob has no tag.
#[derive(Clone, Default)]
pub(crate) struct Blob {
    pub(crate) content: Option<Bytes>,
    pub(crate) deadline: Option<u64>,
    pub(crate) tag: Option<Bytes>,
}

/// The mapping: the object is the whole key, and the fields have other names.
pub(crate) fn by_name(key: &Key) -> CoreResult<Location> {
    Ok(Location::new(key.as_str(), Fields::new("content", "deadline", "tag")))
}

impl Blobs {
    /// Changes a blob as another program would.
    pub(crate) fn blob<T>(&self, key: &Key, work: impl FnOnce(&mut Blob) -> T) -> Option<T> {
        lock(&self.0).get_mut(key.as_str()).map(work)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl Delegate for Blob {
    type Error = io::Error;

    fn get(&self, field: &str) -> io::Result<Option<Value>> {
        match field {
            "content" => Ok(self.content.clone().map(Value::Bytes)),
            "deadline" => Ok(self.deadline.map(Value::Number)),
            "tag" => Ok(self.tag.clone().map(Value::Bytes)),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn set(&mut self, field: &str, value: Value) -> io::Result<()> {
        match (field, value) {
            ("content", Value::Bytes(bytes)) => self.content = Some(bytes),
            ("deadline", Value::Number(millis)) => self.deadline = Some(millis),
            ("tag", Value::Bytes(bytes)) => self.tag = Some(bytes),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(())
    }

    fn delete(&mut self, field: &str) -> io::Result<()> {
        match field {
            "content" => self.content = None,
            "deadline" => self.deadline = None,
            "tag" => self.tag = None,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(())
    }
}

impl Model for Blobs {
    type Delegate = Blob;
    type Error = io::Error;

    async fn delegate(&self, location: &Location) -> io::Result<Blob> {
        yield_now().await;
        let blob = lock(&self.0).get(&location.id).cloned().unwrap_or_default();
        yield_now().await;
        Ok(blob)
    }

    async fn flush(&self, location: &Location, blob: Blob, expected: Condition) -> io::Result<Flushed> {
        yield_now().await;
        let flushed = self.put(&location.id, blob, expected);
        yield_now().await;
        Ok(flushed)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().conditional(true).exactly_once(true).max_record_bytes(Some(2 << 20))
    }

    /// Lists names only, so the driver loads each object.
    async fn list(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> io::Result<Option<Vec<Entry>>> {
        yield_now().await;
        let from = after.map_or_else(|| format!("{prefix}:"), |key| key.as_str().to_owned());
        let blobs = lock(&self.0);
        let names = blobs.range::<str, _>((Bound::Excluded(&*from), Bound::Unbounded)).map(|(name, _)| name);
        let keys = names.filter_map(|name| Key::parse(name).ok()).take_while(|key| key.is_in(prefix));
        Ok(Some(keys.take(limit).map(Entry::new).collect()))
    }

    async fn expired(
        &self,
        now: Timestamp,
        after: Option<&Key>,
        limit: usize,
    ) -> io::Result<Option<Vec<Key>>> {
        yield_now().await;
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_str()));
        let blobs = lock(&self.0);
        let later = blobs.range::<str, _>((from, Bound::Unbounded));
        let due = later.filter(|(_, blob)| blob.deadline.is_some_and(|at| at <= now.as_millis()));
        Ok(Some(due.filter_map(|(name, _)| Key::parse(name).ok()).take(limit).collect()))
    }
}

impl Blobs {
    fn put(&self, name: &str, blob: Blob, expected: Condition) -> Flushed {
        let mut blobs = lock(&self.0);
        let tag = blobs.get(name).and_then(|blob| blob.tag.as_deref());
        let holds = match expected {
            Condition::Any => true,
            Condition::Absent => tag.is_none(),
            Condition::Revision(revision) => tag == Some(&revision.to_bytes()[..]),
        };
        if !holds {
            return Flushed::Conflict;
        }
        if blob.tag.is_some() {
            blobs.insert(name.into(), blob);
        } else if blobs.remove(name).is_none() {
            return Flushed::Conflict;
        }
        Flushed::Yes
    }
}
