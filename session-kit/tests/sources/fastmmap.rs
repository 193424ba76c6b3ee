//! The file of Cache::FastMmap, alone and beside a Perl process that has it mapped.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use session_kit::handover::FastMmap;
use session_kit::session_core::{Clock as _, SystemClock};
use session_kit::{HandoverSource as _, OldId, StoreErrorKind};

use crate::import::ids;
use crate::{assert_hides, assert_kind, bytes_of, reads_and_ends, request, user_of};

const ID: &str = "e6b2427c6ea454bc6550a64685e81ca9175582ca";

fn now() -> u64 {
    SystemClock.now().as_millis() / 1_000
}

#[tokio::test]
async fn fastmmap_file_is_read_listed_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("session_data");
    let source = FastMmap::catalyst(&path, "myapp_session");
    let headers = request(&format!("myapp_session={ID}"));
    assert_eq!(user_of(&source, &headers).await, None, "no file");
    // The sample ends at 1795887334, which freeze writes as an integer of 64 bits.
    let (sample, moment) = (bytes_of("catalyst/fastmmap.fm"), 1_795_887_334_u64.to_le_bytes());
    let at = sample.windows(8).position(|bytes| bytes == moment).unwrap();
    let end_at = |end: u64| {
        let mut file = sample.clone();
        file[at..at + 8].copy_from_slice(&end.to_le_bytes());
        std::fs::write(&path, file).unwrap();
    };
    end_at(now() - 60);
    assert_eq!(user_of(&source, &headers).await, None, "ended");
    end_at(now() + 60);
    assert_eq!(ids(&source).await, BTreeSet::from([ID.to_owned()]));
    for other in ["e6b2427c", "../session_data", "expires:1"] {
        assert_eq!(user_of(&source, &request(&format!("myapp_session={other}"))).await, None, "{other}");
    }
    reads_and_ends("catalyst", &source, &headers).await;
    assert_eq!(ids(&source).await, BTreeSet::new());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), sample.len() as u64);

    for damaged in [&sample[..sample.len() - 1], &[0; 4096]] {
        std::fs::write(&path, damaged).unwrap();
        assert_kind(&source, StoreErrorKind::Corrupt).await;
    }
}

/// A process of the old application, with the file in its memory.
struct Perl {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Perl {
    /// `None`, and a red line, where Cache::FastMmap cannot be installed.
    fn start(path: &Path) -> Option<Self> {
        let start = || {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sources/fastmmap.pl");
            let mut perl = Command::new("perl");
            perl.arg(script).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut process = perl.spawn()?;
            let input = process.stdin.take().unwrap();
            let output = BufReader::new(process.stdout.take().unwrap());
            let mut perl = Self { process, input, output };
            match perl.line().as_str() {
                "ready" => Ok(perl),
                _ => Err(std::io::Error::other("Cache::FastMmap does not run")),
            }
        };
        let started = start().or_else(|_| {
            xtask_debian::install(&["libcache-fastmmap-perl"])?;
            start()
        });
        started
            .inspect_err(|error| {
                eprintln!("\x1b[31mSKIPPED: Cache::FastMmap cannot be installed: {error}\x1b[0m")
            })
            .ok()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        self.line()
    }
}

impl Drop for Perl {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn live_fastmmap_file_is_shared_with_perl() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("session_data");
    let Some(mut perl) = Perl::start(&path) else { return };
    let source = FastMmap::catalyst(&path, "app_session");
    let id = |number: usize| format!("{number:040x}");
    let of = |number: usize| request(&format!("app_session={}", id(number)));

    // Many keys in each page, some of them removed, and pages that were rebuilt with more slots.
    assert_eq!(perl.ask(&format!("fill 300 {}", now() + 600)), "300");
    let all: BTreeSet<String> = (0..300).map(id).collect();
    assert_eq!(ids(&source).await, all);
    for number in 0..300 {
        assert_eq!(user_of(&source, &of(number)).await, Some(format!("user {number}")));
    }
    // Perl does not find the ended session. Its own checks of the file find no fault, and the other sessions stay.
    for number in (0..300).step_by(3) {
        source.end(&OldId::new(id(number))).await.unwrap();
    }
    let left: Vec<usize> = (0..300).filter(|number| number % 3 != 0).collect();
    assert_eq!(perl.ask("sessions"), format!("{} of {}", left.len(), left.len() * 2));
    assert_eq!(perl.ask("test"), "200 sound");
    // Perl uses the slots again.
    assert_eq!(perl.ask(&format!("fill 300 {}", now() + 600)), "300");
    assert_eq!(ids(&source).await, all);

    // While Perl holds the lock of a page, a read waits for it, at most as long as it may.
    assert_eq!(perl.ask("hold"), "held");
    let waits = source.clone().lock_timeout(Duration::from_millis(50));
    let error = waits.read(&OldId::new(id(1))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
    assert_hides(&error, &[&id(1)]);
    let of_one = of(1);
    let (read, ()) =
        tokio::join!(user_of(&source, &of_one), async { assert_eq!(perl.ask("release"), "released") });
    assert_eq!(read.as_deref(), Some("user 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fastmmap_file_stays_sound_under_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("session_data");
    let Some(mut perl) = Perl::start(&path) else { return };
    let source = FastMmap::catalyst(&path, "app_session");
    assert_eq!(perl.ask(&format!("fill 20 {}", now() + 600)), "20");
    writeln!(perl.input, "churn 3000 {}", now() + 600).unwrap();
    let workers = (0..4).map(|worker| {
        let source = source.clone();
        tokio::spawn(async move {
            for round in 0..100 {
                let id = OldId::new(format!("{:040x}", (worker * 5 + round) % 20));
                // A session is whole or absent, never mixed.
                if let Some(old) = source.read(&id).await.unwrap() {
                    let user = old.get("user").and_then(|user| user.as_text()).unwrap();
                    assert_eq!(old.get("copy").and_then(|copy| copy.as_text()), Some(user));
                }
                source.end(&id).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert_eq!(perl.line(), "churned");
    assert!(perl.ask("test").ends_with(" sound"));
}
