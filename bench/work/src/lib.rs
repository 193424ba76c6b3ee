//! The work of the bench, shared by all subjects: keys, values, tasks, requests and counting.
//!
//! A subject is a program that links this crate, reads [`Args`], does the named [`Work`] and prints one [`Sample`] as one
//! line of JSON. Ours are parts of the bench. The peers are in separate workspaces, so that their dependencies do not
//! reach ours.

#[cfg(feature = "actix")]
pub mod actix;
mod alloc;
mod args;
pub mod decode;
mod draw;
#[cfg(feature = "mix")]
mod load;
#[cfg(feature = "mix")]
pub mod mix;
mod payload;
#[cfg(any(feature = "actix", feature = "web"))]
pub mod requests;
mod run;
mod sample;
mod store;
mod tower;
#[cfg(feature = "web")]
pub mod web;

pub use alloc::with_heap;
pub use args::{Args, Durability, Work, name};
pub use draw::{Random, text_id, write_lists};
pub use payload::{COUNT_KEY, PAGE_KEY, Payload, READ_KEY, parts, stamp};
pub use run::{Operation, Runner, Turn, pause, stopwatch};
pub use sample::{Sample, serve};
pub use store::{Change, Store, answer, fill};
