//! Long sessions are decoded while the runtime serves other tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use session_kit::handover::{Cookies, Files, Rows, SqliteRows, Stored, System, Value};
use session_kit::{HandoverSource, OldId};

/// A heart that beats each millisecond on the runtime of the test, which has one thread.
fn heart() -> Arc<AtomicU32> {
    let beats = Arc::new(AtomicU32::new(0));
    let beat = Arc::clone(&beats);
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(Duration::from_millis(1));
        loop {
            interval.tick().await;
            beat.fetch_add(1, Ordering::Relaxed);
        }
    });
    beats
}

/// Decodes for as long as the heart needs for three beats, and tells whether it got them.
#[expect(clippy::disallowed_methods, reason = "stands for a decoder that keeps its thread")]
fn beats_during(beats: &AtomicU32) -> Value {
    let before = beats.load(Ordering::Relaxed);
    let beaten = (0..2_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        beats.load(Ordering::Relaxed) >= before + 3
    });
    Value::Bool(beaten)
}

fn system(beats: &Arc<AtomicU32>) -> System {
    let beats = Arc::clone(beats);
    System::new("sid", move |_: &Stored<'_>| Ok(Some(beats_during(&beats))))
}

async fn beats_while_reading(source: &impl HandoverSource<Old = Value>, id: &str) {
    assert_eq!(source.read(&OldId::new(id)).await.unwrap(), Some(Value::Bool(true)));
}

#[tokio::test]
async fn decoding_of_a_long_file_holds_up_no_task() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::new(directory.path(), "", "", system(&heart()));
    std::fs::write(directory.path().join("long"), "x".repeat(9_000)).unwrap();
    beats_while_reading(&files, "long").await;
}

#[tokio::test]
async fn decoding_of_a_long_row_holds_up_no_task() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    let table = "create table sessions (id text primary key, data text);
        insert into sessions values ('long', hex(zeroblob(4500)));";
    rusqlite::Connection::open(&path).unwrap().execute_batch(table).unwrap();
    let rows = SqliteRows::new(path, Rows::new("sessions", "id", "data", system(&heart())));
    beats_while_reading(&rows, "long").await;
}

#[tokio::test]
async fn opening_of_a_long_cookie_holds_up_no_task() {
    let beats = heart();
    let cookies = Cookies::new("sid", move |_, _, _| Ok(beats_during(&beats)));
    beats_while_reading(&cookies, &"x".repeat(1_500)).await;
}

#[tokio::test]
async fn panic_of_a_reader_reaches_the_caller() {
    for len in [10, 1_500] {
        let cookies = Cookies::new("sid", |_, _, _| panic!("the reader's own"));
        let id = OldId::new("x".repeat(len));
        let panic = tokio::spawn(async move { cookies.read(&id).await }).await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the reader's own"));
    }
}
