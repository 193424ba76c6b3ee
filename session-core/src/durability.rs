//! The durability option of drivers.

/// Which events an acknowledged write survives. An option of every driver that offers a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Durability {
    /// A kill of the process. Power loss may undo the last seconds; each driver documents how many. The default.
    #[default]
    Process,
    /// Power loss as well. Every change waits for the disk.
    Power,
}
