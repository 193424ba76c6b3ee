//! Prints a session of another system, for people who support a takeover.
//!
//! ```text
//! decode SYSTEM FILE [--secret-file FILE]... [--name NAME] [--now SECONDS]
//! ```
//!
//! Secrets come from files, one secret each, and are never printed. The output is the notation of `session_handover::notation`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::process::ExitCode;

use session_handover::perl::{
    apache, catalyst, cgi_session, dumper, fastmmap, mojolicious, plack, storable, yaml,
};
use session_handover::ruby::{marshal, msgpack, rack, rails, rails_cache};
use session_handover::{Bounds, Error, Value, notation};

const SYSTEMS: &str = "apache-session catalyst-file catalyst-text cgi-session dancer dumper fastmmap marshal messagepack \
                       mojolicious-cookie plack-cookie plack-file rack-cookie rack-redis rails-cache rails-cookie rails-row \
                       storable yaml-pm";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!(
                "{error}\nusage: decode SYSTEM FILE [--secret-file FILE]... [--name NAME] [--now SECONDS]\nsystems: {SYSTEMS}"
            );
            return ExitCode::from(2);
        }
    };
    match options.decode() {
        Some(Ok(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            eprintln!("{:?}: {error}", error.kind());
            ExitCode::FAILURE
        }
        None => {
            eprintln!("unknown system\nsystems: {SYSTEMS}");
            ExitCode::from(2)
        }
    }
}

struct Options {
    system: String,
    input: Vec<u8>,
    secrets: Vec<Vec<u8>>,
    name: Option<String>,
    now: f64,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let read = |path: &str| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
        let system = arguments.next().ok_or("system is missing")?;
        let input = read(&arguments.next().ok_or("file is missing")?)?;
        #[expect(clippy::disallowed_methods, reason = "the program's clock, where --now gives none")]
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        let mut options = Self { system, input, secrets: Vec::new(), name: None, now };
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{option} has no value"))?;
            match option.as_str() {
                "--secret-file" => options.secrets.push(read(&value)?.trim_ascii_end().to_vec()),
                "--name" => options.name = Some(value),
                "--now" => options.now = value.parse().map_err(|_| "--now takes seconds")?,
                _ => return Err(format!("unknown option {option}")),
            }
        }
        Ok(options)
    }

    fn decode(&self) -> Option<Result<String, Error>> {
        let bounds = &Bounds::default();
        let bytes = self.input.as_slice();
        let name = |default: &str| self.name.clone().unwrap_or_else(|| default.to_owned());
        let secrets = || self.secrets.iter().cloned();
        let value: Result<Value, Error> = match self.system.as_str() {
            "apache-session" => apache::read(bytes, bounds),
            "catalyst-file" => catalyst::read_file(bytes, bounds),
            "catalyst-text" => catalyst::read_text(bytes, bounds),
            "cgi-session" => cgi_session::read(bytes, cgi_session::Serializer::Detect, bounds),
            "dumper" => dumper::read(bytes, bounds),
            "dancer" | "yaml-pm" => yaml::read(bytes, bounds),
            "fastmmap" => return Some(self.entries(bounds)),
            "marshal" => marshal::read(bytes, bounds),
            "messagepack" => msgpack::read(bytes, bounds),
            "mojolicious-cookie" => mojolicious::Cookie::new(secrets())
                .name(name("mojolicious"))
                .read(bytes, self.now, bounds)
                .map(|opened| opened.value),
            "plack-cookie" => plack::Cookie::new(self.secrets.first().cloned().unwrap_or_default())
                .name(name("plack_session"))
                .read(bytes, self.now, bounds)
                .map(|opened| opened.value),
            "plack-file" | "storable" => storable::read(bytes, bounds),
            "rack-cookie" => rack::Cookie::new(secrets()).name(name("rack.session")).read(bytes, bounds),
            "rack-redis" => rack::read_redis(bytes, bounds),
            "rails-cache" => rails_cache::read(bytes, bounds).map(|entry| entry.value),
            "rails-cookie" => rails::Cookie::new(name("_session_id"), secrets())
                .read(bytes, self.now, bounds)
                .map(|opened| opened.value),
            "rails-row" => rails::read_row(bytes, bounds),
            _ => return None,
        };
        Some(value.map(|value| notation::write(&value)))
    }

    /// One line per entry: whether it lives, its key and its value.
    fn entries(&self, bounds: &Bounds) -> Result<String, Error> {
        let entries = fastmmap::read(&self.input, None, fastmmap::Serializer::Storable, bounds)?;
        #[expect(clippy::cast_possible_truncation, reason = "a moment in seconds")]
        let now = self.now as i64;
        let lines = entries.iter().map(|entry| {
            let state = if entry.ended(now) { "ended" } else { "live" };
            let value = entry.value.as_ref().map_or_else(Error::to_string, notation::write);
            format!("{state} {} {value}", notation::write(&entry.key))
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}
