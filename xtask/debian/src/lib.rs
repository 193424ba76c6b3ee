//! Programs that tests need, such as `redis-server`: on the path, or from Debian's packages; and packages of
//! Python and Node. Servers run until their handle is dropped or the process ends that started them.

mod apt;
mod ports;
mod programs;
mod registries;
mod running;

pub use apt::{install, run, unpack_release};
pub use ports::free_port;
pub use programs::{Programs, in_target};
pub use registries::{npm, pip};
pub use running::{Running, wait};
