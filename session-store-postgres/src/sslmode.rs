//! Which connections are encrypted, and which certificates the driver checks.

use session_core::{Operation, Result, StoreError, StoreErrorKind};

/// Encryption and the check of the server's certificate, as libpq's `sslmode`. Every mode except `Disable` needs the
/// feature `tls`.
///
/// | mode | encrypted | certificate | protects against |
/// |---|---|---|---|
/// | `Disable` | no | | |
/// | `Prefer` | if the server offers it | unchecked | |
/// | `Require` | yes | unchecked; with a root certificate as `VerifyCa` | readers of packets |
/// | `VerifyCa` | yes | signed by the root certificate | other servers, except those with a certificate of this authority |
/// | `VerifyFull` | yes | signed, and made out to the host of the URL | all other servers |
///
/// Without a mode, the driver uses `VerifyFull` if a host of the URL is another machine, or if certificates are named, and
/// `Disable` otherwise. libpq's default is `prefer`, which an attacker in the middle turns off. `Prefer` is therefore
/// refused for another machine. Connections to Unix sockets are never encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum SslMode {
    /// `disable`: clear text.
    Disable,
    /// `prefer`: encrypted if the server has TLS, else clear text. Only for servers on this machine.
    Prefer,
    /// `require`: encrypted. A root certificate makes it `VerifyCa`, as in libpq.
    Require,
    /// `verify-ca`: the certificate must be signed by the root certificate, which must be named.
    VerifyCa,
    /// `verify-full`: the certificate must also be made out to the host.
    VerifyFull,
}

impl SslMode {
    const ALL: [Self; 5] = [Self::Disable, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    /// libpq's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == text)
    }
}

/// Options of TLS by libpq's names, from the URL or from a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsOptions {
    pub(crate) sslmode: Option<SslMode>,
    pub(crate) sslrootcert: Option<String>,
    pub(crate) sslcert: Option<String>,
    pub(crate) sslkey: Option<String>,
}

impl TlsOptions {
    /// The mode of the connections. `has_root` and `has_client` say that the application passed certificates as PEM.
    pub(crate) fn mode(&self, is_this_machine: bool, has_root: bool, has_client: bool) -> Result<SslMode> {
        if self.sslcert.is_some() != self.sslkey.is_some() {
            return Err(wrong("`sslcert` and `sslkey` belong together"));
        }
        let has_root = has_root || self.root_file().is_some();
        let names = has_root || has_client || self.sslrootcert.is_some() || self.sslcert.is_some();
        let asks = self.sslmode.unwrap_or(match is_this_machine && !names {
            true => SslMode::Disable,
            false => SslMode::VerifyFull,
        });
        let without_tls = cfg!(not(feature = "tls"));
        match asks {
            SslMode::Disable => Ok(SslMode::Disable),
            SslMode::Prefer if !is_this_machine => Err(wrong(
                "`sslmode=prefer` falls back to clear text; for another host write `sslmode=verify-full`, or \
                 `sslmode=disable` for clear text",
            )),
            SslMode::Prefer if without_tls => Ok(SslMode::Disable),
            mode if without_tls => Err(wrong(&match self.sslmode {
                Some(_) => format!("`sslmode={}` needs {FEATURE}", mode.name()),
                None if names => format!("certificates need {FEATURE}"),
                None => format!(
                    "another host needs TLS, which is {FEATURE}; or write `sslmode=disable` to connect in clear text"
                ),
            })),
            SslMode::VerifyCa if !has_root => Err(wrong(
                "`sslmode=verify-ca` without a root certificate accepts every host with a public certificate; name the \
                 file of your authority as `sslrootcert`, or write `sslmode=verify-full`",
            )),
            SslMode::Require if has_root => Ok(SslMode::VerifyCa),
            mode => Ok(mode),
        }
    }

    /// The file of the authority. libpq's `system` means the authorities of the operating system.
    pub(crate) fn root_file(&self) -> Option<&str> {
        self.sslrootcert.as_deref().filter(|path| *path != "system")
    }
}

/// The certificates that the options name.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    /// The authority that signed the server's certificate. `None`: those of the operating system.
    pub(crate) root: Option<Pem>,
    /// The certificate of this client, and its key.
    pub(crate) client: Option<(Pem, Pem)>,
}

/// Certificates or a key in PEM form.
#[derive(Clone)]
#[cfg_attr(
    not(feature = "tls"),
    expect(dead_code, reason = "options without the feature are refused, not read")
)]
pub(crate) enum Pem {
    File(String),
    #[cfg(feature = "tls")]
    Text(Vec<u8>),
}

const FEATURE: &str = "the feature `tls` of session-store-postgres (`postgres-tls` of session-kit)";

pub(crate) fn wrong(text: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(mode: &str, root: &str) -> TlsOptions {
        TlsOptions {
            sslmode: SslMode::parse(mode),
            sslrootcert: Some(root.to_owned()).filter(|root| !root.is_empty()),
            ..TlsOptions::default()
        }
    }

    #[test]
    fn no_mode_leaves_this_machine_only_in_clear_text() {
        assert_eq!(options("", "").mode(true, false, false).unwrap(), SslMode::Disable);
        for (here, root, has_root, has_client) in [
            (false, "", false, false),
            (true, "system", false, false),
            (true, "", true, false),
            (true, "", false, true),
        ] {
            let mode = options("", root).mode(here, has_root, has_client);
            if cfg!(feature = "tls") {
                assert_eq!(mode.unwrap(), SslMode::VerifyFull);
            } else {
                assert!(mode.unwrap_err().to_string().contains("the feature `tls`"));
            }
        }
    }

    #[test]
    fn each_mode_is_what_libpq_means_or_an_error() {
        for (mode, root, here, expected) in [
            ("disable", "", false, Ok(SslMode::Disable)),
            ("disable", "ca.pem", false, Ok(SslMode::Disable)),
            ("prefer", "", true, Ok(if cfg!(feature = "tls") { SslMode::Prefer } else { SslMode::Disable })),
            ("prefer", "", false, Err("write `sslmode=verify-full`")),
            ("require", "", false, Ok(SslMode::Require)),
            ("require", "ca.pem", false, Ok(SslMode::VerifyCa)),
            ("require", "system", false, Ok(SslMode::Require)),
            ("verify-ca", "ca.pem", true, Ok(SslMode::VerifyCa)),
            ("verify-ca", "", true, Err("name the file of your authority as `sslrootcert`")),
            ("verify-ca", "system", true, Err("name the file of your authority as `sslrootcert`")),
            ("verify-full", "", true, Ok(SslMode::VerifyFull)),
        ] {
            let answer = options(mode, root).mode(here, false, false).map_err(|error| error.to_string());
            let needs_tls = mode.starts_with('v') || mode == "require";
            match (answer, expected) {
                (Err(text), _) if needs_tls && cfg!(not(feature = "tls")) => {
                    assert!(text.contains(&format!("`sslmode={mode}` needs the feature `tls`")), "{text}");
                }
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{mode}"),
                (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
                (answer, expected) => panic!("{mode}: {answer:?} instead of {expected:?}"),
            }
        }
        let half = TlsOptions { sslcert: Some("client.pem".into()), ..TlsOptions::default() };
        assert!(half.mode(true, false, false).unwrap_err().to_string().contains("belong together"));
    }
}
