//! A cluster of three primaries, each with a replica.

use std::fmt::Write;
use std::io::{Error, Result};
use std::time::Duration;

use crate::server::{Options, Server, wait};

/// A running cluster. The first three servers begin as primaries, the others as their replicas.
#[derive(Debug)]
pub struct Cluster {
    /// The servers; kill, pause and restart them as needed.
    pub servers: Vec<Server>,
}

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

impl Cluster {
    /// Starts six servers and joins them, and waits until every one of them says that all is well. They keep nothing on
    /// disk; a dead primary is replaced by its replica after about three seconds, and the others work meanwhile.
    ///
    /// # Errors
    /// A server does not start, or they do not come together within a minute.
    pub fn start() -> Result<Self> {
        Self::start_with(Options::new().set("appendonly", "no"))
    }

    /// As [`start`](Self::start), with more settings for each of the servers.
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

    /// Waits until every server is up, says that all is well, and has every replica in step. For after servers were
    /// killed and started again.
    ///
    /// # Errors
    /// It has not come to that within a minute, or a server does not answer or was killed.
    pub fn until_well(&self) -> Result<()> {
        if self.servers.iter().any(|server| server.process_id().is_none()) {
            return Err(Error::other("a server was killed and not started again"));
        }
        self.until("all replicas are in step", |server| {
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

    /// Waits until every server says so that was not killed, or was started again.
    ///
    /// # Errors
    /// It has not come to that within a minute, or a server does not answer.
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
        Err(Error::other(format!("a cluster was waited for in vain: {what}")))
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
