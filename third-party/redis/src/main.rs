//! Stores over Redis, and the cookie store of actix-session.

mod actix;
mod server;
mod tower;

use std::process::ExitCode;

use third_party_adapter::{entry, main as serve};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, program] = &arguments[..]
        && word == "with-server"
    {
        return server::run(program);
    }
    serve(
        include_str!("../Cargo.lock"),
        &[entry::<tower::TowerRedis>(), entry::<actix::ActixRedis>(), entry::<actix::ActixCookie>()],
    )
}
