//! A shortage of file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A time in which this process can open no file, as a busy server whose limit is too low. It ends when it is dropped.
/// Begin it in a [`ChildProcess`](super::ChildProcess), because it is the whole process's.
#[derive(Debug)]
pub struct Shortage(Rlimit);

impl Shortage {
    /// Begins one.
    #[must_use]
    pub fn begin() -> Self {
        let before = getrlimit(Resource::Nofile);
        let none = Rlimit { current: Some(0), maximum: before.maximum };
        setrlimit(Resource::Nofile, none).expect("a limit can be lowered");
        Self(before)
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        let before = Rlimit { current: self.0.current, maximum: self.0.maximum };
        setrlimit(Resource::Nofile, before).expect("a limit can be raised to what it was");
    }
}
