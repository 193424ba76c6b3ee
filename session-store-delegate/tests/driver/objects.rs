//! A model in memory whose objects have any fields. It logs every call, and on request it fails, is pending, or is
//! overtaken by another writer.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::{
    Applied, Capabilities, Condition, Entry, Key, Prefix, Revision, StoreErrorKind, Timestamp, yield_now,
};
use session_store_delegate::{Delegate, Fields, Flushed, Location, Model, Value};

pub(crate) type Object = BTreeMap<String, Value>;

/// Clones are one model.
#[derive(Clone)]
pub(crate) struct Objects(Arc<Inside>);

#[derive(Default)]
struct Inside {
    claims: Capabilities,
    lists: Lists,
    /// Whether loading and flushing are pending once before their work and once after it.
    is_pending: bool,
    objects: Mutex<BTreeMap<String, Object>>,
    calls: Mutex<Vec<String>>,
    /// The number of calls before the next one fails, and how.
    trouble: Mutex<Option<(usize, Trouble)>>,
    /// Ids that `expired` lists in any case.
    listed: Mutex<Vec<String>>,
    /// Runs before the next flush, and before later ones while it returns `true`.
    rival: Mutex<Option<Rival>>,
}

type Rival = Box<dyn FnMut(&mut BTreeMap<String, Object>) -> bool + Send>;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    Error(io::ErrorKind),
    Panic,
}

/// The contents of a model's lists.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Lists {
    #[default]
    Deadlines,
    /// Keys only, so the driver loads each object.
    Keys,
    Nothing,
    /// This key, again and again.
    Always(&'static str),
}

impl Objects {
    pub(crate) fn new(claims: Capabilities) -> Self {
        Self(Arc::new(Inside { claims, ..Inside::default() }))
    }

    /// A model that cannot list.
    pub(crate) fn unlisted(claims: Capabilities) -> Self {
        Self(Arc::new(Inside { claims, lists: Lists::Nothing, ..Inside::default() }))
    }

    /// A model that always lists one key.
    pub(crate) fn listing(key: &'static str) -> Self {
        Self(Arc::new(Inside { lists: Lists::Always(key), ..Inside::default() }))
    }

    /// A model that is pending, and lists keys only.
    pub(crate) fn pending(claims: Capabilities) -> Self {
        Self(Arc::new(Inside { claims, lists: Lists::Keys, is_pending: true, ..Inside::default() }))
    }

    /// The calls since the last call of this method.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0.calls))
    }

    /// Changes an object as the application does.
    pub(crate) fn object<T>(&self, id: &str, work: impl FnOnce(&mut Object) -> T) -> T {
        work(lock(&self.0.objects).entry(id.into()).or_default())
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        lock(&self.0.objects).contains_key(id)
    }

    /// Fails the call after the next `number` calls.
    pub(crate) fn fail(&self, number: usize, trouble: Trouble) {
        *lock(&self.0.trouble) = Some((number, trouble));
    }

    /// Whether the requested failure happened. Cancels it if not.
    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.0.trouble).take().is_none()
    }

    /// Lets `expired` list the session of an object, as a stale index does.
    pub(crate) fn lists(&self, id: &str) {
        lock(&self.0.listed).push(id.into());
    }

    pub(crate) fn rival(&self, rival: impl FnMut(&mut BTreeMap<String, Object>) -> bool + Send + 'static) {
        *lock(&self.0.rival) = Some(Box::new(rival));
    }

    fn call(&self, call: String) -> io::Result<()> {
        lock(&self.0.calls).push(call);
        let mut trouble = lock(&self.0.trouble);
        match &mut *trouble {
            None => Ok(()),
            Some((0, now)) => {
                let now = *now;
                *trouble = None;
                drop(trouble);
                match now {
                    Trouble::Error(kind) => Err(kind.into()),
                    Trouble::Panic => panic!("on request"),
                }
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

/// The loaded fields and the changes since.
pub(crate) struct Loaded {
    model: Objects,
    fields: Object,
    changes: BTreeMap<String, Option<Value>>,
}

impl Delegate for Loaded {
    type Error = io::Error;

    fn get(&self, field: &str) -> io::Result<Option<Value>> {
        self.model.call(format!("get {field}"))?;
        Ok(self.fields.get(field).cloned())
    }

    fn set(&mut self, field: &str, value: Value) -> io::Result<()> {
        self.model.call(format!("set {field}"))?;
        self.fields.insert(field.into(), value.clone());
        self.changes.insert(field.into(), Some(value));
        Ok(())
    }

    fn delete(&mut self, field: &str) -> io::Result<()> {
        self.model.call(format!("delete {field}"))?;
        self.fields.remove(field);
        self.changes.insert(field.into(), None);
        Ok(())
    }
}

impl Objects {
    async fn turn(&self) {
        if self.0.is_pending {
            yield_now().await;
        }
    }

    fn put(&self, location: &Location, delegate: Loaded, expected: Condition) -> io::Result<Flushed> {
        self.call(format!("flush {}", word(expected)))?;
        let mut objects = lock(&self.0.objects);
        let mut rival = lock(&self.0.rival);
        if let Some(act) = &mut *rival
            && !act(&mut objects)
        {
            *rival = None;
        }
        let object = objects.entry(location.id.clone()).or_default();
        let Fields { data, expires, revision } = &location.fields;
        let there = match object.get(&**revision) {
            None => Condition::Absent,
            Some(Value::Bytes(bytes)) => bytes[..]
                .try_into()
                .map_or(Condition::Any, |bytes| Condition::Revision(Revision::from_bytes(bytes))),
            Some(_) => Condition::Any,
        };
        let holds =
            |object: &Object| [data, expires, revision].iter().any(|field| object.contains_key(&***field));
        let already_empty = !holds(&delegate.fields) && !holds(object);
        let answer = match expected {
            Condition::Any | Condition::Absent if already_empty => Flushed::Conflict,
            Condition::Absent | Condition::Revision(_) if expected != there => Flushed::Conflict,
            _ => Flushed::Yes,
        };
        if answer == Flushed::Yes {
            for (field, change) in delegate.changes {
                match change {
                    Some(value) => object.insert(field, value),
                    None => object.remove(&field),
                };
            }
        }
        // An empty object is removed; a name or the fields of another prefix keep it.
        if object.is_empty() {
            objects.remove(&location.id);
        }
        Ok(answer)
    }
}

impl Model for Objects {
    type Delegate = Loaded;
    type Error = io::Error;

    async fn delegate(&self, location: &Location) -> io::Result<Loaded> {
        self.turn().await;
        self.call("delegate".into())?;
        let fields = lock(&self.0.objects).get(&location.id).cloned().unwrap_or_default();
        self.turn().await;
        Ok(Loaded { model: self.clone(), fields, changes: BTreeMap::new() })
    }

    async fn flush(&self, location: &Location, delegate: Loaded, expected: Condition) -> io::Result<Flushed> {
        self.turn().await;
        let flushed = self.put(location, delegate, expected);
        self.turn().await;
        flushed
    }

    fn capabilities(&self) -> Capabilities {
        self.0.claims.clone()
    }

    fn classify(&self, error: &io::Error) -> (StoreErrorKind, Applied) {
        match error.kind() {
            io::ErrorKind::StorageFull => (StoreErrorKind::Full, Applied::No),
            io::ErrorKind::TimedOut => (StoreErrorKind::Timeout, Applied::Unknown),
            _ => (StoreErrorKind::Backend, Applied::Unknown),
        }
    }

    async fn list(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> io::Result<Option<Vec<Entry>>> {
        self.call("list".into())?;
        if let Lists::Always(key) = self.0.lists {
            return Ok(Some(vec![Entry::new(Key::parse(key).expect("a test lists a key"))]));
        }
        let fields = Fields::of(prefix.as_str());
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.id()));
        let objects = lock(&self.0.objects);
        let there = objects.range::<str, _>((from, Bound::Unbounded));
        let there = there.filter(|(_, object)| object.contains_key(&*fields.revision)).take(limit);
        let entries = there.map(|(id, object)| {
            let entry = Entry::new(Key::new(prefix, id).expect("every object belongs to a key"));
            match object.get(&*fields.expires) {
                _ if self.0.lists == Lists::Keys => entry,
                Some(Value::Number(millis)) => entry.with_deadline(Some(Timestamp::from_millis(*millis))),
                _ => entry.with_deadline(None),
            }
        });
        Ok((self.0.lists != Lists::Nothing).then(|| entries.collect()))
    }

    async fn expired(
        &self,
        now: Timestamp,
        after: Option<&Key>,
        limit: usize,
    ) -> io::Result<Option<Vec<Key>>> {
        self.call("expired".into())?;
        let mut keys = Vec::new();
        for (id, object) in &*lock(&self.0.objects) {
            let key =
                |prefix: &str| Key::parse(&format!("{prefix}:{id}")).expect("every object belongs to a key");
            for (field, value) in object {
                let prefix =
                    if field == "expires" { Some("session") } else { field.strip_suffix(".expires") };
                if let (Some(prefix), Value::Number(millis)) = (prefix, value)
                    && *millis <= now.as_millis()
                {
                    keys.push(key(prefix));
                }
            }
            if lock(&self.0.listed).contains(id) {
                keys.push(key("session"));
            }
        }
        // `after` may be gone.
        let order = |key: &Key| (key.id().to_owned(), key.prefix().to_owned());
        keys.sort_by_key(order);
        keys.retain(|key| after.is_none_or(|after| order(key) > order(after)));
        keys.truncate(limit);
        Ok((self.0.lists != Lists::Nothing).then_some(keys))
    }

    async fn sync(&self) -> io::Result<()> {
        self.call("sync".into())
    }
}

/// Ignores poison: a model that panicked is used again, and it changes nothing half-way under the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::Any => "any",
        Condition::Absent => "absent",
        Condition::Revision(_) => "revision",
    }
}
