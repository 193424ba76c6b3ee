//! The user of a session, and the new id that a change of the user needs.

use std::time::Duration;

use bytes::Bytes;

use crate::entry::{LABEL, NewEntry};
use crate::error::{Error, ErrorKind};
use crate::login::Login;
use crate::op::{Op, UserChange};
use crate::session::Session;
use crate::table::CLOCK_DIFFERENCE;
use crate::work::Work;

impl Session {
    /// Logs a user in: binds the user, 1 to 255 bytes, and gives the session a new id and a new absolute lifetime at the
    /// commit. The values of an anonymous session stay. Values of another user do not: see
    /// [`login_keeping`](Self::login_keeping).
    ///
    /// A login does not fail because of the session that it came with. If another request has rotated or ended that
    /// session, or it has expired, the commit creates a new session, and the client receives its id. The log is replayed
    /// on the data that this request loaded, if no user was bound to it. A request with an id that another login
    /// replaced less than 60 s ago is replayed on the anonymous data from before that login. In all other cases the log
    /// is replayed on an empty session. So the second half of a double click, and a retry after a lost response, both
    /// end logged in.
    ///
    /// A request that also takes a value ([`take`](Self::take)) fails as one without a login.
    ///
    /// # Errors
    /// `Name` for an empty or too long name; `Committed`, `NotLoaded`, `Busy`, `NoResponse`.
    pub fn login(&self, user: &str) -> Result<(), Error> {
        self.login_keeping(user, &[])
    }

    /// [`login`](Self::login) that keeps the values of these keys if another user is bound to the session. All other
    /// values of that user, the flash values and the session's own timeouts are dropped. Values that this request has
    /// written stay.
    ///
    /// # Errors
    /// The same.
    pub fn login_keeping(&self, user: &str, keep: &[&str]) -> Result<(), Error> {
        let user = user_name(user)?;
        let keep = keep.iter().map(|key| (*key).into()).collect();
        let login = Login { user, keep, fresh: self.config().new_header(), at: self.now() };
        self.write_id(|work| work.log_in(login))
    }

    /// Sets the user of a session without a user, 1 to 255 bytes. If another request bound another user first, the commit
    /// fails with `Contention`. Call [`rotate`](Self::rotate) with it, or call [`login`](Self::login) instead of both.
    ///
    /// If another user is bound already, this is a [`login`](Self::login): the session starts without the values of that
    /// user, under a new id.
    ///
    /// # Errors
    /// `Name` for an empty or too long name; `Committed`, `NotLoaded`, `Busy`, `NoResponse`.
    pub fn bind_user(&self, user: &str) -> Result<(), Error> {
        let user = user_name(user)?;
        self.write_id(|work| {
            let over = work.header().user_bytes();
            if !over.is_empty() && over != user {
                let (fresh, at) = (self.config().new_header(), self.now());
                return work.log_in(Login { user, keep: [].into(), fresh, at });
            }
            work.record(Op::BindUser(Box::new(UserChange { user, over })));
        })
    }

    /// Removes the user and keeps the values, under a new id: a logout that keeps the cart. Returns whether a user was
    /// bound. To remove the values too, call [`destroy`](Self::destroy).
    ///
    /// It changes the loaded session only. If the request presents a second id, the session there keeps its user.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`, `NoResponse`.
    pub fn unbind_user(&self) -> Result<bool, Error> {
        self.write_id(|work| {
            let bound = work.header().user().is_some();
            if bound {
                work.record(Op::UnbindUser);
                work.rotate();
            }
            bound
        })
    }

    /// Sets a label of the session for a list of devices, such as the browser and the network; up to 255 bytes.
    /// [`Found::label`](crate::Found::label) shows it. On replay the last one wins.
    ///
    /// # Errors
    /// `Name` for a longer label; `Committed`, `NotLoaded`, `Busy`.
    pub fn set_label(&self, label: &str) -> Result<(), Error> {
        if label.len() > 255 {
            return Err(Error::new(ErrorKind::Name).with_detail("a label has up to 255 bytes"));
        }
        let parts = NewEntry { class: LABEL, codec: 0, deadline: None, id: None, key: "" };
        let entry = parts.encode(|out| {
            out.extend_from_slice(label.as_bytes());
            Ok::<_, Error>(())
        })?;
        self.write(|work| entry.into_iter().for_each(|entry| work.record(Op::Label(entry))))
    }

    /// The user of the session.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`.
    pub fn user(&self) -> Result<Option<String>, Error> {
        self.read(|work| work.header().user().map(str::to_owned))
    }

    /// Whether the session has a user whose last login, or rotation, is less than `age` ago: for actions that need a
    /// recent proof of identity (OWASP ASVS 5.0, 7.5.1 and 7.5.3). A time that a wrong clock has written ahead of now is
    /// not recent.
    ///
    /// It relies on the application to call [`login`](Self::login) or [`rotate`](Self::rotate) only after such a proof. A
    /// login of this request counts after its commit. A session that is extended by use gets older.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn is_fresh(&self, age: Duration) -> Result<bool, Error> {
        let now = self.now();
        self.read(|work| {
            let table = work.table();
            let ahead = table.header.started > now.saturating_add(CLOCK_DIFFERENCE);
            let recent = now.saturating_since(table.header.started) < age;
            work.loaded().is_some() && table.header.user().is_some() && recent && !ahead
        })
    }

    /// Gives the session a new id and a new absolute lifetime at the commit: on every privilege change (OWASP: renew the
    /// id). Nothing can be read, written or created under the old id. For a login, call [`login`](Self::login).
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`, `NoResponse`.
    pub fn rotate(&self) -> Result<(), Error> {
        self.write_id(Work::rotate)
    }

    /// A write that gives the client a new id.
    fn write_id<R>(&self, write: impl FnOnce(&mut Work) -> R) -> Result<R, Error> {
        self.write(|work| match work.is_referred() {
            true => Err(Error::new(ErrorKind::NoResponse)),
            false => Ok(write(work)),
        })?
    }
}

fn user_name(user: &str) -> Result<Bytes, Error> {
    if user.is_empty() || user.len() > 255 {
        return Err(Error::new(ErrorKind::Name).with_detail("a user has 1 to 255 bytes"));
    }
    Ok(Bytes::copy_from_slice(user.as_bytes()))
}
