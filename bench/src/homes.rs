//! Where the subjects keep their records: directories and servers of this run alone, filled once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};

use session_bench_work::{Args, write_lists};
use xtask_redis::{Cluster, Options, Server};

use crate::groups::{Area, Group, Home, Program, Subject};
use crate::programs::Figures;
use crate::report::{complain, progress};

/// The stores that are there; they go at the end.
#[derive(Debug)]
pub(crate) struct Homes {
    data: PathBuf,
    /// By the number of records, for stores of different sizes have servers of their own.
    servers: HashMap<usize, Server>,
    cluster: Option<Cluster>,
    /// How many records each store that was filled holds.
    filled: HashMap<(Home, usize), usize>,
    /// Whose they are.
    owner: Option<(Area, Home)>,
    meetings: usize,
}

impl Homes {
    /// A directory of this run alone, for two may run at once, and one may have been killed.
    pub(crate) fn below(data: &Path) -> io::Result<Self> {
        let data = data.join(std::process::id().to_string());
        std::fs::create_dir_all(&data)?;
        let (servers, filled) = (HashMap::new(), HashMap::new());
        Ok(Self { data, servers, cluster: None, filled, owner: None, meetings: 0 })
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Groups about the same driver share stores and servers; when another's turn comes, these go.
    pub(crate) fn begin(&mut self, group: &Group) -> Result<(), String> {
        let owner = group.subjects.first().map(|subject| (group.area, subject.home));
        if owner != self.owner {
            self.owner = owner;
            self.servers.clear();
            self.cluster = None;
            self.filled.clear();
            anew(&self.data)?;
        }
        Ok(())
    }

    /// Makes sure that the subject's store is there and filled, and puts into `args` where it is and how many records
    /// it holds.
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
            Home::Redis(_) => args.url = self.server(asked).map_err(text)?,
            Home::Cluster(_) => args.url = self.nodes().map_err(text)?,
        }
        if let Some(holds) = self.filled.get(&(subject.home, asked)) {
            args.records = *holds;
            return Ok(());
        }
        progress(&format!("filling {}", subject.title()));
        if let Home::Disk(_) = subject.home {
            anew(&args.dir)?;
        }
        if let Program::Perl { .. } = subject.program {
            write_lists(asked, &args.dir.join("keys"), &args.dir.join("draws")).map_err(text)?;
        }
        let figures = fill(args)?;
        let holds = figures.get("records").ok_or("it does not say how many records it holds")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of records")]
        let holds = *holds as usize;
        args.records = holds;
        self.filled.insert((subject.home, asked), holds);
        Ok(())
    }

    /// A new empty directory, where processes can meet.
    pub(crate) fn meeting(&mut self) -> io::Result<PathBuf> {
        self.meetings += 1;
        let place = self.data.join(format!("meeting-{}", self.meetings));
        std::fs::create_dir(&place)?;
        Ok(place)
    }

    fn server(&mut self, records: usize) -> io::Result<String> {
        let server = match self.servers.entry(records) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => {
                progress("starting redis-server");
                place.insert(Server::start(Options::new())?)
            }
        };
        Ok(server.url())
    }

    fn nodes(&mut self) -> io::Result<String> {
        let cluster = match &mut self.cluster {
            Some(there) => there,
            none => {
                progress("starting a cluster of redis-servers");
                none.insert(Cluster::start()?)
            }
        };
        Ok(cluster.urls().join(","))
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.data) {
            complain(&format!("{} could not be removed: {error}", self.data.display()));
        }
    }
}

/// Empties a directory, or makes it.
fn anew(dir: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(dir),
    }
    .map_err(|error| format!("{}: {error}", dir.display()))
}
