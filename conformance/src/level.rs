//! The levels of the specification, and the requirements of its clauses.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value of a word, if it has one.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// The level of a clause, which is also the letter of its id.
    Level {
        /// retrieve, store, remove, touch, close (B).
        Basic = "basic",
        /// traverse, count, clear (T).
        Traverse = "traverse",
        /// Deadlines and purge (E).
        Expiry = "expiry",
        /// Many tasks on one handle (C).
        Concurrent = "concurrent",
        /// Many handles and many processes on one store (P).
        Shared = "shared",
        /// What survives the process (D).
        Durable = "durable",
        /// A backend that fails (F).
        Faults = "faults",
        /// The session layer on top of the driver (S).
        Session = "session",
    }
}

words! {
    /// A requirement that a driver or its harness must meet for a clause to apply.
    Requirement {
        /// It compares and writes in one atomic step (`Capabilities::conditional`).
        Conditional = "Conditional",
        /// It can list its keys.
        Traverse = "Traverse",
        /// A traversal reports each key once (`Capabilities::exactly_once`).
        ExactlyOnce = "ExactlyOnce",
        /// A retrieve completes at its first poll (`Capabilities::at_once`).
        AtOnce = "AtOnce",
        /// `purge` removes expired records. An engine that expires records itself lacks it.
        Purge = "Purge",
        /// It follows the given clock (`Harness::time`) to the millisecond.
        VirtualTime = "VirtualTime",
        /// It states a largest value (`Capabilities::max_record_bytes`) of at most 64 MiB.
        ValueBound = "ValueBound",
        /// Its data survives an orderly close (`Survives::Close`).
        Close = "Close",
        /// Its data survives SIGKILL (`Survives::Kill`).
        Kill = "Kill",
        /// Its data survives power loss (`Survives::PowerLoss`).
        PowerLoss = "PowerLoss",
        /// Several processes may share the store (`Shared::Host` or more).
        Processes = "Processes",
        /// The harness can damage a record from outside.
        Damage = "Damage",
        /// It verifies every stored byte of a record when it reads, and the harness can reach each byte.
        Checksum = "Checksum",
        /// The harness can reach the structures by which the driver finds its records.
        Index = "Index",
        /// The harness can stop the backend of open handles, and start it again.
        Outage = "Outage",
        /// It can be full, and the harness can create such storage.
        Full = "Full",
        /// The harness can take the right to use the storage away, and give it back.
        Permission = "Permission",
        /// Open handles keep files of the store open, and the harness can move these away and back.
        Files = "Files",
    }
}
