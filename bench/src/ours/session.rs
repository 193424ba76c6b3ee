//! The session layer over memory, without a web layer.

use std::error::Error;
use std::hint::black_box;

use session_bench_work::{
    Args, COUNT_KEY, Operation, READ_KEY, Runner, Sample, Turn, Work, live_bytes, parts, start_counting,
};
use session_core::SessionId;
use session_manager::{IdUpdate, Outcome, Sessions};
use session_store_memory::MemoryStore;

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    if args.work == Work::Heap {
        start_counting();
    }
    let before = live_bytes();
    let sessions = Sessions::new(MemoryStore::new()?)?;
    let ids = runner.block_on(fill(&sessions, args))?;
    #[expect(clippy::cast_precision_loss, reason = "byte counts are far below 2^53")]
    let bytes = (live_bytes() - before) as f64 / args.records as f64 - size_of::<SessionId>() as f64;
    let make = |turn: Turn| Task {
        sessions: sessions.clone(),
        ids: turn.list.iter().map(|record| ids[*record]).collect(),
    };
    match args.work {
        Work::Heap => Ok(Sample::new().with("bytes", bytes)),
        Work::Load => Ok(runner.measure(|turn| Load(make(turn)))),
        Work::Save => Ok(runner.measure(|turn| Save(make(turn.own())))),
        _ => Err("not the work of the session layer".into()),
    }
}

struct Task {
    sessions: Sessions<MemoryStore>,
    ids: Vec<SessionId>,
}

struct Load(Task);

impl Operation for Load {
    const BEFORE_YIELD: u64 = 16;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        let Ok(session) = self.0.sessions.load(self.0.ids[place]).await else { return false };
        let part = session.get::<String>(READ_KEY);
        black_box(part).is_ok_and(|part| part.is_some())
    }
}

struct Save(Task);

impl Operation for Save {
    const BEFORE_YIELD: u64 = 16;

    async fn once(&mut self, place: usize, turn: u64) -> bool {
        let Ok(session) = self.0.sessions.load(self.0.ids[place]).await else { return false };
        let part = session.get::<String>(READ_KEY);
        let read = black_box(part).is_ok_and(|part| part.is_some());
        read && session.insert(COUNT_KEY, &turn).is_ok()
            && self.0.sessions.finish(&session).await.is_ok_and(|done| done.outcome == Outcome::Updated)
    }
}

/// The manager draws the ids; this reads them like a client.
async fn fill(sessions: &Sessions<MemoryStore>, args: &Args) -> Result<Vec<SessionId>, Box<dyn Error>> {
    let mut ids = Vec::with_capacity(args.records);
    for _ in 0..args.records {
        let session = sessions.load(None).await?;
        for (key, value) in parts(args) {
            session.insert(&key, &value)?;
        }
        session.insert(COUNT_KEY, &0_u64)?;
        if sessions.finish(&session).await?.outcome != Outcome::Created {
            return Err("a session was not created".into());
        }
        match session.id_update() {
            IdUpdate::Set { id, .. } => ids.push(id),
            other => return Err(format!("a new session asks for {other:?}").into()),
        }
    }
    Ok(ids)
}
