//! A small shop on session-kit: the demo.

mod app;
mod goods;
mod page;
mod same_origin;

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;
use session_core::Driver;
use session_manager::{Sessions, Sweep};
use session_state_cookie::CookieConfig;
use session_store_sqlite::{SqliteConfig, SqliteStore};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A small shop that shows the guarantees of session-kit
#[derive(Parser)]
struct Arguments {
    /// The directory for the session database; created if missing
    #[arg(long)]
    data: PathBuf,
    /// The port on 127.0.0.1; 0 selects a free port
    #[arg(long, default_value_t = 3000)]
    port: u16,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let arguments = Arguments::parse();

    let file = arguments.data.join("sessions.db");
    let store = SqliteStore::open(SqliteConfig::new(file).create_directory(true))?;
    let sessions = Sessions::new(store.clone())?;
    let sweeper = sessions.sweep(Sweep::default());

    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port))).await?;
    let address = listener.local_addr()?;
    // Without `Secure`, because the shop has no HTTPS. This is an error for other than loopback addresses.
    let cookie = CookieConfig::development(address).build()?;
    writeln!(io::stdout().lock(), "listening on http://{address}")?;

    axum::serve(listener, app::app(sessions, cookie)).with_graceful_shutdown(stopped()?).await?;
    sweeper.stop().await;
    store.close().await?;
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
