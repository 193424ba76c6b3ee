//! The readers of `session-handover`, and sources of live sessions for
//! [`SessionsBuilder::handover`](crate::SessionsBuilder::handover).
//!
//! | source | where the sessions are | feature |
//! |---|---|---|
//! | [`PhpFiles`] | files of PHP and Symfony | `handover` |
//! | [`Files`] | one file per session | `handover` |
//! | [`FastMmap`] | the file of Cache::FastMmap, on Unix | `handover-perl` |
//! | [`Cookies`] | the whole session is in a cookie | `handover` |
//! | [`SqliteRows`] | rows of SQLite | `handover-sqlite` |
//! | [`PostgresRows`] | rows of PostgreSQL | `handover-postgres` |
//! | [`RedisEntries`] | values of Redis | `handover-redis` |
//!
//! [`Rows`], [`Entries`], [`Files`] and [`Cookies`] have a constructor for each system, behind the features `handover-beaker`, `handover-django`,
//! `handover-express`, `handover-flask`, `handover-laravel`, `handover-perl`, `handover-rails` and `handover-rust`.
//! For other systems describe the layout with a [`System`].

mod cookies;
mod entries;
#[cfg(all(feature = "handover-perl", unix))]
mod fastmmap;
mod files;
mod import;
mod listed;
mod locked;
mod php_files;
#[cfg(feature = "handover-postgres")]
mod postgres;
#[cfg(feature = "handover-redis")]
mod redis;
mod rows;
#[cfg(feature = "handover-sqlite")]
mod sqlite;
mod system;
mod systems;

pub use session_handover::*;

pub use cookies::Cookies;
pub use entries::Entries;
#[cfg(all(feature = "handover-perl", unix))]
pub use fastmmap::FastMmap;
pub use files::{Files, Folders};
pub use import::{Import, Imported};
pub use listed::{Listed, ListedSource};
pub use php_files::PhpFiles;
#[cfg(feature = "handover-postgres")]
pub use postgres::PostgresRows;
#[cfg(feature = "handover-redis")]
pub use redis::RedisEntries;
pub use rows::{Moment, Rows};
#[cfg(feature = "handover-sqlite")]
pub use sqlite::SqliteRows;
pub use system::{Stored, System, cookie_value};
