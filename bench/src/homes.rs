//! The stores of the subjects: directories and servers of this run only, filled once.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use session_bench_work::{Args, Work, write_lists};
use xtask_redis::{Cluster, Options, SERVERS, Server};

use crate::console::{complain, progress};
use crate::groups::{Area, Group, Home, Program, Subject};

/// The server of [`Home::Valkey`].
const VALKEY: &str = "valkey-9";

/// The figures of one run.
pub(crate) type Figures = HashMap<String, f64>;

/// The current stores. Dropping removes them.
#[derive(Debug)]
pub(crate) struct Homes {
    data: PathBuf,
    /// One server per program and number of records.
    servers: HashMap<(&'static str, usize), Server>,
    cluster: Option<Cluster>,
    postgres: Option<xtask_postgres::Server>,
    /// The number of records in each filled store.
    filled: HashMap<(Home, usize), usize>,
    /// The driver whose stores these are.
    owner: Option<(Area, Home)>,
    meetings: usize,
}

impl Homes {
    /// Creates a directory for this run only, because another run may be active or may have been killed.
    pub(crate) fn below(data: &Path) -> io::Result<Self> {
        let data = data.join(std::process::id().to_string());
        std::fs::create_dir_all(&data)?;
        let (servers, filled) = (HashMap::new(), HashMap::new());
        Ok(Self { data, servers, cluster: None, postgres: None, filled, owner: None, meetings: 0 })
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Groups of one driver share stores and servers. Removes them when another driver's groups begin.
    pub(crate) fn begin(&mut self, group: &Group) -> Result<(), String> {
        let owner = group.subjects.first().map(|subject| (group.area, subject.home));
        if owner != self.owner {
            self.owner = owner;
            self.servers.clear();
            self.cluster = None;
            self.postgres = None;
            self.filled.clear();
            emptied(&self.data)?;
        }
        Ok(())
    }

    /// Creates and fills the subject's store if needed, and puts its location and number of records into `args`.
    pub(crate) fn furnish(
        &mut self,
        subject: &Subject,
        args: &mut Args,
        fill: impl FnOnce(&Args) -> Result<Figures, String>,
    ) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let asked = args.records;
        match subject.home {
            Home::Memory => return Ok(()),
            Home::Disk(name) => args.dir = self.data.join(format!("{name}-{asked}")),
            Home::Redis(_) => (args.url, args.server) = self.server("", asked).map_err(text)?,
            Home::Valkey(_) => (args.url, args.server) = self.server(VALKEY, asked).map_err(text)?,
            Home::Postgres(_) => (args.url, args.server) = self.postgres().map_err(text)?,
            Home::Cluster(_) => args.url = self.nodes().map_err(text)?,
        }
        if args.work == Work::Mix {
            // The users begin with their logins.
            return if let Home::Disk(_) = subject.home { emptied(&args.dir) } else { Ok(()) };
        }
        if let Some(holds) = self.filled.get(&(subject.home, asked)) {
            args.records = *holds;
            return Ok(());
        }
        progress(&format!("filling {}", subject.title()));
        if let Home::Disk(_) = subject.home {
            emptied(&args.dir)?;
        }
        if let Program::Perl { .. } = subject.program {
            write_lists(asked, &args.dir.join("keys"), &args.dir.join("draws")).map_err(text)?;
        }
        let figures = fill(args)?;
        let holds = figures.get("records").ok_or("the subject reports no number of records")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of records")]
        let holds = *holds as usize;
        args.records = holds;
        self.filled.insert((subject.home, asked), holds);
        Ok(())
    }

    /// A new empty directory in which processes wait for each other.
    pub(crate) fn meeting(&mut self) -> io::Result<PathBuf> {
        self.meetings += 1;
        let place = self.data.join(format!("meeting-{}", self.meetings));
        std::fs::create_dir(&place)?;
        Ok(place)
    }

    /// The URL and the process id of a server: by its name among those that packages bring, or the usual one.
    fn server(&mut self, name: &'static str, records: usize) -> io::Result<(String, u32)> {
        let reach = |server: &Server| match server.process_id() {
            Some(process) => Ok((server.url(), process)),
            None => Err(io::Error::other(format!("{name} has ended"))),
        };
        if let Some(server) = self.servers.get(&(name, records)) {
            return reach(server);
        }
        progress("starting a server");
        let options = match SERVERS.iter().find(|known| known.name == name) {
            Some(known) => Options::new().program(known.fetch()?).jemalloc(),
            None => Options::new(),
        };
        let server = Server::start(options)?;
        reach(self.servers.entry((name, records)).or_insert(server))
    }

    /// The URL and the process id of a PostgreSQL server that has all records in its buffers.
    fn postgres(&mut self) -> io::Result<(String, u32)> {
        if self.postgres.is_none() {
            progress("starting a PostgreSQL server");
            let options =
                xtask_postgres::Options::new().set("shared_buffers", "1GB").set("max_wal_size", "8GB");
            self.postgres = Some(xtask_postgres::Server::start(options)?);
        }
        let server = self.postgres.as_ref().and_then(|server| Some((server.url(), server.process_id()?)));
        server.ok_or_else(|| io::Error::other("PostgreSQL has ended"))
    }

    fn nodes(&mut self) -> io::Result<String> {
        if self.cluster.is_none() {
            progress("starting a cluster of redis-servers");
            self.cluster = Some(Cluster::start()?);
        }
        Ok(self.cluster.iter().flat_map(Cluster::urls).collect::<Vec<_>>().join(","))
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.data) {
            complain(&format!("{} could not be removed: {error}", self.data.display()));
        }
    }
}

/// Empties or creates a directory.
fn emptied(dir: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(dir),
    }
    .map_err(|error| format!("{}: {error}", dir.display()))
}
