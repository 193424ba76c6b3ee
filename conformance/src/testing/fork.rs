//! Forked children: copies of this process that inherit its memory and files, but only one of its threads.

use std::io::{Read as _, Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fork::Fork;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

/// Runs `work` in a forked child of this process and returns its answer. The child ends without dropping anything else.
///
/// Call it in a [`ChildProcess`](super::ChildProcess): a thread of another test may hold a lock that the forked child
/// then waits for.
///
/// # Panics
/// If the process cannot fork, if `work` panics, or if it takes longer than a minute.
pub fn forked(work: impl FnOnce() -> String) -> String {
    let mut answer = tempfile::tempfile().expect("a directory for temporary files");
    let child = match fork::fork().expect("this process can fork") {
        Fork::Child => {
            let text =
                catch_unwind(AssertUnwindSafe(work)).map_or_else(|_| "panicked".into(), |text| text + ".");
            let _ = answer.write_all(text.as_bytes());
            // Neither destructors nor exit handlers: they could wait for threads that do not exist here.
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort()
        }
        Fork::Parent(child) => Pid::from_raw(child).expect("a child has a number"),
    };
    for _ in 0..60_000 {
        if let Ok(Some(_)) = waitpid(Some(child), WaitOptions::NOHANG) {
            let mut text = String::new();
            let read = answer.rewind().and_then(|()| answer.read_to_string(&mut text));
            read.expect("a temporary file can be read");
            return text.strip_suffix('.').expect("the forked child panicked").to_owned();
        }
        #[expect(clippy::disallowed_methods, reason = "waits for a process, which no clock moves")]
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = kill_process(child, Signal::KILL);
    panic!("the forked child gives no answer within a minute");
}
