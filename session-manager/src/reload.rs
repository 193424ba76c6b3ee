//! Reading a session again.

use session_core::Driver;

use crate::error::Error;
use crate::manager::Manager;
use crate::session::Session;
use crate::work::Work;

impl Session {
    /// Reads the session again during a request, and returns whether it lives: after another request, or a user's action in
    /// another system, may have changed it. The changes that this request has recorded stay, replayed on what is stored
    /// now. If the session has ended, they are lost, except for a login; [`end_reason`](Self::end_reason) says why.
    /// A request without a stored session makes no store call. If the session is not loaded yet, this is a
    /// [`load`](Self::load).
    ///
    /// # Errors
    /// `Store`, `Corrupt`; `Uncertain` if an earlier commit lost its answer and this does not find it; errors of a replay, as
    /// for [`commit`](Self::commit). The session and the log then stay as they were.
    ///
    /// # Cancellation
    /// If dropped, the session was read again or was not.
    pub async fn reload(&self) -> Result<bool, Error> {
        if !self.is_loaded() {
            self.load().await?;
            return self.exists();
        }
        let mut turn = self.turn(false).await;
        match &mut turn.work {
            Some(work) => self.backend().reload(work).await,
            None => Ok(false),
        }
    }

    #[cold]
    pub(crate) async fn load_again(&self, work: &mut Work) -> Result<(), Error> {
        let Some(loaded) = work.loaded().cloned() else { return Ok(()) };
        match Box::pin(self.backend().look(&loaded)).await? {
            Ok(found) => {
                let loaded = found.loaded().cloned().unwrap_or(loaded);
                work.rebase(loaded, found.table().clone(), self.now())
            }
            Err(reason) => {
                work.note_not_stored();
                work.finish_with(self.config().new_header(), Some(reason), true);
                Ok(())
            }
        }
    }
}

impl<D: Driver> Manager<D> {
    /// Reads the session of a request again. Its recorded changes stay, unless the session has ended.
    pub(crate) async fn reload(&self, work: &mut Work) -> Result<bool, Error> {
        if work.pending().is_some() {
            drop(self.resolve(work).await?);
        }
        let Some(loaded) = work.loaded().cloned() else { return Ok(false) };
        match self.look(&loaded).await? {
            Ok(found) => work.reload(*found, self.clock.now()).map(|()| true),
            Err(reason) => {
                if work.logs_in_anyway() {
                    work.lose(reason);
                } else {
                    work.note_not_stored();
                    work.finish_with(self.config.new_header(), Some(reason), true);
                }
                Ok(false)
            }
        }
    }
}
