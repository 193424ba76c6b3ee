//! Stores over Redis, and the cookie store of actix-session.

mod actix;
mod server;
mod tower;

use std::process::ExitCode;

use third_party_adapter::{entry, main as serve};

fn main() -> ExitCode {
    serve(
        include_str!("../Cargo.lock"),
        &[entry::<tower::TowerRedis>(), entry::<actix::ActixRedis>(), entry::<actix::ActixCookie>()],
    )
}
