//! A cookie by the scope in which a browser keeps it, and the cookies that are deleted but not written.

use std::time::UNIX_EPOCH;

use http::header::{Entry, MaxSizeReached, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use httpdate::HttpDate;
use session_core::{Operation, Result, StoreError, StoreErrorKind};

use crate::error::ConfigError;
use crate::parse::Identity;

/// A cookie, with the parts of its headers that never change.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) identity: Identity,
    /// The attributes that are the same in every header.
    pub(crate) fixed: String,
    deletion: HeaderValue,
}

impl Scope {
    pub(crate) fn new(identity: Identity, fixed: String) -> Result<Self, ConfigError> {
        // Both `Max-Age=0` and 1970, because some clients know only one of them. The grammar for servers has no zero,
        // but every browser's algorithm accepts it (RFC 6265bis §5.6.2).
        let date = HttpDate::from(UNIX_EPOCH);
        let deletion = format!("{}={fixed}; Max-Age=0; Expires={date}", identity.name);
        let deletion = HeaderValue::try_from(deletion).map_err(|_| ConfigError::InvalidName)?;
        Ok(Self { identity, fixed, deletion })
    }

    /// Another cookie with the same attributes, whose name has this at its end.
    #[cfg(feature = "sealed")]
    pub(crate) fn named(&self, end: &str) -> Result<Self, ConfigError> {
        let mut identity = self.identity.clone();
        identity.name.push_str(end);
        Self::new(identity, self.fixed.clone())
    }

    pub(crate) fn delete(&self, response: &mut HeaderMap) -> Result<()> {
        self.put(self.deletion.clone(), response)
    }

    /// Adds our header, and replaces an earlier one for this cookie: RFC 6265bis §4.1.1 forbids two headers for one
    /// cookie.
    pub(crate) fn put(&self, value: HeaderValue, response: &mut HeaderMap) -> Result<()> {
        let ours = |header: &HeaderValue| self.identity.is_of(header.as_bytes());
        let all = response.get_all(SET_COOKIE);
        if !all.iter().any(ours) {
            return response.try_append(SET_COOKIE, value).map(drop).map_err(too_many);
        }
        // A HeaderMap can only remove all headers of a name, so the other headers are inserted again in their order.
        // They use one entry, whose place was just freed: append() would fail on a full map.
        let others: Vec<_> = all.iter().filter(|header| !ours(header)).cloned().collect();
        let mut headers = others.into_iter().chain([value]);
        response.remove(SET_COOKIE);
        let (Ok(Entry::Vacant(entry)), Some(first)) = (response.try_entry(SET_COOKIE), headers.next()) else {
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::State));
        };
        let mut entry = entry.try_insert_entry(first).map_err(too_many)?;
        headers.for_each(|header| entry.append(header));
        Ok(())
    }
}

fn too_many(cause: MaxSizeReached) -> StoreError {
    StoreError::new(StoreErrorKind::TooLarge, Operation::State)
        .with_detail("the response has too many headers")
        .with_source(cause)
}

/// The cookies that a logout deletes besides the written one, and the names under which ids are read besides its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Former {
    scopes: Vec<Scope>,
    pub(crate) names: Vec<FormerName>,
}

/// A name under which an earlier release kept ids.
#[derive(Clone, Debug)]
pub(crate) struct FormerName {
    pub(crate) name: String,
    /// Ids are signed for the name of their cookie.
    #[cfg(feature = "signed")]
    pub(crate) signer: Option<crate::signed::Signer>,
}

impl FormerName {
    fn new(name: String) -> Self {
        Self {
            name,
            #[cfg(feature = "signed")]
            signer: None,
        }
    }
}

impl Former {
    /// Adds a cookie that is only deleted.
    pub(crate) fn add(&mut self, scope: Scope) {
        if self.scopes.iter().all(|known| known.identity != scope.identity) {
            self.scopes.push(scope);
        }
    }

    /// Adds a cookie of an earlier release, with its own former ones.
    pub(crate) fn extend(&mut self, cookie: Scope, former: Self) {
        self.names.push(FormerName::new(cookie.identity.name.clone()));
        self.names.extend(former.names);
        std::iter::once(cookie).chain(former.scopes).for_each(|scope| self.add(scope));
    }

    /// Removes what the written cookie does itself, and repeated names.
    pub(crate) fn without(mut self, written: &Identity) -> Self {
        self.scopes.retain(|scope| scope.identity != *written);
        let mut names: Vec<FormerName> = Vec::new();
        for former in self.names {
            if former.name != written.name && names.iter().all(|known| known.name != former.name) {
                names.push(former);
            }
        }
        Self { names, ..self }
    }

    /// The same cookies, whose names have this at their end.
    #[cfg(feature = "sealed")]
    pub(crate) fn named(&self, end: &str) -> Result<Self, ConfigError> {
        let scopes = self.scopes.iter().map(|scope| scope.named(end)).collect::<Result<_, _>>()?;
        Ok(Self { scopes, names: Vec::new() })
    }

    pub(crate) fn delete(&self, response: &mut HeaderMap) -> Result<()> {
        self.scopes.iter().try_for_each(|scope| scope.delete(response))
    }
}
