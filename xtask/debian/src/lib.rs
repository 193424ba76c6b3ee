//! Programs that tests need, such as `redis-server`: on the path, or from Debian's packages.

mod apt;
mod programs;

pub use apt::{install, run};
pub use programs::{Programs, in_target};
