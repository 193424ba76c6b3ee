//! Finding the session that a request asks for.

use session_core::{Driver, Record, SessionId, StoreErrorKind};

use crate::check::Agent;
use crate::config::OnCorrupt;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::outcome::EndReason;
use crate::request::RequestInfo;
use crate::session::Session;
use crate::sessions::Inner;
use crate::table::{Content, Table};
use crate::work::{Loaded, Phase, Work};

/// What one id of a request leads to.
enum Found {
    Session(Loaded, Table),
    Replaced,
    Refused(EndReason),
    Nothing,
}

impl<D: Driver> Inner<D> {
    pub(crate) async fn load(&self, session: &Session) -> Result<(), Error> {
        let mut lease = session.lease().await;
        if lease.phase == Phase::Unloaded {
            self.load_work(&mut lease).await?;
        }
        Ok(())
    }

    pub(crate) async fn load_work(&self, work: &mut Work) -> Result<(), Error> {
        let candidates = work.request.candidates;
        if candidates.malformed() > 0 {
            self.emit(None, &Event::MalformedId { count: candidates.malformed() });
        }
        let mut end = None;
        let mut replaced = false;
        for id in candidates.iter() {
            match self.look_up(id, &work.request).await? {
                Found::Session(loaded, table) => {
                    self.emit(Some(&loaded.key), &Event::Loaded);
                    work.attach(loaded, table);
                    work.phase = Phase::Open;
                    return Ok(());
                }
                Found::Replaced => replaced = true,
                Found::Refused(reason) => end = Some(reason),
                Found::Nothing => end = end.or(Some(EndReason::Expired)),
            }
        }
        // Under a tombstone this request creates nothing: its cookie would overwrite the one of the login that made the
        // tombstone, which the browser may have got meanwhile.
        work.dead = replaced;
        work.end = if replaced { Some(EndReason::Replaced) } else { end };
        work.phase = Phase::Open;
        Ok(())
    }

    async fn look_up(&self, id: &SessionId, request: &RequestInfo) -> Result<Found, Error> {
        let key = id.key();
        let record = match self.driver.retrieve(&key).await {
            Ok(Some(record)) => record,
            Ok(None) => {
                self.emit(Some(&key), &Event::UnknownId);
                return Ok(Found::Nothing);
            }
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                self.emit(Some(&key), &Event::Corrupt);
                return match self.config.on_corrupt {
                    OnCorrupt::Fresh => Ok(Found::Nothing),
                    OnCorrupt::Fail => Err(Error::new(ErrorKind::Corrupt).with_source(error)),
                };
            }
            Err(error) => return Err(error.into()),
        };
        let Record { data, expires, revision } = record;
        let table = match Table::parse(data) {
            Ok(Content::Session(table)) => table,
            Ok(Content::Tombstone) => {
                self.emit(Some(&key), &Event::Ended(EndReason::Replaced));
                return Ok(Found::Replaced);
            }
            Err(_) => {
                self.emit(Some(&key), &Event::Corrupt);
                return match self.config.on_corrupt {
                    OnCorrupt::Fresh => Ok(Found::Nothing),
                    OnCorrupt::Fail => Err(Error::new(ErrorKind::Corrupt)),
                };
            }
        };
        if let Some(reason) = self.mismatch(request, &table) {
            self.emit(Some(&key), &Event::Ended(reason.clone()));
            return Ok(Found::Refused(reason));
        }
        Ok(Found::Session(Loaded { id: *id, key, revision, expires }, table))
    }

    /// Whether the session is bound to another client than the one that asks.
    fn mismatch(&self, request: &RequestInfo, table: &Table) -> Option<EndReason> {
        let header = &table.header;
        if self.config.address != crate::check::AddressCheck::Off
            && header.network().is_some_and(|network| !network.contains(request.address))
        {
            return Some(EndReason::AddressMismatch);
        }
        if self.config.agent
            && header.agent().is_some_and(|agent| request.user_agent.as_deref().map(Agent::of) != Some(agent))
        {
            return Some(EndReason::UserAgentMismatch);
        }
        None
    }
}
