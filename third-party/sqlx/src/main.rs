//! The stores of tower-sessions over sqlx: SQLite and PostgreSQL.

mod postgres;
mod sqlite;

use std::process::ExitCode;

use third_party_adapter::{entry, main as serve};

fn main() -> ExitCode {
    serve(include_str!("../Cargo.lock"), &[entry::<sqlite::Sqlite>(), entry::<postgres::Postgres>()])
}
