//! The numbers that a recorder of the `metrics` crate receives.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use session_kit::memory::{MemoryConfig, MemoryStore};
use session_kit::session_core::{Candidates, SessionId, TestClock, Timestamp};
use session_kit::{IdUpdate, MetricsObserver, Sessions};

type Numbers = Arc<Mutex<BTreeMap<String, f64>>>;

/// Adds up counters, and the values of histograms.
#[derive(Clone, Default)]
struct Sums(Numbers);

struct Sum(Numbers, String);

impl Sum {
    fn add(&self, number: f64) {
        *self.0.lock().unwrap().entry(self.1.clone()).or_default() += number;
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }
    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        self.add(value);
    }
}

impl Sums {
    fn of(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<_> =
            key.labels().map(|label| format!(" {}={}", label.key(), label.value())).collect();
        Arc::new(Sum(Arc::clone(&self.0), format!("{}{}", key.name(), labels.concat())))
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

async fn visit() -> SessionId {
    let clock = TestClock::new(Timestamp::from_millis(1_800_000_000_000));
    let store = MemoryStore::open(MemoryConfig::new().clock(Arc::new(clock.clone()))).unwrap();
    let renewal = Duration::from_secs(60);
    let builder = Sessions::builder(store).observer(Arc::new(MetricsObserver::new()));
    let sessions = builder.renewal_timeout(renewal).build().unwrap();
    let first = sessions.load(None).await.unwrap();
    first.login("a-secret-name").unwrap();
    let _ = sessions.finish(&first).await.unwrap();
    let IdUpdate::Set { id, .. } = first.id_update() else { panic!("no id") };
    let [one, other] = [sessions.load(id).await.unwrap(), sessions.load(id).await.unwrap()];
    for (session, key) in [(&one, "one"), (&other, "other")] {
        session.insert(key, &1).unwrap();
        let _ = sessions.finish(session).await.unwrap();
    }
    let mut wrong = Candidates::none();
    wrong.push_malformed();
    wrong.push_malformed();
    let _ = sessions.load(wrong).await.unwrap();
    let last = sessions.load(id).await.unwrap();
    last.destroy("a secret reason").await.unwrap();
    let _ = sessions.load(id).await.unwrap();
    let renewed = sessions.load(None).await.unwrap();
    renewed.insert("count", &1).unwrap();
    let _ = sessions.finish(&renewed).await.unwrap();
    let IdUpdate::Set { id: old, .. } = renewed.id_update() else { panic!("no id") };
    clock.advance(renewal);
    let _ = sessions.finish(&sessions.load(old).await.unwrap()).await.unwrap();
    id
}

#[test]
fn events_become_numbers_without_names() {
    let sums = Sums::default();
    let id = metrics::with_local_recorder(&sums, || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(visit())
    });
    let numbers = sums.0.lock().unwrap();
    for (name, number) in [
        ("session_events_total event=created", 2.0),
        ("session_events_total event=loaded", 4.0),
        ("session_events_total event=renewed", 1.0),
        ("session_events_total event=unknown_id", 1.0),
        ("session_events_total event=malformed_id", 1.0),
        ("session_malformed_ids_total", 2.0),
        ("session_commit_replays", 1.0),
        ("session_ends_total reason=destroyed", 1.0),
    ] {
        assert_eq!(numbers.get(name), Some(&number), "{name}: {numbers:?}");
    }
    let all = format!("{numbers:?}");
    assert!(!all.contains("secret") && !all.contains(id.reveal().as_str()), "{all}");
}
