//! Ports that nobody uses.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{Error, Result};
use std::net::TcpListener;

/// How far above its port a server of a cluster talks to the others.
const BUS: u16 = 10_000;

/// A port that is free now together with its cluster bus port.
///
/// It is below those that the kernel gives to outgoing connections: while a killed server is away, a client that tries
/// to connect to it could be given the server's own port, and find itself.
pub(crate) fn free_port() -> Result<u16> {
    let outgoing = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let outgoing = outgoing.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    // A system that gives out nearly all ports leaves no choice.
    let end = if outgoing >= BUS + 4_096 { outgoing - BUS } else { 32_768 - BUS };
    let (from, random) = (end.saturating_sub(16_384).max(2_048), RandomState::new());
    for turn in 0..1_000_u32 {
        let offset = random.hash_one((std::process::id(), turn)) % u64::from(end - from);
        let port = from + u16::try_from(offset).map_err(Error::other)?;
        if [port, port + BUS].into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(port);
        }
    }
    Err(Error::other(format!("no free port between {from} and {end}")))
}
