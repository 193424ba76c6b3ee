//! A session as the verbs show it.

use serde::Serialize;
use session_kit::{DynDriver, Found, Handle, Timestamp};

use crate::moment::{exact, short};
use crate::output::plain;

/// A line of `ls`, `show` and `user`. Its fields are the same for damaged records, where only the handle is known.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    handle: String,
    state: State,
    user: Option<String>,
    label: Option<String>,
    created: Option<String>,
    updated: Option<String>,
    last_used: Option<String>,
    expires: Option<String>,
    expires_at_latest: Option<String>,
    bytes: Option<usize>,
    #[serde(skip)]
    times: Option<(Timestamp, Option<Timestamp>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Live,
    Damaged,
}

impl Row {
    pub(crate) fn of(found: &Found<DynDriver>) -> Self {
        Self {
            handle: found.handle().to_string(),
            state: State::Live,
            user: found.user().map(str::to_owned),
            label: found.label(),
            created: Some(exact(found.created())),
            updated: Some(exact(found.updated())),
            last_used: Some(exact(found.last_used())),
            expires: found.deadline().map(exact),
            expires_at_latest: found.absolute_deadline().map(exact),
            bytes: Some(found.size()),
            times: Some((found.last_used(), found.deadline())),
        }
    }

    pub(crate) fn damaged(handle: &Handle) -> Self {
        Self {
            handle: handle.to_string(),
            state: State::Damaged,
            user: None,
            label: None,
            created: None,
            updated: None,
            last_used: None,
            expires: None,
            expires_at_latest: None,
            bytes: None,
            times: None,
        }
    }

    pub(crate) const HEADING: &'static str = "HANDLE                                       LAST USED             EXPIRES                 BYTES  USER  LABEL";

    /// One line of columns.
    pub(crate) fn line(&self) -> String {
        let Some((used, expires)) = self.times else { return format!("{}  damaged", self.handle) };
        let expires = expires.map_or_else(|| "never".to_owned(), short);
        let (bytes, user) =
            (self.bytes.unwrap_or_default(), self.user.as_deref().map_or_else(|| "-".into(), plain));
        let label = self.label.as_deref().map(plain).unwrap_or_default();
        let line = format!("{}  {}  {expires:20}  {bytes:>7}  {user}  {label}", self.handle, short(used));
        line.trim_end().to_owned()
    }

    /// One line for each field that is known.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let bytes = self.bytes.map(|bytes| bytes.to_string());
        let fields = [
            ("handle", Some(self.handle.clone())),
            ("user", self.user.as_deref().map(plain)),
            ("label", self.label.as_deref().map(plain)),
            ("created", self.created.clone()),
            ("updated", self.updated.clone()),
            ("last used", self.last_used.clone()),
            ("expires", self.expires.clone()),
            ("expires at latest", self.expires_at_latest.clone()),
            ("bytes", bytes),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
