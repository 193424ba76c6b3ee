//! The functions that check the clauses, a module per level. README.md says how to add one.

mod basic_handle;
mod basic_record;
mod concurrent_changes;
mod concurrent_use;
pub(crate) mod durable;
pub(crate) mod expiry;
mod faults_damage;
mod faults_full;
mod faults_outage;
mod recent;
pub(crate) mod roles;
pub(crate) mod shared;
pub(crate) mod traverse;

pub(crate) mod basic {
    pub(crate) use super::recent::b38_recent_read_sees_own_changes;
    pub(crate) use super::{basic_handle::*, basic_record::*};
}

pub(crate) mod concurrent {
    pub(crate) use super::recent::c20_recent_reads_are_linearizable;
    pub(crate) use super::{concurrent_changes::*, concurrent_use::*};
}

pub(crate) mod faults {
    pub(crate) use super::{faults_damage::*, faults_full::*, faults_outage::*};
}

#[cfg(feature = "session")]
#[cfg_attr(not(feature = "session-all"), allow(unused_imports, reason = "the smoke set is in a few of them"))]
pub(crate) mod session;
