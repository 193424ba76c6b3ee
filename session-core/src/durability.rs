//! What an acknowledged write survives, as an option of a driver.

use crate::capabilities::{Capabilities, RollsBack, Survives};

/// What an acknowledged write survives: the option of every driver that offers a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Durability {
    /// The sudden death of the process. Power loss may undo the last seconds; each driver documents the bound. The
    /// default.
    #[default]
    Process,
    /// Power loss as well: every change waits until the disk has it.
    Power,
}

impl Durability {
    /// Adds what this durability promises to a driver's capabilities.
    #[must_use]
    pub const fn promise(self, capabilities: Capabilities) -> Capabilities {
        match self {
            Self::Process => capabilities.survives(Survives::Kill).rolls_back(RollsBack::PowerLoss),
            Self::Power => capabilities.survives(Survives::PowerLoss).rolls_back(RollsBack::Never),
        }
    }
}
