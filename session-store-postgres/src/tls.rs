//! Connections with and without TLS.

use std::future::Future;
use std::pin::Pin;

use session_core::Result;
use tokio_postgres::{CancelToken, Client, Config, Error, NoTls};
#[cfg(feature = "tls")]
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::sslmode::{Certificates, SslMode};

/// The way to a server: in clear text or by TLS.
#[derive(Clone)]
pub(crate) enum Transport {
    Clear,
    #[cfg(feature = "tls")]
    Tls(MakeRustlsConnect),
}

/// A future that keeps a connection going until its end.
pub(crate) type Driving = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Transport {
    /// The transport of a mode. Reads the certificates, which can take milliseconds.
    pub(crate) fn new(mode: SslMode, certificates: Certificates) -> Result<Self> {
        match mode {
            SslMode::Disable => Ok(Self::Clear),
            #[cfg(feature = "tls")]
            mode => crate::verify::client(mode, certificates)
                .map(|client| Self::Tls(MakeRustlsConnect::new(client))),
            #[cfg(not(feature = "tls"))]
            _ => {
                drop(certificates);
                Ok(Self::Clear)
            }
        }
    }

    pub(crate) async fn connect(&self, config: &Config) -> std::result::Result<(Client, Driving), Error> {
        // The calls on a connection report why it ended.
        match self {
            Self::Clear => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, Box::pin(async { drop(connection.await) })))
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Ok((client, Box::pin(async { drop(connection.await) })))
            }
        }
    }

    /// Asks the server to end what the connection of the token does.
    pub(crate) async fn cancel(&self, token: CancelToken) -> std::result::Result<(), Error> {
        match self {
            Self::Clear => token.cancel_query(NoTls).await,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => token.cancel_query(tls.clone()).await,
        }
    }
}
