//! The state of a request's session, which its handles share.

use crate::error::{Error, ErrorKind};
use crate::outcome::{Closed, IdUpdate};
use crate::policy::{OnHandlerError, OnNotStored, OnStoreError};
use crate::request::RequestInfo;
use crate::watch::Tie;
use crate::work::Work;

pub(crate) struct Slot {
    pub(crate) place: Place,
    /// How many tasks wait for their turn.
    pub(crate) waiting: usize,
    pub(crate) sealed: bool,
    pub(crate) discarded: bool,
    pub(crate) detached: bool,
    pub(crate) extend: bool,
    pub(crate) others_ended: bool,
    /// The client's session has ended, whether or not a later instruction gives it another.
    pub(crate) cleared: bool,
    pub(crate) on_store_error: OnStoreError,
    pub(crate) on_handler_error: OnHandlerError,
    pub(crate) on_not_stored: OnNotStored,
    /// The client's instruction as of the last turn, readable during the next one.
    pub(crate) client: IdUpdate,
    /// The references of this request.
    pub(crate) tie: Option<Tie>,
}

pub(crate) enum Place {
    Unloaded,
    Open(Box<Work>),
    /// A task talks to the store. `loaded` tells whether the session was open before.
    Taken {
        loaded: bool,
    },
}

impl Slot {
    /// That of a request that has not used its session yet.
    pub(crate) fn new(request: &RequestInfo) -> Self {
        Self {
            place: Place::Unloaded,
            waiting: 0,
            sealed: false,
            discarded: false,
            detached: false,
            extend: request.extend,
            others_ended: false,
            cleared: false,
            on_store_error: request.on_store_error,
            on_handler_error: request.on_handler_error,
            on_not_stored: request.on_not_stored,
            client: IdUpdate::None,
            tie: None,
        }
    }

    pub(crate) fn close_if(&mut self, is_idle: impl FnOnce(&Work) -> bool) -> Option<Closed> {
        let idle = match &mut self.place {
            _ if self.waiting > 0 => false,
            Place::Open(work) => {
                work.set_extends(self.extend);
                is_idle(work)
            }
            place => matches!(place, Place::Unloaded),
        };
        idle.then(|| self.close())
    }

    pub(crate) fn close(&mut self) -> Closed {
        (self.sealed, self.discarded) = (true, true);
        // A task with the turn may still give the session a new id.
        let in_turn = matches!(self.place, Place::Taken { .. });
        self.tie.take_if(|_| !in_turn);
        let (id_update, others_ended) = (self.client, self.others_ended);
        Closed { loaded: self.is_loaded(), id_update, cleared: self.cleared, others_ended }
    }

    pub(crate) fn is_loaded(&self) -> bool {
        match self.place {
            Place::Unloaded => false,
            Place::Open(_) => true,
            Place::Taken { loaded } => loaded,
        }
    }

    pub(crate) fn open(&mut self) -> Result<&mut Work, Error> {
        Err(Error::new(match &mut self.place {
            // While a task waits, the turn is as good as taken: writes must not slip in between two commits.
            _ if self.waiting > 0 => ErrorKind::Busy,
            Place::Taken { .. } => ErrorKind::Busy,
            Place::Unloaded => ErrorKind::NotLoaded,
            Place::Open(work) => return Ok(work),
        }))
    }
}
