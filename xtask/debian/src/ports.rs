//! Free ports.

use std::io::{Error, Result};
use std::net::TcpListener;

/// A port that is free on 127.0.0.1, together with the port that is `bus` higher.
///
/// It is below the kernel's range for outgoing connections. Otherwise a client that connects to a killed server could
/// get the server's port as its own and connect to itself.
///
/// # Errors
/// No port was free in a thousand attempts.
pub fn free_port(bus: u16) -> Result<u16> {
    // A system without this file has the range of RFC 6335 §6, which begins higher than that of Linux.
    let outgoing = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = outgoing.ok().and_then(|range| range.split_whitespace().next()?.parse().ok());
    let outgoing = first.unwrap_or(32_768);
    // Where the range covers nearly all ports, the port may be inside it.
    let end = if outgoing >= bus + 4_096 { outgoing - bus } else { 32_768 - bus };
    let from = end.saturating_sub(16_384).max(2_048);
    for _ in 0..1_000 {
        let port = fastrand::u16(from..end);
        // Each listener ends before the next one begins.
        if [port, port + bus].into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(port);
        }
    }
    Err(Error::other(format!("no free port between {from} and {end}")))
}
