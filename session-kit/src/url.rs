//! The form of a store URL: `scheme:place?option=value&option=value`.
//!
//! No error text of this module contains a part of the URL after the scheme, except names of options.

use session_core::is_url_scheme;

use crate::error::{OpenError, OpenErrorKind};
use crate::scheme::{Form, SCHEMES, Scheme};
use crate::suggest::{closest, list};

/// The parts of a URL.
pub(crate) struct Url {
    pub(crate) scheme: &'static Scheme,
    pub(crate) place: Place,
    /// The options by their full names, each at most once, decoded.
    pub(crate) options: Vec<(&'static str, String)>,
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Nowhere,
    Path(String),
    /// The Redis driver's URLs: one server, or some nodes of a cluster.
    Servers(Vec<String>),
    /// The PostgreSQL driver's URL.
    Database(String),
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, OpenError> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return invalid("URL contains white space or a control character; write `%20` for a space");
        }
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_url_scheme(scheme) => (find(scheme)?, rest),
            _ => {
                return invalid(
                    "URL has no scheme; write `sqlite:` before the path of a file, or `redis://` before a host",
                );
            }
        };
        if rest.contains('#') {
            return invalid("URL contains `#`; write `%23`");
        }
        let (before, query) =
            rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
        let place = place(scheme, before, query.unwrap_or_default())?;
        let options = query.filter(|query| !query.is_empty());
        let options = options.map_or_else(|| Ok(Vec::new()), |query| options_of(scheme, query))?;
        if scheme.features.iter().any(|(_, on)| !on) {
            return Err(scheme.missing_feature());
        }
        let missing = |name, value| Scheme::missing_near(name).or_else(|| scheme.missing_tls(name, value));
        if let Some(error) = options.iter().find_map(|(name, value)| missing(name, value)) {
            return Err(error);
        }
        Ok(Self { scheme, place, options })
    }

    /// Turns the options off by which the driver creates its store.
    pub(crate) fn forbid_creation(&mut self) -> Result<(), OpenError> {
        if self.place == Place::Nowhere {
            return invalid(format!(
                "{} is a store of one process, which no other can open",
                self.scheme.name
            ));
        }
        let creates = |name: &str| ["create", "create_directory", "create_table"].contains(&name);
        self.options.retain(|(name, _)| !creates(name));
        let names = self.scheme.options.iter().filter(|name| creates(name));
        self.options.extend(names.map(|name| (*name, "false".to_owned())));
        Ok(())
    }
}

fn invalid<T>(text: impl Into<String>) -> Result<T, OpenError> {
    Err(OpenError::new(OpenErrorKind::InvalidUrl, text))
}

fn find(name: &str) -> Result<&'static Scheme, OpenError> {
    if let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.name.eq_ignore_ascii_case(name)) {
        return Ok(scheme);
    }
    let names = SCHEMES.map(|scheme| scheme.name);
    let hint = match closest(name, names) {
        _ if name.eq_ignore_ascii_case("delegate") => {
            "pass your model to `delegate::DelegateStore::open`".to_owned()
        }
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("use {}", list(&names, "or")),
    };
    // Where the text is a secret and not a URL, its start is not shown either.
    let shown = if name.len() <= 20 { format!(" `{name}`") } else { String::new() };
    Err(OpenError::new(OpenErrorKind::UnknownScheme, format!("scheme{shown} is unknown; {hint}")))
}

fn place(scheme: &Scheme, text: &str, query: &str) -> Result<Place, OpenError> {
    let name = scheme.name;
    match scheme.form {
        Form::Nothing if ["", "//"].contains(&text) => Ok(Place::Nowhere),
        Form::Nothing => invalid(format!("{name} has no path; write `{name}:`")),
        Form::Path => path(name, text).map(Place::Path),
        Form::Socket => match text.strip_prefix("//") {
            Some(path) if path.starts_with('/') && path.len() > 1 => {
                decoded(path)?;
                Ok(Place::Servers(vec![format!("redis+unix://{path}")]))
            }
            _ => invalid(format!("{name} needs the absolute path of a socket: `{name}:///path/to/socket`")),
        },
        Form::Database => database(scheme, text, query).map(Place::Database),
        Form::Server | Form::Nodes => servers(scheme, text, query).map(Place::Servers),
    }
}

/// `///absolute`, `/absolute` or `relative`.
fn path(name: &str, text: &str) -> Result<String, OpenError> {
    let path = match text.strip_prefix("//") {
        None => text,
        Some(path) if path.starts_with('/') || path.is_empty() => path,
        Some(_) => {
            return invalid(format!(
                "{name} has no host; write `{name}:///absolute/path`, or `{name}:relative/path` without `//`"
            ));
        }
    };
    match decoded(path)?.as_str() {
        "" | "/" => {
            invalid(format!("{name} needs a path: `{name}:///absolute/path` or `{name}:relative/path`"))
        }
        ":memory:" => invalid("SQLite in memory is not supported; write `memory:`"),
        path if ["file:", "sqlite:"].iter().any(|scheme| path.starts_with(scheme)) => {
            invalid(format!("path begins with another scheme; write `{name}:///absolute/path`"))
        }
        path if path.contains('\0') => invalid("path contains a NUL byte"),
        path => Ok(path.to_owned()),
    }
}

/// `//[user[:password]@]host[:port][/database]`, and for a cluster several hosts with commas between them.
fn servers(scheme: &Scheme, text: &str, query: &str) -> Result<Vec<String>, OpenError> {
    let name = scheme.name;
    let (authority, database) = match text.strip_prefix("//") {
        Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
        None => return invalid(format!("{name} needs a host: `{name}://host`")),
    };
    no_at(&[database, query])?;
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    decoded(&user)?;
    let hosts: Vec<_> = if scheme.form == Form::Nodes { hosts.split(',').collect() } else { vec![hosts] };
    for host in &hosts {
        check_host(name, host)?;
    }
    match (scheme.form, database) {
        (_, "") => {}
        (Form::Nodes, _) => return invalid(format!("{name} has no database; end the URL after the hosts")),
        (_, number) if number.parse::<u32>().is_ok() => {}
        _ => return invalid(format!("database is not a number; write `{name}://host/0`")),
    }
    let engine = if name.starts_with("rediss") { "rediss" } else { "redis" };
    let slash = if database.is_empty() { "" } else { "/" };
    Ok(hosts.iter().map(|host| format!("{engine}://{user}{host}{slash}{database}")).collect())
}

/// `//user[:password]@host[:port][,host[:port]]/database`.
fn database(scheme: &Scheme, text: &str, query: &str) -> Result<String, OpenError> {
    let name = scheme.name;
    let form = format!("{name}://user@host/database");
    let Some((authority, database)) =
        text.strip_prefix("//").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
    else {
        return invalid(format!("{name} needs a host: `{form}`"));
    };
    no_at(&[database, query])?;
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    decoded(user)?;
    for host in hosts.split(',') {
        check_host(name, host)?;
    }
    if user.is_empty() || user.starts_with(':') {
        return invalid(format!("{name} needs a user: `{form}`"));
    }
    if decoded(database)?.is_empty() || database.contains('/') {
        return invalid(format!("{name} needs the name of a database: `{form}`"));
    }
    Ok(format!("{name}:{text}"))
}

fn no_at(parts: &[&str]) -> Result<(), OpenError> {
    if parts.iter().any(|part| part.contains('@')) {
        let hint = "in a user name or password write `%2F` for `/`, `%3F` for `?` and `%40` for `@`";
        return invalid(format!("`@` stands after the host; {hint}"));
    }
    Ok(())
}

fn check_host(scheme: &str, text: &str) -> Result<(), OpenError> {
    if text.contains(',') {
        return invalid(format!("{scheme} has one host; for a cluster write `redis-cluster://host,host`"));
    }
    // The colons of an IPv6 address are in brackets.
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':').or((!rest.is_empty()).then_some("?"))),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return invalid(format!("{scheme} needs a host: `{scheme}://host`"));
    }
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return invalid("port is not a number from 1 to 65535");
    }
    Ok(())
}

fn options_of(scheme: &Scheme, query: &str) -> Result<Vec<(&'static str, String)>, OpenError> {
    let mut options = Vec::<(&'static str, String)>::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return invalid("URL contains an option without a name; write `?name=value&name=value`");
        }
        let name = known(scheme, name)?;
        if options.iter().any(|(earlier, _)| *earlier == name) {
            let text = format!("option `{name}` is given twice");
            return Err(OpenError::new(OpenErrorKind::DuplicateOption, text));
        }
        match value {
            Some(value) if !value.is_empty() => options.push((name, decoded(value)?)),
            _ => {
                let text = format!("option `{name}` has no value; write `{name}=value`");
                return Err(OpenError::new(OpenErrorKind::InvalidValue, text));
            }
        }
    }
    Ok(options)
}

fn known(scheme: &Scheme, name: &str) -> Result<&'static str, OpenError> {
    if let Some(known) = scheme.options.iter().find(|known| **known == name) {
        return Ok(known);
    }
    let others = SCHEMES.iter().filter(|other| other.options.contains(&name)).map(|other| other.name);
    let others: Vec<_> = others.collect();
    let text = if OF_SQLITE_URIS.contains(&name) {
        format!(
            "option `{name}` belongs to the URIs of SQLite; write `sqlite:path` for a file, `memory:` for memory"
        )
    } else if others.is_empty() {
        let with_word =
            scheme.options.iter().copied().filter(|option| option.split('_').any(|word| word == name));
        let similar: Vec<_> = match closest(name, scheme.options.iter().copied()) {
            Some(name) => vec![name],
            None => with_word.collect(),
        };
        let hint = if similar.is_empty() {
            format!("{} has {}", scheme.name, list(scheme.options, "and"))
        } else {
            format!("did you mean {}?", list(&similar, "or"))
        };
        format!("option `{name}` is unknown; {hint}")
    } else {
        let (others, own) = (list(&others, "and"), list(scheme.options, "and"));
        format!("option `{name}` belongs to {others}; {} has {own}", scheme.name)
    };
    Err(OpenError::new(OpenErrorKind::UnknownOption, text))
}

/// The options of SQLite's own URIs, which begin with `file:`: <https://sqlite.org/uri.html>.
const OF_SQLITE_URIS: [&str; 7] = ["vfs", "mode", "modeof", "cache", "psow", "nolock", "immutable"];

/// Resolves percent-encoding. A plus sign stays a plus sign.
fn decoded(text: &str) -> Result<String, OpenError> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return invalid("`%` stands without two hexadecimal digits; write `%25` for a percent sign");
        };
        bytes.push(byte);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => invalid("percent-encoded bytes are not UTF-8"),
    }
}
