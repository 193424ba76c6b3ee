//! Free ports.

use std::io::{Error, Result};
use std::net::TcpListener;

/// The distance from a server's port to its cluster bus port.
const BUS: u16 = 10_000;

/// A port that is free together with its cluster bus port.
///
/// It is below the kernel's range for outgoing connections. Otherwise a client that connects to a killed server could
/// get the server's port as its own and connect to itself.
pub(crate) fn free_port() -> Result<u16> {
    let outgoing = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let outgoing = outgoing.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    // Where the range covers nearly all ports, the port may be inside it.
    let end = if outgoing >= BUS + 4_096 { outgoing - BUS } else { 32_768 - BUS };
    let from = end.saturating_sub(16_384).max(2_048);
    for _ in 0..1_000 {
        let port = fastrand::u16(from..end);
        if [port, port + BUS].into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(port);
        }
    }
    Err(Error::other(format!("no free port between {from} and {end}")))
}
