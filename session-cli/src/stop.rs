//! Signals that end the program between two records.

use std::io;

use tokio::sync::watch;

use crate::failure::{Exit, Failure, Result};

/// Whether a signal asks the program to end. Clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Option<Exit>>);

impl Stop {
    /// Listens to SIGINT and SIGTERM. A second signal ends the process at once, for example while a store does not answer.
    pub(crate) fn listen() -> io::Result<Self> {
        let (sender, receiver) = watch::channel(None);
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            let first = signals.next().await;
            sender.send_replace(Some(first));
            let second = signals.next().await;
            std::process::exit(i32::from(second.code()));
        });
        Ok(Self(receiver))
    }

    /// The exit code, once a signal has come.
    pub(crate) fn requested(&self) -> Option<Exit> {
        *self.0.borrow()
    }

    /// Runs work that has not begun to change anything. A signal drops it.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let mut receiver = self.0.clone();
        tokio::select! {
            done = work => Ok(done),
            stopped = receiver.wait_for(Option::is_some) => {
                Err(Failure::Stopped(stopped.ok().and_then(|exit| *exit).unwrap_or(Exit::Interrupted)))
            }
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Exit {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Exit::Interrupted
    }
}
