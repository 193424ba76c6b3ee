//! A browser's cookie jar, as far as one origin on plain HTTP needs it: RFC 6265, sections 5.2 to 5.4, and the two name
//! prefixes of its successor.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The cookies of one browser for one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar {
    cookies: Vec<Cookie>,
}

/// One cookie as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) path: String,
    pub(crate) http_only: bool,
    pub(crate) same_site: Option<String>,
    /// `None` ends with the browser.
    pub(crate) expires: Option<SystemTime>,
}

impl Jar {
    /// Takes in what one `Set-Cookie` header of an answer for `path` says, at `now`. What a browser would refuse is an
    /// error with its reason, so that a check can show it.
    pub(crate) fn take(&mut self, header: &[u8], path: &str, now: SystemTime) -> Result<(), String> {
        let cookie = parse(header, path, now)?;
        self.cookies.retain(|known| (&known.name, &known.path) != (&cookie.name, &cookie.path));
        if cookie.expires.is_none_or(|expires| now < expires) {
            self.cookies.push(cookie);
        }
        Ok(())
    }

    /// The `Cookie` header of a request for `path` at `now`; the longest path first.
    pub(crate) fn header(&self, path: &str, now: SystemTime) -> Option<String> {
        let path = path.split(['?', '#']).next().unwrap_or(path);
        let mut fitting: Vec<_> = self
            .cookies
            .iter()
            .filter(|cookie| cookie.expires.is_none_or(|expires| now < expires) && fits(&cookie.path, path))
            .collect();
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<_> =
            fitting.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Cookie> {
        self.cookies.iter()
    }
}

fn parse(header: &[u8], request_path: &str, now: SystemTime) -> Result<Cookie, String> {
    let header = std::str::from_utf8(header).map_err(|_| "Set-Cookie is not text".to_owned())?;
    let mut parts = header.split(';');
    let pair = parts.next().unwrap_or_default();
    let (name, value) = pair.split_once('=').ok_or("Set-Cookie without a name")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return Err("Set-Cookie with an empty name".to_owned());
    }
    if name.len() + value.len() > 4096 {
        return Err(format!("{name} has {} bytes, more than a browser keeps", name.len() + value.len()));
    }
    let mut cookie = Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        path: default_path(request_path).to_owned(),
        http_only: false,
        same_site: None,
        expires: None,
    };
    let mut max_age = None;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
            "httponly" => cookie.http_only = true,
            "samesite" => cookie.same_site = Some(value.to_owned()),
            "secure" => return Err(format!("{name} is Secure, and this is plain HTTP")),
            "domain" => return Err(format!("{name} has a Domain, and the host is an address")),
            "expires" => {
                cookie.expires =
                    Some(date(value).ok_or_else(|| format!("{name} expires at no date: {value}"))?)
            }
            "max-age" => max_age = value.parse::<i64>().ok(),
            _ => {}
        }
    }
    // Max-Age wins over Expires, whichever came first.
    if let Some(seconds) = max_age {
        cookie.expires = Some(match u64::try_from(seconds) {
            Ok(seconds) => {
                now.checked_add(Duration::from_secs(seconds)).ok_or("Max-Age is beyond all time")?
            }
            Err(_) => UNIX_EPOCH,
        });
    }
    if name.starts_with("__Host-") || name.starts_with("__Secure-") {
        return Err(format!("{name} wants Secure, and this is plain HTTP"));
    }
    Ok(cookie)
}

fn default_path(request: &str) -> &str {
    let request = request.split(['?', '#']).next().unwrap_or(request);
    match request.rfind('/') {
        None | Some(0) => "/",
        Some(end) => request.get(..end).unwrap_or("/"),
    }
}

fn fits(cookie: &str, request: &str) -> bool {
    request
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers send today.
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).skip(1);
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|known| known.eq_ignore_ascii_case(month))?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next()? != "GMT" || !(1970..10_000).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let february = if leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days = years + lengths.iter().take(month).sum::<u64>() + day - 1;
    Some(UNIX_EPOCH + Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_cookie_comes_back_until_it_is_deleted() {
        let mut jar = Jar::default();
        jar.take(b"session=abc; Path=/; HttpOnly; SameSite=Lax", "/cart", at(1000))
            .expect("a browser takes it");
        jar.take(b"side=1", "/cart/items", at(1000)).expect("a browser takes it");
        assert_eq!(jar.header("/", at(1000)).as_deref(), Some("session=abc"));
        assert_eq!(jar.header("/cart/x?y", at(1000)).as_deref(), Some("side=1; session=abc"));
        assert!(jar.iter().any(|cookie| cookie.name == "session" && cookie.http_only));
        jar.take(b"session=; Path=/; Max-Age=0", "/", at(1000)).expect("a browser takes it");
        assert_eq!(jar.header("/", at(1000)), None);
    }

    #[test]
    fn a_date_ends_a_cookie_and_max_age_wins_over_it() {
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(at(784_111_777)));
        assert_eq!(date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(at(1_709_164_800)));
        assert_eq!(date("soon"), None);
        let mut jar = Jar::default();
        jar.take(b"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/", "/", at(9))
            .expect("a browser takes it");
        assert_eq!(jar.header("/", at(9)), None);
        jar.take(b"a=1; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/", at(9))
            .expect("a browser takes it");
        assert_eq!((jar.header("/", at(13)).as_deref(), jar.header("/", at(14))), (Some("a=1"), None));
    }

    #[test]
    fn what_a_browser_refuses_on_plain_http_is_refused() {
        let mut jar = Jar::default();
        for header in ["a=1; Secure", "__Host-a=1; Path=/", "a=1; Domain=example.org", "=1", "plain"] {
            assert!(jar.take(header.as_bytes(), "/", at(0)).is_err(), "{header}");
        }
        assert_eq!(jar.iter().count(), 0);
    }
}
