//! What a request holds of its session: the record that was loaded, the log, and the view of both.

use bytes::Bytes;
use session_core::{Key, Revision, SessionId, Timestamp};

use crate::config::Config;
use crate::error::Error;
use crate::op::{Op, View};
use crate::outcome::{EndReason, IdUpdate};
use crate::request::RequestInfo;
use crate::table::{FLASH, Header, RawEntry, Table, stamp_updated};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Unloaded,
    Open,
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
    /// How many calls of `rotate` are in it.
    pub(crate) rotations: u32,
    /// The revision that was there before; `None` for none.
    pub(crate) before: Option<Revision>,
    /// For a rotation: the old key, and the tombstone's revision and deadline.
    pub(crate) tombstone: Option<(Key, Revision, Option<Timestamp>)>,
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
    pub(crate) request: RequestInfo,
    pub(crate) phase: Phase,
    /// The response is on its way: reading only.
    pub(crate) sealed: bool,
    pub(crate) loaded: Option<Loaded>,
    pub(crate) table: Table,
    /// `None` while nothing is recorded: reads then scan the table itself.
    pub(crate) view: Option<View>,
    pub(crate) log: Vec<Op>,
    pub(crate) flash: FlashUse,
    /// How often `rotate` was called since the last commit: counted, so that a call whose answer was lost does not
    /// settle one that came after it.
    pub(crate) rotations: u32,
    pub(crate) end: Option<EndReason>,
    /// Ended, and nothing may be created in its place by this request.
    pub(crate) dead: bool,
    /// A rotation, a `bind_user` or a `take` of an earlier commit came to nothing: that response must not go out
    /// either way.
    pub(crate) betrayed: bool,
    /// Whether the client knows an id of the session that stands behind this: only then has it one to forget.
    pub(crate) known: bool,
    pub(crate) client: IdUpdate,
    pub(crate) pending: Option<Box<Pending>>,
}

impl Work {
    pub(crate) fn new(request: RequestInfo) -> Self {
        Self {
            request,
            phase: Phase::Unloaded,
            sealed: false,
            loaded: None,
            table: Table::default(),
            view: None,
            log: Vec::new(),
            flash: FlashUse::default(),
            rotations: 0,
            end: None,
            dead: false,
            betrayed: false,
            known: false,
            client: IdUpdate::None,
            pending: None,
        }
    }

    /// A record stands behind the session from now on.
    pub(crate) fn attach(&mut self, loaded: Loaded, table: Table) {
        self.flash = FlashUse::default();
        self.flash.start.extend(table.entries().filter(|entry| entry.class == FLASH).map(|entry| entry.id));
        self.loaded = Some(loaded);
        self.known = true;
        self.table = table;
        self.view = None;
    }

    /// Nothing stands behind the session, and nothing is recorded.
    pub(crate) fn detach(&mut self) {
        self.loaded = None;
        self.known = false;
        self.table = Table::default();
        self.view = None;
        self.log.clear();
        self.flash = FlashUse::default();
        self.rotations = 0;
        self.pending = None;
    }

    /// What was recorded will never be committed.
    pub(crate) fn drop_log(&mut self) {
        self.log.clear();
        self.view = None;
        self.rotations = 0;
        self.flash.used = false;
    }

    pub(crate) fn header(&self) -> &Header {
        self.view.as_ref().map_or(&self.table.header, |view| &view.header)
    }

    /// Whether there is anything for a commit to do besides a touch.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.log.is_empty() || self.rotations > 0 || self.pending.is_some() || self.consumes_flash()
    }

    pub(crate) fn is_critical(&self) -> bool {
        // A rotation of nothing is nothing.
        let rotates = self.rotations > 0 && (self.loaded.is_some() || self.dead || !self.log.is_empty());
        self.betrayed || rotates || self.log.iter().any(Op::is_critical)
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

    /// Runs the log, from operation number `from` on, on another state of the record, and drops what is before that.
    /// If an operation cannot be replayed, everything is as it was.
    pub(crate) fn replay(&mut self, table: Table, from: usize, now: Timestamp) -> Result<(), Error> {
        let from = from.min(self.log.len());
        if from == self.log.len() {
            self.log.clear();
            self.view = None;
            self.table = table;
            return Ok(());
        }
        let mut rerun = Replaying { log: &mut self.log[from..], before: Vec::new() };
        let mut view = View::new(&table);
        for index in 0..rerun.log.len() {
            rerun.before.push(rerun.log[index].rerun_entry().cloned());
            view.apply(&table, rerun.log, index, now, true)?;
        }
        rerun.before.clear();
        drop(rerun);
        self.log.drain(..from);
        self.view = (!self.log.is_empty()).then_some(view);
        self.table = table;
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
            data.reserve_exact(logged + header.len());
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

/// A log that is being replayed. Unless that comes to its end, what the view shows is put back: an update's closure
/// may fail on another request's value, or panic.
struct Replaying<'a> {
    log: &'a mut [Op],
    before: Vec<Option<Vec<u8>>>,
}

impl Drop for Replaying<'_> {
    fn drop(&mut self) {
        for (op, entry) in self.log.iter_mut().zip(self.before.drain(..)) {
            op.restore_entry(entry);
        }
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
