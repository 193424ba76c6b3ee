//! Running a log on another state of the record than the one it was recorded on.

use std::collections::HashSet;

use session_core::Timestamp;

use crate::error::Error;
use crate::op::Op;
use crate::table::Table;
use crate::view::View;

/// The session with the log applied; `None` if the log is empty.
pub(crate) fn replayed(log: &[Op], table: &Table, now: Timestamp) -> Result<Option<View>, Error> {
    if log.is_empty() {
        return Ok(None);
    }
    let last_login = log.iter().rposition(|op| op.login().is_some());
    let switched = last_login.and_then(|at| log[at].login()).filter(|login| login.replaces(&table.header));
    // A value of another user is taken before that user's values go.
    let switched = switched.map(|login| {
        let taken: HashSet<_> = log.iter().filter_map(Op::takes).collect();
        login.without_user(table, |entry| taken.contains(&entry.order()))
    });
    let mut view = View::new(switched.as_ref().unwrap_or(table));
    // Needed by deadlines of values only.
    let mut put: Option<HashSet<(u8, &[u8])>> =
        log.iter().any(|op| matches!(op, Op::Expire { .. })).then(HashSet::new);
    for (done, op) in log.iter().enumerate() {
        // A login decides alone who the user is.
        let binds = matches!(op, Op::BindUser(_) | Op::UnbindUser);
        if !(binds && last_login.is_some_and(|at| done < at)) {
            view.replay(|order| put.as_ref().is_some_and(|put| put.contains(&order)), op, now)?;
        }
        if let Some(put) = &mut put {
            put.extend(op.puts());
        }
    }
    Ok(Some(view))
}
