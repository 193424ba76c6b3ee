//! The session layer over memory, without a web layer.

use std::error::Error;
use std::hint::black_box;

use session_bench_work::{
    Args, COUNT_KEY, Operation, READ_KEY, Runner, Sample, Turn, Work, parts, with_heap,
};
use session_core::SessionId;
use session_manager::{IdUpdate, Outcome, Sessions};
use session_store_memory::MemoryStore;

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let ((sessions, ids), bytes) = with_heap(args, || {
        let sessions = Sessions::new(MemoryStore::new()?)?;
        let ids = runner.block_on(fill(&sessions, args))?;
        Ok((sessions, ids))
    })?;
    let ids_of = |turn: Turn| turn.list.iter().map(|record| ids[*record]).collect();
    match args.work {
        #[expect(clippy::cast_precision_loss, reason = "an id has 24 bytes")]
        Work::Heap => Ok(Sample::new().with("bytes", bytes - size_of::<SessionId>() as f64)),
        Work::Load => Ok(runner.measure(|turn| Task::<false>(sessions.clone(), ids_of(turn)))),
        Work::Save => Ok(runner.measure(|turn| Task::<true>(sessions.clone(), ids_of(turn.own())))),
        _ => Err("not the work of the session layer".into()),
    }
}

/// Loads a session and reads a value; with `SAVES`, also changes another and saves.
struct Task<const SAVES: bool>(Sessions<MemoryStore>, Vec<SessionId>);

impl<const SAVES: bool> Operation for Task<SAVES> {
    const BEFORE_YIELD: u64 = 16;

    async fn once(&mut self, place: usize, turn: u64) -> bool {
        let Ok(session) = self.0.load(self.1[place]).await else { return false };
        let part = session.get::<String>(READ_KEY);
        let read = black_box(part).is_ok_and(|part| part.is_some());
        if !SAVES {
            return read;
        }
        read && session.insert(COUNT_KEY, &turn).is_ok()
            && self.0.finish(&session).await.is_ok_and(|done| done.outcome == Outcome::Updated)
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
