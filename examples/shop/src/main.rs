//! A small shop on session-kit: the demo.

mod app;
mod devices;
mod goods;
mod live;
mod on_actix;
mod on_axum;
mod page;

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use clap::{Parser, ValueEnum};
use session_kit::prelude::*;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A small shop that shows the guarantees of session-kit
#[derive(Parser)]
struct Arguments {
    /// Where the sessions are: a URL of scheme memory, sqlite or redis
    #[arg(long, value_name = "URL", default_value = "sqlite:sessions.db")]
    store: String,
    /// The port on 127.0.0.1; 0 selects a free port
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// The web framework that serves the shop
    #[arg(long, value_enum, default_value = "axum")]
    framework: Framework,
    /// Send the cookie over HTTPS only: for a shop behind a proxy with HTTPS
    #[arg(long)]
    https: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Framework {
    Axum,
    Actix,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let arguments = Arguments::parse();

    // As text until here, because the error of a parsed argument would show the URL with its password.
    let store = session_kit::open(&arguments.store).await?;
    let sessions = Sessions::new(store.clone())?;
    let sweeper = sessions.sweep(Sweep::default());

    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)))?;
    let address = listener.local_addr()?;
    // The development preset has no `Secure`, and is an error for other than loopback addresses. With a name, because its
    // default name has the port in it, and the checks restart the shop on other ports.
    let cookie = if arguments.https {
        CookieState::default()
    } else {
        CookieConfig::development(address).name("shop").build()?
    };
    writeln!(io::stdout().lock(), "listening on http://{address}")?;

    let (stop, stopping) = watch::channel(false);
    let stopped = stopped()?;
    tokio::spawn(async move {
        stopped.await;
        stop.send_replace(true);
    });
    match arguments.framework {
        Framework::Axum => on_axum::serve(listener, sessions, cookie, stopping).await?,
        Framework::Actix => on_actix::serve(listener, sessions, cookie, stopping).await?,
    }
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
