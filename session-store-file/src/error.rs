//! What failed system calls mean to the caller.

use std::borrow::Cow;
use std::io;

use rustix::io::Errno;
use session_core::{Operation, StoreError, StoreErrorKind};

/// A failure below the driver's methods, which know the operation.
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

    pub(crate) fn corrupt(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StoreErrorKind::Corrupt, detail)
    }

    pub(crate) fn closed() -> Self {
        Self { kind: StoreErrorKind::Closed, detail: None, source: None, unknown: false }
    }

    /// The failure of a call that makes a change. A refusal of the file system changes nothing; after anything else,
    /// for example a disk error, the outcome is unknown.
    pub(crate) fn of_change(errno: Errno) -> Self {
        let fault = Self::from(errno);
        let unclear = fault.kind == StoreErrorKind::Backend || matches!(errno, Errno::INTR | Errno::STALE);
        if unclear { fault.unknown() } else { fault }
    }

    /// Puts a path before the detail.
    pub(crate) fn at(self, path: impl std::fmt::Display) -> Self {
        let detail = self.detail.map_or_else(|| path.to_string(), |detail| format!("{path}: {detail}"));
        Self { detail: Some(detail.into()), ..self }
    }

    /// The change may have happened.
    pub(crate) fn unknown(self) -> Self {
        Self { unknown: true, ..self }
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
            // The standard library's error, because rustix is not part of the public API.
            error = error.with_source(io::Error::from(errno));
        }
        if self.unknown { error.applied_unknown() } else { error }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        let cause = io::Error::from(errno);
        let kind = match errno {
            Errno::FBIG => StoreErrorKind::TooLarge,
            Errno::LOOP => StoreErrorKind::Misconfigured,
            // A file that vanished during the call: a retry finds out why.
            Errno::MFILE | Errno::NFILE | Errno::NOENT => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::from_io(&cause),
        };
        Self { kind, detail: Some(cause.to_string().into()), source: Some(errno), unknown: false }
    }
}

#[cfg(test)]
mod tests {
    use session_core::Applied;

    use super::*;

    #[test]
    fn system_calls_fail_with_actionable_kinds() {
        for (kind, errnos) in [
            (StoreErrorKind::Full, &[Errno::NOSPC, Errno::DQUOT][..]),
            (StoreErrorKind::Misconfigured, &[Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::LOOP]),
            (StoreErrorKind::Misconfigured, &[Errno::NOTDIR, Errno::NAMETOOLONG]),
            (StoreErrorKind::Unavailable, &[Errno::MFILE, Errno::NFILE, Errno::NOENT, Errno::NOMEM]),
            (StoreErrorKind::Unavailable, &[Errno::AGAIN, Errno::STALE, Errno::INTR, Errno::BUSY]),
            (StoreErrorKind::TooLarge, &[Errno::FBIG]),
            (StoreErrorKind::Backend, &[Errno::IO]),
        ] {
            for errno in errnos {
                let error = Fault::from(*errno).during(Operation::Store);
                assert_eq!((error.kind(), error.applied()), (kind, Applied::No), "{errno}");
            }
        }
        for errno in [Errno::IO, Errno::STALE, Errno::INTR] {
            assert_eq!(
                Fault::of_change(errno).during(Operation::Store).applied(),
                Applied::Unknown,
                "{errno}"
            );
        }
        for errno in [Errno::NOSPC, Errno::ROFS, Errno::ACCESS, Errno::NOENT] {
            assert_eq!(Fault::of_change(errno).during(Operation::Store).applied(), Applied::No, "{errno}");
        }
    }
}
