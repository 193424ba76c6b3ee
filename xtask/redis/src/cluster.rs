//! A cluster of three primaries, each with a replica.

use std::fmt::Write;
use std::io::{Error, Result};
use std::time::Duration;

use xtask_debian::wait;

use crate::server::{Options, Server};

/// A running cluster. The first three servers begin as primaries, the others as their replicas.
#[derive(Debug)]
pub struct Cluster {
    /// The servers; kill, pause and restart them as needed.
    pub servers: Vec<Server>,
}

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

impl Cluster {
    /// Starts six servers without persistence, joins them, and waits until the cluster is healthy. A replica takes over
    /// from a dead primary after about three seconds; the other primaries keep working.
    ///
    /// # Errors
    /// A server does not start, or the cluster is not healthy within a minute.
    pub fn start() -> Result<Self> {
        Self::start_with(Options::new().set("appendonly", "no"))
    }

    /// As [`start`](Self::start), with options for each server.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(options: Options) -> Result<Self> {
        let options = options
            .set("cluster-enabled", "yes")
            .set("cluster-node-timeout", "1500")
            .set("cluster-require-full-coverage", "no")
            .set("repl-diskless-sync-delay", "0");
        let servers =
            (0..2 * PRIMARIES).map(|_| Server::start(options.clone())).collect::<Result<Vec<_>>>()?;
        let cluster = Self { servers };
        cluster.join()?;
        Ok(cluster)
    }

    /// The URLs of all servers.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    fn join(&self) -> Result<()> {
        let (first, others) = self.servers.split_first().ok_or_else(|| Error::other("no servers"))?;
        for (index, server) in self.servers.iter().enumerate() {
            expect_ok(server, &format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1))?;
        }
        for (index, server) in self.servers.iter().take(PRIMARIES).enumerate() {
            let slots = (SLOTS * index / PRIMARIES)..(SLOTS * (index + 1) / PRIMARIES);
            let mut command = String::from("CLUSTER ADDSLOTS");
            for slot in slots {
                write!(command, " {slot}").map_err(Error::other)?;
            }
            expect_ok(server, &command)?;
        }
        for server in others {
            expect_ok(server, &format!("CLUSTER MEET 127.0.0.1 {}", first.port()))?;
        }
        self.until("the nodes know each other", |server| {
            Ok(server.command("CLUSTER NODES")?.lines().count() == self.servers.len())
        })?;
        for (primary, replica) in self.servers.iter().zip(self.servers.iter().skip(PRIMARIES)) {
            let id = primary.command("CLUSTER MYID")?;
            expect_ok(replica, &format!("CLUSTER REPLICATE {id}"))?;
        }
        self.until_well()
    }

    /// Waits until all servers report a healthy cluster and all replicas are in sync.
    ///
    /// # Errors
    /// Not within a minute; or a server does not answer or is killed.
    pub fn until_well(&self) -> Result<()> {
        if self.servers.iter().any(|server| server.process_id().is_none()) {
            return Err(Error::other("a server was killed and not restarted"));
        }
        self.until("all replicas are in sync", |server| {
            let nodes = server.command("CLUSTER NODES")?;
            let replication = server.command("INFO replication")?;
            let link = !replication.contains("role:slave") || replication.contains("master_link_status:up");
            let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
            let failed = nodes.lines().any(|line| line.contains("fail"));
            Ok(link
                && !failed
                && replicas == PRIMARIES
                && server.command("CLUSTER INFO")?.contains("cluster_state:ok"))
        })
    }

    /// Waits until the check holds on every running server.
    ///
    /// # Errors
    /// Not within a minute, or a server does not answer.
    pub fn until(&self, what: &str, check: impl Fn(&Server) -> Result<bool>) -> Result<()> {
        for _ in 0..1_200 {
            let mut all = true;
            for server in self.servers.iter().filter(|server| server.process_id().is_some()) {
                all &= check(server)?;
            }
            if all {
                return Ok(());
            }
            wait(Duration::from_millis(50));
        }
        Err(Error::other(format!("not within a minute: {what}")))
    }
}

fn expect_ok(server: &Server, command: &str) -> Result<()> {
    match server.command(command)? {
        answer if answer.starts_with('+') => Ok(()),
        answer => Err(Error::other(format!(
            "{}: {answer}",
            command.split(' ').take(2).collect::<Vec<_>>().join(" ")
        ))),
    }
}
