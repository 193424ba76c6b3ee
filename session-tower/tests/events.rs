//! What is told to whoever watches. In a process of its own, for whether an event is wanted is decided per process.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code, reason = "tests")]

#[path = "web/common.rs"]
mod common;

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use session_tower::{Error, Session, WhenStoreFails};
use tracing_subscriber::filter::LevelFilter;

use crate::common::{Browser, Fault, Probe, layer};

#[tokio::test]
async fn a_store_failure_is_one_warning_of_ours_and_nothing_shows_an_id() {
    let lines = Lines::default();
    let writer = {
        let lines = lines.clone();
        move || lines.clone()
    };
    tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::TRACE).with_writer(writer).init();
    for policy in [WhenStoreFails::Refuse, WhenStoreFails::GoOn] {
        let probe = Probe::new();
        let write = get(async |session: Session| {
            Ok::<_, Error>(session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?.to_string())
        });
        let app = Router::new().route("/write", write).layer(layer(&probe).when_store_fails(policy));
        let mut browser = Browser::new(app);
        browser.get("/write").await.is(200);
        assert!(lines.take().iter().all(|line| !line.contains("session_tower")));
        for (fault, what) in
            [(Fault::Reads, "could not be loaded"), (Fault::Changes, "could not be committed")]
        {
            probe.fail(fault);
            browser.get("/write").await;
            let ours: Vec<_> =
                lines.take().into_iter().filter(|line| line.contains("session_tower")).collect();
            let [warning] = &ours[..] else { panic!("{policy:?} {fault:?} {ours:?}") };
            assert!(warning.contains("WARN") && warning.contains(what), "{warning}");
        }
        let id = browser.cookie.unwrap();
        let id = id.strip_prefix("__Host-session=").unwrap();
        assert!(lines.all().iter().all(|line| !line.contains(id)));
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<(Vec<u8>, usize)>>);

impl Lines {
    /// What has been written since the last time.
    fn take(&self) -> Vec<String> {
        let mut guard = self.0.lock().unwrap();
        let (bytes, seen) = &mut *guard;
        let new = String::from_utf8(bytes[*seen..].to_vec()).unwrap();
        *seen = bytes.len();
        new.lines().map(str::to_owned).collect()
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().1 = 0;
        self.take()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
