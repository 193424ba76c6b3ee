//! A driver as an outsider would write it.
