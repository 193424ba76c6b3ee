//! The levels of the specification, and the requirements of its clauses.

use std::fmt;

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

            /// What the word means, if it is one.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// How far up a clause stands; the letter of its id says it too.
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
    /// What a clause needs of a driver or its harness in order to apply.
    Requirement {
        /// It compares and stores in one step (`Capabilities::conditional`).
        Conditional = "Conditional",
        /// It can list its keys.
        Traverse = "Traverse",
        /// A traversal reports each key once (`Capabilities::exactly_once`).
        ExactlyOnce = "ExactlyOnce",
        /// It removes expired records when told to; an engine that expires by itself does not.
        Purge = "Purge",
        /// It follows the clock that it is given (`Harness::time`), and expiry is observed to the millisecond.
        VirtualTime = "VirtualTime",
        /// It states a largest value (`Capabilities::max_record_bytes`) of 64 MiB at the most.
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
        /// Every byte that it keeps of a record is checked when it is read, and the harness can reach each of them.
        Checksum = "Checksum",
        /// The harness can take the backend away from open handles, and bring it back.
        Outage = "Outage",
        /// It can be full, and the harness can make storage so small.
        Full = "Full",
        /// The harness can take the permission to use the storage away, and give it back.
        Permission = "Permission",
    }
}
