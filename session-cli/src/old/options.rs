//! The options that describe the older application.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use session_kit::handover::php::laravel::Serialization;
use session_kit::handover::php::session::Handler;

use crate::failure::{Failure, Result};

/// Where the old sessions are, and the settings of the system that wrote them.
#[derive(Debug, Args)]
pub(crate) struct OldSystem {
    /// The system that wrote the sessions
    #[arg(long)]
    pub(crate) system: System,
    /// Where they are: files:DIRECTORY, sqlite:PATH, postgres://... or redis://...
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,
    /// The table, or the whole prefix of the keys, if it is not the usual one
    #[arg(long)]
    pub(crate) place: Option<String>,
    /// How long a session of the old system lives without a request, in seconds, where its store does not say; the default
    /// of that system, if it has one
    #[arg(long, value_name = "SECONDS")]
    lifetime: Option<u64>,
    /// The setting session.serialize_handler of PHP
    #[arg(long, default_value = "php")]
    handler: HandlerName,
    /// How many levels of directories session.save_path of PHP names
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) levels: usize,
    /// The setting session.serialization of Laravel
    #[arg(long, default_value = "php")]
    serialization: SerializationName,
    /// The setting SESSION_COOKIE_NAME of Django, which begins the names of its files
    #[arg(long, value_name = "NAME", default_value = "sessionid")]
    pub(crate) cookie: String,
    /// A file with the secrets of the old application, one a line, the newest first
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum System {
    Django,
    DjangoCache,
    ConnectRedis,
    ConnectSqlite3,
    BetterSqlite3,
    ConnectPgSimple,
    SessionFileStore,
    Laravel,
    Symfony,
    Php,
    Rails,
    Rack,
    FlaskSession,
    CgiSession,
    Catalyst,
    Plack,
    Dancer,
    DancerJson,
    TowerSessions,
    ActixSession,
    AsyncSession,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum HandlerName {
    Php,
    PhpBinary,
    PhpSerialize,
    Igbinary,
    Msgpack,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SerializationName {
    Php,
    Json,
}

impl OldSystem {
    pub(crate) fn handler(&self) -> Handler {
        match self.handler {
            HandlerName::Php => Handler::Php,
            HandlerName::PhpBinary => Handler::PhpBinary,
            HandlerName::PhpSerialize => Handler::PhpSerialize,
            HandlerName::Igbinary => Handler::Igbinary,
            HandlerName::Msgpack => Handler::Msgpack,
        }
    }

    pub(crate) fn serialization(&self) -> Serialization {
        match self.serialization {
            SerializationName::Php => Serialization::Php,
            SerializationName::Json => Serialization::Json,
        }
    }

    /// The secrets, the newest first.
    pub(crate) fn secrets(&self) -> Result<Vec<String>> {
        let Some(path) = &self.secrets else { return Ok(Vec::new()) };
        let text = std::fs::read_to_string(path).map_err(Failure::file(path.display().to_string()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The idle lifetime, where the store in `scheme` does not say when a session ends. `None`: it never does.
    pub(crate) fn idle(&self, scheme: &str) -> Result<Option<Duration>> {
        let default = match (scheme, self.system) {
            ("files", System::Php | System::Symfony) => Some(1_440),
            ("files", System::Django) => Some(1_209_600),
            ("files", System::SessionFileStore) => Some(3_600),
            ("files" | "sqlite" | "postgres" | "postgresql", System::Laravel) => Some(7_200),
            ("files", System::Plack | System::Dancer | System::DancerJson)
            | ("sqlite" | "postgres" | "postgresql", System::Rails) => None,
            _ if self.lifetime.is_some() => {
                return Err(Failure::usage("this store says itself when sessions end"));
            }
            _ => None,
        };
        Ok(self.lifetime.or(default).map(Duration::from_secs))
    }
}
