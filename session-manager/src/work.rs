//! A request's session: the loaded record, the log, and the view of both.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use session_core::{Key, Record, Revision, Timestamp};

use crate::config::Limits;
use crate::entry::{FLASH, RawEntry, entries};
use crate::error::{Error, ErrorKind};
pub(crate) use crate::loaded::{Loaded, Pending};
use crate::login::Login;
use crate::op::{Op, Rerun};
use crate::outcome::{EndReason, IdUpdate};
use crate::replay::replayed;
use crate::table::{Draft, Header, Table};
use crate::view::{MOST_VISITS, View, ViewEntries};

/// The flash values of a request, of which its commit removes some.
#[derive(Default)]
struct FlashUse {
    /// The values that were readable when the request began, sorted.
    start: Vec<u64>,
    kept: BTreeSet<u64>,
}

pub(crate) struct Work {
    loaded: Option<Loaded>,
    table: Table,
    /// `None` while nothing is recorded: reads use the table then, unless they were many.
    view: Option<View>,
    log: Vec<Op>,
    flash: Option<Box<FlashUse>>,
    uses_flash: bool,
    /// How many times `rotate` was called since the last commit. A count, so that a lost answer does not cancel a later
    /// call.
    rotations: u32,
    /// How many entries of the table were visited one after the other.
    visits: u32,
    extends: bool,
    /// The store failed while loading. Nothing of this is ever stored.
    detached: bool,
    /// A reference opened the session: this creates none, and the client's id stays as it is.
    referred: bool,
    end: Option<EndReason>,
    /// Ended, and this request may create no successor.
    dead: bool,
    /// An earlier commit lost a rotation, a `bind_user` or a `take`, so the response must be refused.
    refused: bool,
    /// A commit did not store what this request had recorded.
    not_stored: bool,
    /// The request also presented an id that a rotation has replaced, so the client may have a newer id than this session's.
    beside_tombstone: bool,
    /// This request destroyed another session whose id it presented.
    other_ended: bool,
    /// Whether the client has an id of this session. Only then has it one to delete.
    known: bool,
    client: IdUpdate,
    pending: Option<Box<Pending>>,
    /// The anonymous data for a login whose session is gone.
    left: Option<Box<Table>>,
}

/// Where a request's session comes from.
impl Work {
    /// Nothing is stored. `header` is the header of a session that a write creates.
    pub(crate) fn empty(header: Header, end: Option<EndReason>, dead: bool) -> Self {
        Self { end, dead, table: Table::unstored(header), ..Self::NEW }
    }

    /// A record was loaded.
    #[inline]
    pub(crate) fn stored(loaded: Loaded, table: Table) -> Box<Self> {
        // In the box from the start: to fill it on the stack and to move it there takes longer.
        let mut work = Box::new(Self::NEW);
        if table.is_special() {
            let flash = entries(table.body()).filter(|entry| entry.class() == FLASH);
            let mut start: Vec<_> = flash.map(|entry| entry.id()).collect();
            start.sort_unstable();
            work.flash = Some(Box::new(FlashUse { start, kept: BTreeSet::new() }));
        }
        (work.loaded, work.known) = (Some(loaded), true);
        // The empty table has nothing to drop.
        std::mem::forget(std::mem::replace(&mut work.table, table));
        work
    }

    /// The client has another id of this session, and needs this one.
    pub(crate) fn told_if(mut self: Box<Self>, moved: bool) -> Box<Self> {
        if moved {
            self.tell_id();
        }
        self
    }

    /// The session was found under a newer id than the one of the request.
    fn tell_id(&mut self) {
        if let Some(Loaded { id, expires, .. }) = &self.loaded {
            let persistence = self.table.header.persistence();
            self.client = IdUpdate::Set { id: *id, deadline: *expires, persistence };
        }
    }

    const NEW: Self = Self {
        known: false,
        loaded: None,
        table: Table::EMPTY,
        view: None,
        log: Vec::new(),
        flash: None,
        uses_flash: false,
        rotations: 0,
        visits: 0,
        extends: true,
        detached: false,
        referred: false,
        end: None,
        dead: false,
        refused: false,
        not_stored: false,
        beside_tombstone: false,
        other_ended: false,
        client: IdUpdate::None,
        pending: None,
        left: None,
    };

    pub(crate) fn set_detached(&mut self) {
        self.detached = true;
    }

    pub(crate) fn set_referred(&mut self) {
        self.referred = true;
    }

    pub(crate) fn set_beside_tombstone(&mut self) {
        self.beside_tombstone = true;
    }

    pub(crate) fn note_other_ended(&mut self) {
        self.other_ended = true;
    }

    pub(crate) fn has_other_ended(&self) -> bool {
        self.other_ended
    }

    #[cfg(test)]
    pub(crate) fn visits_of_reads(&self) -> usize {
        self.view.as_ref().map_or(self.visits as usize, View::visits_so_far)
    }

    /// The tombstone under the request's id has this anonymous data.
    pub(crate) fn set_left(&mut self, left: Option<Box<Table>>) {
        self.left = left;
    }

    /// Continues on the session as it is stored now. The log stays.
    pub(crate) fn reload(&mut self, found: Self, now: Timestamp) -> Result<(), Error> {
        let Self { loaded: Some(loaded), table, flash, .. } = found else { return Ok(()) };
        self.rebase(loaded, table, now)?;
        // The values that are readable from now on count as used.
        match (&mut self.flash, flash) {
            (Some(own), Some(found)) => own.start = found.start,
            (Some(own), None) => own.start.clear(),
            (own, found) => *own = found,
        }
        Ok(())
    }

    pub(crate) fn set_extends(&mut self, extends: bool) {
        self.extends = extends;
    }
}

/// Reads.
impl Work {
    pub(crate) fn loaded(&self) -> Option<&Loaded> {
        self.loaded.as_ref()
    }

    /// The table that is stored.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn header(&self) -> &Header {
        self.view.as_ref().map_or(&self.table.header, |view| &view.header)
    }

    fn entries(&self) -> ViewEntries<'_> {
        self.view.as_ref().map_or_else(|| ViewEntries::Flat(entries(self.table.body())), View::entries)
    }

    /// The live entries of a class.
    pub(crate) fn live(&self, class: u8, now: impl Fn() -> Timestamp) -> impl Iterator<Item = RawEntry<'_>> {
        self.entries().filter(move |entry| entry.class() == class && entry.is_live(&now))
    }

    /// The whole live entry of a key. It is shared or copied, so that it can be decoded without the lock.
    ///
    /// After many visits of entries, a view with an index replaces the walk over the table.
    pub(crate) fn find(&mut self, class: u8, key: &str, now: impl FnOnce() -> Timestamp) -> Option<Bytes> {
        match &mut self.view {
            None => {
                let mut visits = 0;
                let mut walk = entries(self.table.body()).inspect(|_| visits += 1);
                let entry = walk.find(|entry| entry.is(class, key.as_bytes()));
                let found = entry.filter(|entry| entry.is_live(now));
                let found = found.map(|entry| self.table.data().slice_ref(entry.whole));
                self.visits = self.visits.saturating_add(visits);
                if self.visits as usize >= MOST_VISITS {
                    self.visits = 0;
                    self.view = View::indexed(&self.table);
                }
                found
            }
            Some(view) => {
                view.arrange();
                let entry = view.find(class, key.as_bytes())?;
                entry.is_live(now).then(|| Bytes::copy_from_slice(entry.whole))
            }
        }
    }

    pub(crate) fn end(&self) -> Option<&EndReason> {
        self.end.as_ref()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.detached
    }

    pub(crate) fn is_referred(&self) -> bool {
        self.referred
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    pub(crate) fn extends(&self) -> bool {
        self.extends
    }

    /// Whether the request came with the id of the loaded session.
    pub(crate) fn presented_id(&self) -> bool {
        self.loaded.is_some() && !self.referred && !matches!(self.client, IdUpdate::Set { .. })
    }

    pub(crate) fn client(&self) -> IdUpdate {
        match self.client {
            _ if self.referred => IdUpdate::None,
            // Either would take the newer id from the client.
            IdUpdate::Extend { .. } | IdUpdate::Clear if self.beside_tombstone => IdUpdate::None,
            client => client,
        }
    }

    pub(crate) fn rotates(&self) -> bool {
        self.rotations > 0
    }

    pub(crate) fn pending(&self) -> Option<&Pending> {
        self.pending.as_deref()
    }

    /// Whether a commit has more to do than to touch.
    pub(crate) fn has_changes(&self) -> bool {
        !self.log.is_empty()
            || self.rotations > 0
            || self.pending.is_some()
            || self.flash.as_ref().is_some_and(|flash| flash.start.iter().any(|id| self.consumes(*id)))
    }

    fn consumes(&self, id: u64) -> bool {
        let flash = self.flash.as_ref().filter(|_| self.uses_flash);
        flash.is_some_and(|flash| flash.start.binary_search(&id).is_ok() && !flash.kept.contains(&id))
    }

    pub(crate) fn is_critical(&self) -> bool {
        // To rotate a session that does not exist changes nothing.
        let rotates = self.rotations > 0 && (self.loaded.is_some() || self.dead || !self.log.is_empty());
        self.refused || rotates || self.log.iter().any(Op::is_critical)
    }

    pub(crate) fn sets_time(&self) -> bool {
        self.log.iter().any(Op::sets_time)
    }
}

/// The log.
impl Work {
    fn view(&mut self) -> &mut View {
        self.view.get_or_insert_with(|| View::new(&self.table))
    }

    /// Appends an operation to the log and applies it to the view.
    pub(crate) fn record(&mut self, op: Op) {
        self.view().apply(&op);
        self.log.push(op);
    }

    /// Checks that the session may have this entry, instead of the one with the same class and key.
    pub(crate) fn admit(&mut self, entry: &[u8], limits: Limits) -> Result<(), Error> {
        let view = self.view();
        if limits.surely_allow(view.len() + entry.len()) { Ok(()) } else { view.admit(entry, limits) }
    }

    /// The same for an update, which has run already and returned `entry`.
    pub(crate) fn record_update(&mut self, key: &str, rerun: Rerun, entry: &[u8]) {
        self.view().put(entry);
        self.log.push(Op::Update { rerun, key: key.into() });
    }

    /// Lets the times that a clock ahead of `now` has written count from `now`.
    #[cold]
    pub(crate) fn correct(&mut self, now: Timestamp) -> Result<(), Error> {
        self.log.insert(0, Op::Correct(now));
        match replayed(&self.log, &self.table, now) {
            Ok(view) => self.view = view,
            Err(error) => {
                self.log.remove(0);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether the loaded session has times of a clock ahead of `now` that this request does not correct yet.
    pub(crate) fn is_ahead(&self, now: Timestamp) -> bool {
        self.table.header.is_ahead(now) && !matches!(self.log.first(), Some(Op::Correct(_)))
    }

    pub(crate) fn rotate(&mut self) {
        self.rotations += 1;
    }

    /// Records a login. If it replaces another user, the view keeps only what the login and the log say; the commit
    /// replays the log on the same.
    pub(crate) fn log_in(&mut self, login: Login) {
        if login.replaces(self.header()) {
            let log = std::mem::take(&mut self.log);
            let header = login.header_over(self.header());
            let view = self.view();
            let own: HashSet<_> = log.iter().filter_map(Op::puts).collect();
            view.start_over(header, |entry| login.keeps(entry) || own.contains(&entry.order()));
            log.iter().filter(|op| op.sets_time()).for_each(|op| view.apply(op));
            self.log = log;
        }
        self.record(Op::Login(Box::new(login)));
        self.rotate();
    }

    /// The login of this request.
    pub(crate) fn login(&self) -> Option<&Login> {
        self.log.iter().rev().find_map(Op::login)
    }

    /// Whether the session has to enter the index of its user, if it has one.
    pub(crate) fn enters(&self) -> bool {
        self.log.iter().any(Op::enters)
    }

    /// The user whom this request binds.
    pub(crate) fn binds_user(&self) -> Option<&str> {
        let binds = self.log.iter().any(|op| matches!(op, Op::BindUser(_) | Op::Login(_)));
        self.header().user().filter(|_| binds)
    }

    pub(crate) fn set_epoch(&mut self, epoch: u64) {
        self.view().header.epoch = epoch;
    }

    /// Whether the commit begins a new session if the session of this request is gone. A request that takes a value
    /// does not: another request may have taken it.
    pub(crate) fn logs_in_anyway(&self) -> bool {
        self.login().is_some() && !self.log.iter().any(|op| matches!(op, Op::Take(_)))
    }

    /// The data of the tombstone that a login leaves. A value that it has taken is not there to be taken again.
    pub(crate) fn tombstone(&self, most: Option<u64>) -> Bytes {
        let taken: HashSet<_> = self.log.iter().filter_map(Op::takes).collect();
        self.table.tombstone(most, |entry| taken.contains(&entry.order()))
    }

    /// Prepares the log of a login for the session that it is about to replace.
    pub(crate) fn switch_user(&mut self, now: Timestamp) -> Result<(), Error> {
        if self.login().is_some_and(|login| login.replaces(&self.table.header)) {
            self.view = replayed(&self.log, &self.table, now)?;
        }
        Ok(())
    }

    /// The session of a login is gone. Its data stays for the new session if no user was bound to it.
    pub(crate) fn lose(&mut self, reason: EndReason) {
        if self.loaded.take().is_some() && self.table.header.user().is_none() {
            self.left = Some(Box::new(self.table.clone()));
        }
        (self.end, self.dead, self.pending) = (Some(reason), true, None);
    }

    /// Replays the log of a login for a new session.
    pub(crate) fn begin_anew(&mut self, now: Timestamp) -> Result<(), Error> {
        let Some(login) = self.login() else { return Ok(()) };
        let nothing = || Table::unstored(login.fresh.clone());
        let table = self.left.as_deref().cloned().unwrap_or_else(nothing);
        self.view = replayed(&self.log, &table, now)?;
        (self.table, self.end, self.dead, self.known) = (table, None, false, false);
        Ok(())
    }

    pub(crate) fn use_flash(&mut self) {
        self.uses_flash = true;
    }

    pub(crate) fn keep_flash(&mut self, ids: Vec<u64>) {
        self.flash.get_or_insert_default().kept.extend(ids);
    }

    /// Forgets what was recorded, without a commit. The caller drops the log outside the lock, because the closures in
    /// it may use the session when they are dropped.
    #[must_use]
    pub(crate) fn take_log(&mut self) -> Vec<Op> {
        self.uses_flash = false;
        if self.loaded.is_none() && !self.table.data().is_empty() {
            // The data was for the login in this log.
            self.table = Table::unstored(self.table.header.clone());
        }
        self.start_log()
    }

    /// Starts a new log, because the old one is stored or has no effect.
    pub(crate) fn start_log(&mut self) -> Vec<Op> {
        self.view = None;
        self.rotations = 0;
        std::mem::take(&mut self.log)
    }

    /// Nothing is stored. Only the times that were set are kept: they apply to the session that a later value begins.
    pub(crate) fn keep_times(&mut self) {
        let log = self.start_log();
        log.into_iter().filter(Op::sets_time).for_each(|op| self.record(op));
    }

    /// Runs the log on another state of the record, which becomes the loaded one. A renewal may have moved it. If an operation cannot be replayed,
    /// nothing changes.
    pub(crate) fn rebase(&mut self, loaded: Loaded, table: Table, now: Timestamp) -> Result<(), Error> {
        self.view = replayed(&self.log, &table, now)?;
        let moved = self.loaded.as_ref().is_some_and(|old| old.id != loaded.id);
        (self.loaded, self.table) = (Some(loaded), table);
        if moved {
            self.tell_id();
        }
        Ok(())
    }
}

/// Commits.
impl Work {
    /// The table to store, without expired values and consumed flash, with the header that `change` makes. The caller
    /// passes it to [`table_of`](Self::table_of), or restarts the log.
    pub(crate) fn draft(&mut self, now: Timestamp, change: impl FnOnce(&mut Header)) -> Draft {
        let mut header = self.header().clone();
        change(&mut header);
        if self.view.as_ref().map_or(self.table.is_special(), View::is_special) {
            // Taken out, so that the rest can be borrowed.
            let mut view = self.view.take();
            let body = view.as_mut().map_or_else(|| self.table.body(), View::body);
            let draft = Draft::filtered(header, body, |entry| {
                let consumed = entry.class() == FLASH && self.consumes(entry.id());
                !consumed && entry.is_live(|| now)
            });
            self.view = view;
            return draft;
        }
        let (data, entries_at) = self.view().lend();
        Draft::over(header, data, entries_at)
    }

    /// The table of a draft, changed at `now`.
    pub(crate) fn table_of(&mut self, draft: Draft, now: Timestamp) -> Table {
        let table = draft.stamped(now);
        if let Some(view) = self.view.as_mut().filter(|view| !view.is_special()) {
            view.share(&table);
        }
        table
    }

    /// A store call that contains all that is recorded now.
    pub(crate) fn prepare(
        &self,
        next: Loaded,
        table: Table,
        before: Option<Revision>,
        tombstone: Option<Box<(Key, Record)>>,
    ) -> Box<Pending> {
        let (ops, rotations) = (self.log.len(), self.rotations);
        Box::new(Pending { next, table, before, tombstone, ops, rotations })
    }

    /// Remembers a store call that is about to be made, in case its answer is lost.
    pub(crate) fn begin(&mut self, call: Box<Pending>) -> &Pending {
        self.pending.insert(call)
    }

    /// The answer was seen. A call remains pending only if its effect is uncertain.
    pub(crate) fn answered<T>(&mut self, answer: Result<T, Error>) -> Result<T, Error> {
        if !matches!(&answer, Err(error) if error.kind() == ErrorKind::Uncertain) {
            self.pending = None;
        }
        answer
    }

    pub(crate) fn forget_pending(&mut self) {
        self.pending = None;
    }

    /// The pending call was applied; `new` says that the client does not know the id yet. Operations that were recorded later stay in the log. If they cannot be replayed,
    /// nothing changes, and the next commit resolves the call again.
    pub(crate) fn adopt(&mut self, new: bool, now: Timestamp) -> Result<(), Error> {
        let Some(pending) = &self.pending else { return Ok(()) };
        let ops = pending.ops.min(self.log.len());
        self.view = replayed(&self.log[ops..], &pending.table, now)?;
        let replaces = self.log.drain(..ops).any(|op| matches!(op, Op::Persistence(_)));
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let Pending { next, table, rotations, .. } = *pending;
        let (id, deadline, persistence) = (next.id, next.expires, table.header.persistence());
        self.client = match new || replaces {
            true => IdUpdate::Set { id, deadline, persistence },
            false => self.client.extended(id, deadline, persistence),
        };
        (self.loaded, self.table) = (Some(next), table);
        self.rotations = self.rotations.saturating_sub(rotations);
        self.left = None;
        // Consumed values are gone, so a second commit has nothing more to remove.
        if let Some(flash) = &mut self.flash {
            let stored = entries(self.table.body()).filter(|entry| entry.class() == FLASH);
            let stored: HashSet<_> = stored.map(|entry| entry.id()).collect();
            flash.start.retain(|id| stored.contains(id));
        }
        Ok(())
    }

    /// The deadline of the stored record was moved.
    pub(crate) fn touched(&mut self, revision: Revision, deadline: Timestamp) {
        if let Some(loaded) = &mut self.loaded {
            (loaded.revision, loaded.expires) = (revision, Some(deadline));
            let persistence = self.table.header.persistence();
            self.client = self.client.extended(loaded.id, Some(deadline), persistence);
        }
    }

    /// The session has the new id of a rotation.
    pub(crate) fn clear_end(&mut self) {
        self.end = None;
    }

    /// The session has ended, so what is recorded is not stored.
    pub(crate) fn note_not_stored(&mut self) {
        self.not_stored |= self.log.iter().any(|op| !matches!(op, Op::Correct(_)));
    }

    pub(crate) fn is_not_stored(&self) -> bool {
        self.not_stored
    }

    pub(crate) fn refuse_response(&mut self) {
        self.refused = true;
    }

    /// The session has ended, and nothing is recorded. `header` is the header of a session that a write creates.
    pub(crate) fn finish_with(&mut self, header: Header, end: Option<EndReason>, dead: bool) {
        let Self { extends, detached, referred, refused, not_stored, beside_tombstone, other_ended, .. } =
            *self;
        let dead = dead || referred;
        let empty = Self::empty(header, end, dead);
        *self =
            Self { extends, detached, referred, refused, not_stored, beside_tombstone, other_ended, ..empty };
    }

    /// This request destroyed the session. The client deletes its id, if it has one.
    pub(crate) fn tell_to_forget(&mut self, known: bool) {
        self.known = known;
        if known {
            self.client = IdUpdate::Clear;
        }
    }
}
