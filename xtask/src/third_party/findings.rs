//! What was found, with the clauses and the programs that show it.

use super::results::Store;

/// One cause of failures.
pub(crate) struct Finding {
    pub(crate) title: &'static str,
    /// What happens, what the store or its trait says about it, and what an application can do.
    pub(crate) text: &'static str,
    /// The clauses whose failures belong to it, with a part of the names of the stores. An empty name is every store.
    causes: &'static [(&'static str, &'static [&'static str])],
    /// Programs that show it, in `third-party/`.
    pub(crate) programs: &'static [&'static str],
}

impl Finding {
    /// Whether a failure of this clause belongs to it.
    pub(crate) fn explains(&self, store: &str, id: &str) -> bool {
        self.causes.iter().any(|(name, ids)| store.contains(name) && ids.contains(&id))
    }

    /// The failed clauses of a store that belong to it.
    pub(crate) fn clauses_of<'a>(&self, store: &Store<'a>) -> Vec<&'a str> {
        let failed = store.cells().filter(|cell| cell.verdict == "fail");
        failed.filter(|cell| self.explains(store.name, cell.id)).map(|cell| cell.id).collect()
    }
}

pub(crate) const FINDINGS: &[Finding] = &[];
