//! "Your devices": the sessions of the user, and how to end them.

use serde::Deserialize;
use session_kit::prelude::*;
use session_kit::{Error, Handle, RequireUser};

use crate::app::{self, Answer};
use crate::page::{self, Device, NOTICE, Page};

pub(crate) async fn list(user: RequireUser, sessions: &Sessions) -> Result<Answer, Error> {
    let now = sessions.now();
    let mut devices = Vec::new();
    for found in sessions.of_user(&user.name).await? {
        let here = found.is(&user.session)?;
        devices.push(Device {
            label: found.label().unwrap_or_else(|| UNKNOWN.to_owned()),
            created: now.saturating_since(found.created()),
            used: now.saturating_since(found.last_used()),
            handle: (!here).then(|| found.handle()),
        });
    }
    Ok(Answer::Page(page::devices(&Page::read(&user.session)?, &devices)))
}

#[derive(Deserialize)]
pub(crate) struct End {
    handle: String,
}

/// Ends a session of this user. The handle comes from a form, so it may be the handle of another user's session.
pub(crate) async fn end(user: RequireUser, sessions: &Sessions, end: End) -> Result<Answer, Error> {
    let Ok(handle) = end.handle.parse::<Handle>() else { return app::invalid(&user.session) };
    let own = sessions.of_user(&user.name).await?.iter().any(|found| found.handle() == handle);
    let ended = own && sessions.end(&handle, "signed out on another device").await?;
    let notice = if ended { "The device is signed out." } else { "This device was signed out already." };
    user.session.flash().set(NOTICE, notice)?;
    Ok(Answer::Redirect("/devices"))
}

pub(crate) async fn end_others(user: RequireUser, sessions: &Sessions) -> Result<Answer, Error> {
    sessions.end_others(&user.session, "signed out on another device").await?;
    user.session.flash().set(NOTICE, "All other devices are signed out.")?;
    Ok(Answer::Redirect("/devices"))
}

const UNKNOWN: &str = "Unknown device";

/// A label for the list of devices, such as "Firefox on Windows", from the `User-Agent` header. Clients choose this
/// header themselves, so the label is a help for the user and no proof.
pub(crate) fn label(agent: &str) -> String {
    // Most browsers also name those that they resemble, so the order matters.
    const BROWSERS: [(&str, &str); 5] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(part, _)| agent.contains(part)).map(|(_, name)| *name)
    };
    match (named(&BROWSERS), named(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => match agent.split(['/', ' ']).next() {
            Some(program) if !program.is_empty() => program.chars().take(40).collect(),
            _ => UNKNOWN.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_names_browser_and_system() {
        for (agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 \
                 Safari/537.36 Edg/140.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.5 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.5.0", "curl"),
            ("", UNKNOWN),
        ] {
            assert_eq!(label(agent), expected);
        }
    }
}
