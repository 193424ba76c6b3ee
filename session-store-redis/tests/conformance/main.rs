//! The conformance suite over the Redis driver: one server, and a cluster.
//!
//! The driver has a user of its own with no more rights than the README asks for; what a test does to a server from
//! outside, it does as the server's default user, who needs no password here.

#[cfg(feature = "cluster")]
mod cluster;
mod single;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use session_conformance::HarnessError;

/// What the driver's user may do, as the README says.
const RIGHTS: &str =
    "+get +set +del +getrange +setrange +strlen +pexpire +persist +eval +evalsha +scan +info +hello";
/// And more in a cluster.
#[cfg(feature = "cluster")]
const IN_CLUSTER: &str = "+cluster|slots +cluster|nodes +asking +ping";

/// Makes a user on the server at a port, who may use one namespace.
fn let_in(port: u16, user: &str, namespace: &str, more: &str) -> Result<(), HarnessError> {
    ok(port, &format!("ACL SETUSER {user} on >word ~{namespace}* {RIGHTS} {more}"))
}

/// Takes a user's rights away, and the connections, so that reconnecting is refused as well.
fn lock_out(port: u16, user: &str) -> Result<(), HarnessError> {
    ok(port, &format!("ACL SETUSER {user} off -@all"))?;
    said(port, &format!("CLIENT KILL USER {user}")).map(drop)
}

fn ok(port: u16, command: &str) -> Result<(), HarnessError> {
    let answer = said(port, command)?;
    if answer.starts_with("+OK") { Ok(()) } else { Err(HarnessError::new(format!("{command}: {answer}"))) }
}

/// The beginning of the answer of the server at a port.
fn said(port: u16, command: &str) -> Result<String, HarnessError> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0; 512];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).trim_end().to_owned())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, HarnessError> {
    text.parse().map_err(|_| HarnessError::new(format!("no such address: {text}")))
}
