//! What a request holds of its session: the record that was loaded, the log, and the view of both.

use bytes::Bytes;
use session_core::{Key, Revision, SessionId, Timestamp};

use crate::config::Config;
use crate::error::Error;
use crate::op::{Op, View};
use crate::outcome::{ClientAction, EndReason};
use crate::request::Request;
use crate::table::{FLASH, Header, RawEntry, Table, stamp_updated};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Unloaded,
    Open,
    /// The response is on its way: reading only.
    Sealed,
}

/// The stored record that stands behind a session.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) id: SessionId,
    pub(crate) key: Key,
    pub(crate) revision: Revision,
    pub(crate) expires: Option<Timestamp>,
}

/// A store call that was begun and whose answer has not been seen.
pub(crate) struct Pending {
    /// What stands behind the session if the call was applied.
    pub(crate) next: Loaded,
    pub(crate) data: Bytes,
    /// How many operations of the log are in it.
    pub(crate) ops: usize,
    /// The revision that was there before; `None` for none.
    pub(crate) before: Option<Revision>,
    /// For a rotation: the old key, and the marker's revision and deadline.
    pub(crate) marker: Option<(Key, Revision, Option<Timestamp>)>,
}

/// Which flash values go at the commit of a request that uses flash.
#[derive(Default)]
pub(crate) struct FlashUse {
    pub(crate) used: bool,
    /// What was readable when the request began.
    pub(crate) start: Vec<u64>,
    pub(crate) kept: Vec<u64>,
}

impl FlashUse {
    fn consumes(&self, id: u64) -> bool {
        self.used && self.start.contains(&id) && !self.kept.contains(&id)
    }
}

pub(crate) struct Work {
    pub(crate) request: Request,
    pub(crate) phase: Phase,
    pub(crate) loaded: Option<Loaded>,
    pub(crate) table: Table,
    /// `None` while nothing is recorded: reads then scan the table itself.
    pub(crate) view: Option<View>,
    pub(crate) log: Vec<Op>,
    pub(crate) flash: FlashUse,
    pub(crate) rotate: bool,
    pub(crate) end: Option<EndReason>,
    /// Ended, and nothing may be created in its place by this request.
    pub(crate) dead: bool,
    pub(crate) client: ClientAction,
    pub(crate) pending: Option<Pending>,
    /// Counts the changes of all this, so that an update can tell whether it ran on what is still there.
    pub(crate) generation: u64,
}

impl Work {
    pub(crate) fn new(request: Request) -> Self {
        Self {
            request,
            phase: Phase::Unloaded,
            loaded: None,
            table: Table::default(),
            view: None,
            log: Vec::new(),
            flash: FlashUse::default(),
            rotate: false,
            end: None,
            dead: false,
            client: ClientAction::Keep,
            pending: None,
            generation: 0,
        }
    }

    /// A record stands behind the session from now on.
    pub(crate) fn attach(&mut self, loaded: Loaded, table: Table) {
        self.flash = FlashUse::default();
        self.flash.start.extend(table.entries().filter(|entry| entry.class == FLASH).map(|entry| entry.id));
        self.loaded = Some(loaded);
        self.table = table;
        self.view = None;
        self.generation += 1;
    }

    /// Nothing stands behind the session, and nothing is recorded.
    pub(crate) fn detach(&mut self) {
        self.loaded = None;
        self.table = Table::default();
        self.view = None;
        self.log.clear();
        self.flash = FlashUse::default();
        self.rotate = false;
        self.pending = None;
        self.generation += 1;
    }

    pub(crate) fn header(&self) -> &Header {
        self.view.as_ref().map_or(&self.table.header, |view| &view.header)
    }

    /// Whether there is anything for a commit to do besides a touch.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.log.is_empty() || self.rotate || self.pending.is_some() || self.consumes_flash()
    }

    pub(crate) fn is_critical(&self) -> bool {
        (self.rotate && self.loaded.is_some()) || self.log.iter().any(Op::is_critical)
    }

    fn consumes_flash(&self) -> bool {
        self.flash.start.iter().any(|id| self.flash.consumes(*id))
    }

    /// Visits the entries as the request sees them, expired ones too, until `visit` gives something.
    pub(crate) fn scan<R>(&self, mut visit: impl FnMut(RawEntry<'_>) -> Option<R>) -> Option<R> {
        match &self.view {
            None => self.table.entries().find_map(&mut visit),
            Some(view) => view.entries(&self.table, &self.log).find_map(&mut visit),
        }
    }

    pub(crate) fn find<R>(
        &self,
        class: u8,
        key: &str,
        now: impl Fn() -> Timestamp,
        read: impl Fn(RawEntry<'_>) -> R,
    ) -> Option<R> {
        let order = (class, key.as_bytes());
        self.scan(|entry| (entry.order() == order && entry.is_live(&now)).then(|| read(entry)))
    }

    /// Appends an operation to the log and applies it to the view.
    pub(crate) fn record(&mut self, op: Op, config: &Config, now: Timestamp) -> Result<(), Error> {
        self.ensure_view(config);
        let Some(view) = &mut self.view else { return Ok(()) };
        self.generation += 1;
        self.log.push(op);
        let index = self.log.len() - 1;
        let applied = view.apply(&self.table, &mut self.log, index, now, false);
        if applied.is_err() {
            self.log.pop();
        }
        applied
    }

    fn ensure_view(&mut self, config: &Config) {
        if self.view.is_none() {
            let mut view = View::new(&self.table);
            if self.loaded.is_none() {
                view.header = config.new_header();
            }
            self.view = Some(view);
        }
    }

    /// Runs the log, from its start, on another state of the record.
    pub(crate) fn replay(&mut self, table: Table, now: Timestamp) -> Result<(), Error> {
        let mut view = View::new(&table);
        for index in 0..self.log.len() {
            view.apply(&table, &mut self.log, index, now, true)?;
        }
        self.table = table;
        self.view = Some(view);
        Ok(())
    }

    /// The table to store, with the header that `change` makes of the present one. Expired values and consumed flash
    /// are left out. Also says whether it holds any entry.
    pub(crate) fn encode(
        &mut self,
        config: &Config,
        now: Timestamp,
        change: impl FnOnce(&mut Header),
    ) -> Encoded {
        self.ensure_view(config);
        let mut logged = 0;
        let mut header = self.header().clone();
        change(&mut header);
        let mut data = Vec::new();
        let mut entries = 0;
        if let Some(view) = &self.view {
            for entry in view.entries(&self.table, &self.log) {
                logged += entry.whole.len();
            }
            data.reserve_exact(logged + 64 + 3 + 17 + 16 + header.user.len() + header.extra.len());
            header.write(&mut data);
            for entry in view.entries(&self.table, &self.log) {
                let consumed = entry.class == FLASH && self.flash.consumes(entry.id);
                if !consumed && entry.is_live(|| now) {
                    data.extend_from_slice(entry.whole);
                    entries += 1;
                }
            }
        }
        Encoded { data, header, entries }
    }
}

/// A table that is ready to be stored.
pub(crate) struct Encoded {
    data: Vec<u8>,
    pub(crate) header: Header,
    pub(crate) entries: usize,
}

impl Encoded {
    /// Whether this is what `table` holds already.
    pub(crate) fn equals(&self, table: &Table) -> bool {
        self.data == table.data
    }

    pub(crate) fn stamped(mut self, now: Timestamp) -> Bytes {
        stamp_updated(&mut self.data, now);
        self.data.into()
    }
}
