//! The options that describe the older application.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use session_kit::handover::php::laravel::Serialization;
use session_kit::handover::php::session::Handler;
use session_kit::handover::python::beaker::{Cipher, Serializer, Sessions as Beaker};
use session_kit::handover::rust::cookie::Key;

use crate::failure::{Failure, Result};

/// Where the old sessions are, and the settings of the system that wrote them.
#[derive(Debug, Args)]
pub(crate) struct OldSystem {
    /// The system that wrote the sessions
    #[arg(long)]
    pub(crate) system: System,
    /// Where they are: files:DIRECTORY, fastmmap:PATH, sqlite:PATH, postgres://... or redis://...
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
    /// The setting session.serialization of Laravel, by default php, or session.data_serializer of Beaker, by default pickle
    #[arg(long)]
    serialization: Option<SerializationName>,
    /// The mode in which Beaker encrypts: gcm with the package cryptography, ctr with pycryptodome
    #[arg(long, default_value = "gcm")]
    cipher: CipherName,
    /// The setting LockDirectory of Apache::Session, by default the directory of the sessions
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) locks: Option<PathBuf>,
    /// The setting SESSION_COOKIE_NAME of Django, which begins the names of its files
    #[arg(long, value_name = "NAME", default_value = "sessionid")]
    pub(crate) cookie: String,
    /// A file with the secrets of the old application, one a line, the newest first. Of Beaker: session.validate_key and
    /// session.encrypt_key. Of axum_session: the database key in hexadecimal
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
    Beaker,
    CgiSession,
    Catalyst,
    ApacheSession,
    Plack,
    Dancer,
    DancerJson,
    TowerSessions,
    ActixSession,
    AxumSession,
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
    Pickle,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CipherName {
    Gcm,
    Ctr,
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

    /// The serialization of Laravel.
    pub(crate) fn serialization(&self) -> Result<Serialization> {
        match self.serialization {
            None | Some(SerializationName::Php) => Ok(Serialization::Php),
            Some(SerializationName::Json) => Ok(Serialization::Json),
            Some(SerializationName::Pickle) => Err(Failure::usage("Laravel has no --serialization pickle")),
        }
    }

    /// The settings of Beaker.
    pub(crate) fn beaker(&self, secrets: &[String], idle: Option<Duration>) -> Result<Beaker> {
        let mut beaker = Beaker::default().serializer(match self.serialization {
            None | Some(SerializationName::Pickle) => Serializer::Pickle,
            Some(SerializationName::Json) => Serializer::Json,
            Some(SerializationName::Php) => {
                return Err(Failure::usage("Beaker has no --serialization php"));
            }
        });
        if let Some(time) = idle {
            beaker = beaker.timeout(time.as_secs_f64());
        }
        let cipher = match self.cipher {
            CipherName::Gcm => Cipher::Gcm,
            CipherName::Ctr => Cipher::Ctr,
        };
        match secrets {
            [] => Ok(beaker),
            [validate, encrypt] => {
                Ok(beaker.validate_key(validate.as_str()).encrypt_key(encrypt.as_str(), cipher))
            }
            _ => Err(Failure::usage("--secrets: two lines, session.validate_key and session.encrypt_key")),
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
            (_, System::Beaker)
            | ("files", System::ApacheSession | System::Plack | System::Dancer | System::DancerJson)
            | ("sqlite" | "postgres" | "postgresql", System::Rails) => None,
            _ if self.lifetime.is_some() => {
                return Err(Failure::usage("this store says itself when sessions end"));
            }
            _ => None,
        };
        Ok(self.lifetime.or(default).map(Duration::from_secs))
    }
}

/// The `database_key` of axum_session.
pub(crate) fn database_key(secrets: &[String]) -> Result<Option<Key>> {
    let bad = || Failure::usage("--secrets: the database key is one line of at least 128 hexadecimal digits");
    let [digits] = secrets else { return if secrets.is_empty() { Ok(None) } else { Err(bad()) } };
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair =
            std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    let bytes =
        pairs.collect::<Option<Vec<u8>>>().filter(|_| digits.len().is_multiple_of(2)).ok_or_else(bad)?;
    Key::new(&bytes).map(Some).map_err(|_| bad())
}
