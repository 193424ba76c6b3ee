//! What the failures of system calls mean to a caller.

use std::borrow::Cow;
use std::io;

use rustix::io::Errno;
use session_core::{Operation, StoreError, StoreErrorKind};

/// A failure on its way to the caller, who knows the operation.
#[derive(Debug)]
pub(crate) struct Fault {
    kind: StoreErrorKind,
    detail: Option<Cow<'static, str>>,
    source: Option<Errno>,
    unknown: bool,
}

impl Fault {
    pub(crate) fn new(kind: StoreErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: Some(detail.into()), source: None, unknown: false }
    }

    /// What stands where a record would be is none, or a damaged one.
    pub(crate) fn corrupt(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StoreErrorKind::Corrupt, detail)
    }

    pub(crate) fn closed() -> Self {
        Self { kind: StoreErrorKind::Closed, detail: None, source: None, unknown: false }
    }

    /// The store is used in a child of the process that opened it.
    pub(crate) fn forked() -> Self {
        Self::new(StoreErrorKind::Misconfigured, "the store was opened before a fork: open it in the child")
    }

    /// A call failed that makes a change. What the file system refuses has not happened; of anything else, a fault of
    /// the disk for instance, nobody knows.
    pub(crate) fn of_change(errno: Errno) -> Self {
        let fault = Self::from(errno);
        let unclear = fault.kind == StoreErrorKind::Backend || matches!(errno, Errno::INTR | Errno::STALE);
        if unclear { fault.unknown() } else { fault }
    }

    /// Says where the system call failed, or what is done about it.
    pub(crate) fn at(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The change may have happened all the same.
    pub(crate) fn unknown(mut self) -> Self {
        self.unknown = true;
        self
    }

    pub(crate) fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    pub(crate) fn during(self, operation: Operation) -> StoreError {
        let mut error = StoreError::new(self.kind, operation);
        if let Some(detail) = self.detail {
            error = error.with_detail(detail);
        }
        if let Some(errno) = self.source {
            // The standard library's error: rustix is no part of what this crate promises.
            error = error.with_source(io::Error::from(errno));
        }
        if self.unknown { error.applied_unknown() } else { error }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        let (kind, detail) = match errno {
            Errno::NOSPC | Errno::DQUOT => (StoreErrorKind::Full, Some("the disk or the quota is full")),
            Errno::FBIG => (StoreErrorKind::TooLarge, Some("larger than a file may be")),
            Errno::ACCESS | Errno::PERM => (StoreErrorKind::Misconfigured, Some("permission denied")),
            Errno::ROFS => (StoreErrorKind::Misconfigured, Some("the file system is read-only")),
            Errno::LOOP => {
                (StoreErrorKind::Misconfigured, Some("a symbolic link in the path, which is not followed"))
            }
            Errno::NOTDIR => (StoreErrorKind::Misconfigured, Some("something in the path is no directory")),
            Errno::NAMETOOLONG => (StoreErrorKind::Misconfigured, Some("the path is too long")),
            Errno::MFILE | Errno::NFILE => (StoreErrorKind::Unavailable, Some("no file descriptor is left")),
            Errno::NOMEM | Errno::AGAIN | Errno::STALE | Errno::INTR | Errno::BUSY => {
                (StoreErrorKind::Unavailable, None)
            }
            // Something vanished in the middle: whoever tries again finds out what.
            Errno::NOENT => (StoreErrorKind::Unavailable, Some("a file or directory has just vanished")),
            _ => (StoreErrorKind::Backend, None),
        };
        Self { kind, detail: detail.map(Cow::Borrowed), source: Some(errno), unknown: false }
    }
}

#[cfg(test)]
mod tests {
    use session_core::Applied;

    use super::*;

    #[test]
    fn each_failure_has_the_kind_that_a_caller_can_act_on() {
        for (errno, kind) in [
            (Errno::NOSPC, StoreErrorKind::Full),
            (Errno::DQUOT, StoreErrorKind::Full),
            (Errno::ACCESS, StoreErrorKind::Misconfigured),
            (Errno::PERM, StoreErrorKind::Misconfigured),
            (Errno::ROFS, StoreErrorKind::Misconfigured),
            (Errno::MFILE, StoreErrorKind::Unavailable),
            (Errno::NFILE, StoreErrorKind::Unavailable),
            (Errno::FBIG, StoreErrorKind::TooLarge),
            (Errno::IO, StoreErrorKind::Backend),
        ] {
            let error = Fault::from(errno).during(Operation::Store);
            assert_eq!((error.kind(), error.applied()), (kind, Applied::No), "{errno}");
        }
        for errno in [Errno::IO, Errno::STALE, Errno::INTR] {
            let error = Fault::of_change(errno).during(Operation::Store);
            assert_eq!(error.applied(), Applied::Unknown, "{errno}");
        }
        for errno in [Errno::NOSPC, Errno::ROFS, Errno::ACCESS, Errno::NOENT] {
            let error = Fault::of_change(errno).during(Operation::Store);
            assert_eq!(error.applied(), Applied::No, "{errno}");
        }
    }
}
