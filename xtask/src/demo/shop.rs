//! The shop as a separate process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::demo::Framework;
use crate::server::Server;
use crate::{Result, cargo};

/// Builds the shop and returns the path of the program.
///
/// After a run of all tests it is built with the features of the whole workspace, because its dependencies have just been
/// compiled with them; the example adds the features of the tests. Otherwise the shop is built alone.
pub(crate) fn build(after_all_tests: bool) -> Result<PathBuf> {
    if after_all_tests {
        cargo::build_one(
            "shop",
            &["build", "--workspace", "--all-features", "--bin", "shop", "--example", "matrix"],
        )
    } else {
        cargo::build_one("shop", &["build", "--package", "shop"])
    }
}

/// The URL of an SQLite store in this directory, which is created if it is missing.
pub(crate) fn sqlite_in(directory: &Path) -> String {
    let mut url = String::from("sqlite://");
    for byte in directory.join("sessions.db").as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' => url.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url + "?create_directory=true"
}

/// The command that starts the shop.
pub(crate) fn command(program: &Path, framework: Framework, store: &str, port: u16) -> Command {
    let mut command = Command::new(program);
    command.args(["--framework", framework.name(), "--store", store, "--port", &port.to_string()]);
    command.current_dir(cargo::root());
    command
}

/// A running shop. It is killed with SIGKILL when dropped.
#[derive(Debug)]
pub(crate) struct Shop {
    _server: Server,
    pub(crate) address: SocketAddr,
}

impl Shop {
    /// Starts the shop and waits until it listens.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let server = Server::start(command, log, "listening on http://")?;
        let address = server.said.parse()?;
        Ok(Self { _server: server, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_a_directory_is_percent_encoded() {
        let url = sqlite_in(Path::new("/data/my shop?"));
        assert_eq!(url, "sqlite:///data/my%20shop%3F/sessions.db?create_directory=true");
    }
}
