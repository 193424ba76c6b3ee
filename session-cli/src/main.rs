//! The program `sessionctl`.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use session_cli::{Surroundings, run};

fn main() -> ExitCode {
    let surroundings = Surroundings {
        variable,
        color: std::io::stderr().is_terminal() && variable("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let exit = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let exit = runtime.block_on(run(std::env::args_os().collect(), surroundings));
            // A read from standard input cannot be cancelled, and its thread would hold the runtime.
            runtime.shutdown_background();
            exit
        }
        Err(cause) => session_cli::no_runtime(&cause),
    };
    ExitCode::from(exit.code())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program reads what its options name; the library asks for it"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
