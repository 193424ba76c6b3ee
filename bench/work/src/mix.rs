//! A real server of an application, and the load on it.

use std::error::Error;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use axum::Router;
use axum::routing::MethodRouter;
use tokio::net::TcpListener;

use crate::args::{Args, Work};
use crate::sample::Sample;

/// The routes that the load asks for: reading a session, changing it, a login of the user in the path, a logout. Each
/// answers with 200 if the session is the expected one.
pub fn routes([read, save, login, logout]: [MethodRouter; 4]) -> Router {
    Router::new()
        .route("/read", read)
        .route("/save", save)
        .route("/login/{user}", login)
        .route("/logout", logout)
}

/// Serves the application on a port of this host while another process sends the load.
///
/// The figures are those of the load.
///
/// # Errors
/// There is no port, or the load failed.
pub async fn measure(args: &Args, application: Router) -> Result<Sample, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move { axum::serve(listener, application).await });
    let sample = loaded(args, address).await;
    server.abort();
    sample
}

/// Runs the load on an application of this process at `address`: this program again, with other work.
///
/// # Errors
/// The load failed.
pub async fn loaded(args: &Args, address: SocketAddr) -> Result<Sample, Box<dyn Error>> {
    let args = Args { work: Work::Clients, url: address.to_string(), ..args.clone() };
    let mut load = Command::new(std::env::current_exe()?);
    // The words that lead to the subjects of this program.
    load.args(std::env::args().skip(1).take_while(|word| !word.starts_with("--")));
    load.args(args.words()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || load.output()).await??;
    if !output.status.success() {
        return Err(format!("the load failed: {}", output.status).into());
    }
    String::from_utf8(output.stdout)?.trim().parse()
}
