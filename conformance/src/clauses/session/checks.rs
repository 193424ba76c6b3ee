//! Binding a session to the client it was made for.

use std::net::IpAddr;

use bytes::Bytes;
use session_manager::AddressCheck;

use super::common::*;

const AT_HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 17));
const NEXT_DOOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 200));
const ABROAD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 17));
const NETWORK: AddressCheck = AddressCheck::Network { v4: 24, v6: 64 };

fn from(id: Option<SessionId>, address: IpAddr, agent: &'static str) -> RequestInfo {
    RequestInfo::new(id).address(Some(address)).user_agent(Some(Bytes::from_static(agent.as_bytes())))
}

/// A session that was made at home with the browser "fox".
async fn victim(sessions: &Manager) -> Result<SessionId, Failure> {
    let session = sessions.load(from(None, AT_HOME, "fox")).await?;
    session.insert("secret", &1)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Created, "a first write")?;
    new_id(&session)
}

/// Fails unless the request is refused with this reason and cannot see or change the session.
async fn is_refused(sessions: &Manager, request: RequestInfo, reason: &EndReason, who: &str) -> Check {
    let session = sessions.load(request).await?;
    equal(&format!("the end reason for {who}"), &session.end_reason()?, &Some(reason.clone()))?;
    ensure(!session.exists()?, format!("no session for {who}"), "there is one")?;
    equal(&format!("a value for {who}"), &session.get::<u64>("secret")?, &None)?;
    equal(&format!("whether {who} ended anything"), &session.destroy("logout").await?, &false)?;
    came_to(&sessions.finish(&session).await?, &Outcome::Unchanged, "a refused request")?;
    tells_nothing(&session, "a refused request")
}

async fn is_let_in(sessions: &Manager, request: RequestInfo, who: &str) -> Result<Session, Failure> {
    let session = sessions.load(request).await?;
    equal(&format!("the end reason for {who}"), &session.end_reason()?, &None)?;
    equal(&format!("a value for {who}"), &session.get::<u64>("secret")?, &Some(1))?;
    Ok(session)
}

pub(crate) async fn s65_other_address_is_refused(stage: &Stage) -> Check {
    let (probe, sessions) = with(stage, |options| options.check_address(AddressCheck::Exact)).await?;
    let id = victim(&sessions).await?;
    let record = stored(&probe, id).await?;
    let reason = EndReason::AddressMismatch;
    for address in [NEXT_DOOR, ABROAD, IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)] {
        is_refused(&sessions, from(Some(id), address, "fox"), &reason, "another address").await?;
    }
    is_refused(&sessions, RequestInfo::new(id), &reason, "a request without an address").await?;
    // A refused client may start a session of its own.
    let stranger = sessions.load(from(Some(id), ABROAD, "fox")).await?;
    stranger.insert("own", &1)?;
    came_to(&sessions.finish(&stranger).await?, &Outcome::Created, "a stranger's write")?;
    ensure(new_id(&stranger)? != id, "under another id", "the same")?;
    equal("the record of the session", &stored(&probe, id).await?, &record)?;
    is_let_in(&sessions, from(Some(id), AT_HOME, "hen"), "its own client").await.map(drop)
}

pub(crate) async fn s66_session_may_be_bound_to_network(stage: &Stage) -> Check {
    let (probe, sessions) = with(stage, |options| options.check_address(NETWORK)).await?;
    let id = victim(&sessions).await?;
    let mapped = IpAddr::V6(std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    for address in [AT_HOME, NEXT_DOOR, mapped] {
        let _ = is_let_in(&sessions, from(Some(id), address, "fox"), "a neighbour").await?;
    }
    let record = stored(&probe, id).await?;
    let reason = EndReason::AddressMismatch;
    is_refused(&sessions, from(Some(id), ABROAD, "fox"), &reason, "another network").await?;
    equal("the record of the session", &stored(&probe, id).await?, &record)?;
    // The binding moves with a rotation.
    let login = is_let_in(&sessions, from(Some(id), NEXT_DOOR, "fox"), "a neighbour").await?;
    login.rotate()?;
    done(&sessions, &login).await?;
    let new = new_id(&login)?;
    is_refused(&sessions, from(Some(new), ABROAD, "fox"), &reason, "another network").await?;
    is_let_in(&sessions, from(Some(new), AT_HOME, "fox"), "its own client").await.map(drop)
}

pub(crate) async fn s67_other_user_agent_is_refused(stage: &Stage) -> Check {
    let (probe, sessions) = with(stage, |options| options.check_user_agent(true)).await?;
    let id = victim(&sessions).await?;
    let record = stored(&probe, id).await?;
    let reason = EndReason::UserAgentMismatch;
    for agent in ["hen", "Fox", ""] {
        is_refused(&sessions, from(Some(id), AT_HOME, agent), &reason, "another user agent").await?;
    }
    is_refused(&sessions, RequestInfo::new(id), &reason, "a request without a user agent").await?;
    equal("the record of the session", &stored(&probe, id).await?, &record)?;
    is_let_in(&sessions, from(Some(id), ABROAD, "fox"), "its own client").await.map(drop)
}

pub(crate) async fn s68_bindings_are_recorded_at_creation(stage: &Stage) -> Check {
    let (_, unbound) = with(stage, |options| options).await?;
    let (_, bound) =
        with(stage, |options| options.check_address(AddressCheck::Exact).check_user_agent(true)).await?;
    // Made before the checks were turned on, and written to since.
    let old = victim(&unbound).await?;
    let session = is_let_in(&bound, from(Some(old), AT_HOME, "fox"), "its own client").await?;
    session.insert("more", &1)?;
    done(&bound, &session).await?;
    let _ = is_let_in(&bound, from(Some(old), ABROAD, "hen"), "another client of an unbound session").await?;
    // Conversely, a manager without checks refuses no request.
    let strict = victim(&bound).await?;
    let _ = is_let_in(&unbound, from(Some(strict), ABROAD, "hen"), "a manager without checks").await?;
    let _ = opened(&unbound, strict).await?;
    let reason = EndReason::AddressMismatch;
    is_refused(&bound, from(Some(strict), ABROAD, "fox"), &reason, "another address").await
}
