//! Promises that a run tests, one line for each.

use crate::Result;
use crate::tally::Tally;

/// Fails with this text unless the condition holds.
pub(crate) fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// Prints whether the promise holds.
pub(crate) fn print(says: &str, shown: &Result) -> Tally {
    match shown {
        Ok(()) => println!("ok   {says}"),
        Err(error) => println!("FAIL {says}\n     {error}"),
    }
    Tally::one(shown.is_ok())
}
