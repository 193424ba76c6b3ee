//! Free ports.

use std::io::{Error, Result};
use std::net::TcpListener;

/// A free port below the kernel's range for outgoing connections. Otherwise a client that connects to a killed server
/// could get the server's port as its own and connect to itself.
pub(crate) fn free_port() -> Result<u16> {
    let outgoing = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let outgoing = outgoing.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    let outgoing: u16 = outgoing;
    let end = if outgoing >= 8_192 { outgoing } else { 32_768 };
    let from = end.saturating_sub(8_192).max(2_048);
    for _ in 0..1_000 {
        let port = fastrand::u16(from..end);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::other(format!("no free port between {from} and {end}")))
}
