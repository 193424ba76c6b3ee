//! Stores of tower-sessions that need no C code and no server, and the control.

mod files;
mod memory;

use std::process::ExitCode;

use third_party_adapter::{entry, main as serve};

fn main() -> ExitCode {
    serve(
        include_str!("../Cargo.lock"),
        &[
            entry::<memory::InControl>(),
            entry::<memory::Memory>(),
            entry::<memory::Moka>(),
            entry::<files::FileStore>(),
            entry::<files::FileBased>(),
            entry::<files::Fs>(),
            entry::<files::Sled>(),
        ],
    )
}
