//! Revisions of records.

/// 64 random bits that identify one state of a record.
///
/// The session layer draws a new revision for every change, including a touch. Drivers store and compare revisions as
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision([u8; 8]);

impl Revision {
    /// A revision from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes, in storage order.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// A new random revision. Costs some nanoseconds, because each thread draws its random bytes in blocks.
    ///
    /// # Errors
    /// `Entropy` if the operating system returns no random bytes.
    #[cfg(feature = "random")]
    pub fn random() -> crate::Result<Self> {
        crate::random::bytes().map(Self)
    }
}
