#![doc = include_str!("../README.md")]

mod failure;
mod moment;
mod output;
mod progress;
mod stop;

mod old;

mod arguments;
mod refusal;

mod names;
mod password;
mod row;
mod store;

mod run;
mod verbs;

pub use arguments::{Cli, command};
pub use failure::Exit;
pub use run::{Surroundings, no_runtime, run};
