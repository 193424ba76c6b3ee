//! `stat`: what the store promises, and how many records it has.

use serde::Serialize;
use session_kit::session_core::{
    Capabilities, Cursor, Driver as _, ExpiryMode, Prefix, RollsBack, Shared, StoreError, Survives,
};

use crate::arguments::Place;
use crate::failure::{Exit, Result};
use crate::progress::Progress;
use crate::store::{Context, Store};

#[derive(Debug, Serialize)]
struct Stat {
    scheme: &'static str,
    promises: Promises,
    records: Records,
    /// Whether all records were counted.
    complete: bool,
}

/// The driver's capabilities.
#[derive(Debug, Serialize)]
struct Promises {
    writes_survive: &'static str,
    writes_undone_by: Option<&'static str>,
    shared_by: &'static str,
    expiry_by: &'static str,
    max_record_bytes: Option<u64>,
    evicts_sessions: bool,
}

/// Live records by their prefix. `session` includes what rotations leave under old ids for a minute.
#[derive(Debug, Default, Serialize)]
struct Records {
    session: u64,
    index: u64,
    user: u64,
    handover: u64,
}

pub(crate) async fn stat(place: &Place, context: &mut Context) -> Result<Exit> {
    let store = Store::open(place, false, context).await?;
    let mut stat = Stat {
        scheme: store.scheme,
        promises: Promises::of(&store.driver.capabilities()),
        records: Records::default(),
        complete: true,
    };
    let progress = Progress::count("records");
    let Records { session, index, user, handover } = &mut stat.records;
    for (name, count) in [("session", session), ("index", index), ("user", user), ("handover", handover)] {
        if !records(name, count, &store, context, &progress).await? {
            stat.complete = false;
            break;
        }
    }
    drop(progress);
    store.close().await?;
    context.output.item(&stat, || text(&stat))?;
    Ok(context.stop.requested().filter(|_| !stat.complete).unwrap_or(Exit::Done))
}

/// Counts the records of a prefix. Returns whether no signal came before the end.
async fn records(
    name: &'static str,
    count: &mut u64,
    store: &Store,
    context: &Context,
    progress: &Progress,
) -> Result<bool, StoreError> {
    let prefix = Prefix::new(name)?;
    let mut next = Some(Cursor::start());
    while let Some(from) = next {
        if context.stop.requested().is_some() {
            return Ok(false);
        }
        let page = store.driver.traverse(&prefix, from, 1_024).await?;
        let entries = page.entries.len() as u64;
        *count += entries;
        progress.add(entries);
        next = page.next;
    }
    Ok(true)
}

impl Promises {
    fn of(capabilities: &Capabilities) -> Self {
        Self {
            writes_survive: match capabilities.survives {
                Survives::Nothing => "nothing",
                Survives::Close => "close",
                Survives::Kill => "kill",
                Survives::PowerLoss => "power loss",
                _ => "unknown",
            },
            writes_undone_by: match capabilities.rolls_back {
                RollsBack::Never => None,
                RollsBack::PowerLoss => Some("power loss"),
                RollsBack::Failover => Some("failover"),
                _ => Some("unknown"),
            },
            shared_by: match capabilities.shared {
                Shared::Process => "process",
                Shared::Host => "host",
                Shared::Network => "network",
                _ => "unknown",
            },
            expiry_by: match capabilities.expiry {
                ExpiryMode::Caller => "purge",
                ExpiryMode::Engine { .. } => "engine",
                _ => "unknown",
            },
            max_record_bytes: capabilities.max_record_bytes,
            evicts_sessions: capabilities.evicts,
        }
    }
}

fn text(stat: &Stat) -> String {
    let Stat { scheme, promises, records, complete } = stat;
    let number =
        |number: Option<u64>| number.map_or_else(|| "unlimited".to_owned(), |number| number.to_string());
    let mut lines = vec![
        ("scheme", (*scheme).to_owned()),
        ("writes survive", promises.writes_survive.to_owned()),
        ("writes undone by", promises.writes_undone_by.unwrap_or("nothing").to_owned()),
        ("shared by", format!("one {}", promises.shared_by)),
        ("expired records", format!("removed by the {}", promises.expiry_by)),
        ("largest record", number(promises.max_record_bytes)),
        ("evicts sessions", if promises.evicts_sessions { "when full" } else { "never" }.to_owned()),
        ("session records", records.session.to_string()),
        ("index records", records.index.to_string()),
        ("user records", records.user.to_string()),
        ("handover records", records.handover.to_string()),
    ];
    if !complete {
        lines.push(("interrupted", "not all records were counted".to_owned()));
    }
    lines.iter().map(|(name, value)| format!("{name:18}{value}")).collect::<Vec<_>>().join("\n")
}
