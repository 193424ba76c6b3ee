//! The verbs, one function each.

mod bench;
mod copy;
mod end;
mod import;
mod list;
mod pages;
mod purge;
mod show;
mod stat;
mod walk;

use crate::arguments::Verb;
use crate::failure::{Exit, Result};
use crate::store::Context;

/// Runs a verb. The exit code says whether all of it was done.
pub(crate) async fn run(verb: &Verb, context: &mut Context) -> Result<Exit> {
    match verb {
        Verb::Ls(options) => list::ls(options, context).await,
        Verb::Show(options) => show::show(options, context).await,
        Verb::Count(place) => list::count(place, context).await,
        Verb::User(options) => list::user(options, context).await,
        Verb::End(options) => end::end(options, context).await,
        Verb::EndUser(options) => end::end_user(options, context).await,
        Verb::Purge(options) => purge::purge(options, context).await,
        Verb::Stat(place) => stat::stat(place, context).await,
        Verb::Bench(options) => bench::bench(options, context).await,
        Verb::Import(options) => import::import(options, context).await,
        Verb::Copy(options) => copy::copy(options, context).await,
        Verb::Verify(options) => copy::verify(options, context).await,
        Verb::Completions(options) => pages::completions(options),
        Verb::Man(options) => pages::man(options),
    }
}

/// The URLs in the arguments of a verb.
pub(crate) fn urls(verb: &Verb) -> Vec<&str> {
    match verb {
        Verb::Ls(options) => vec![&options.place.store],
        Verb::Show(options) => vec![&options.place.store],
        Verb::Count(place) | Verb::Stat(place) => vec![&place.store],
        Verb::User(options) | Verb::EndUser(options) => vec![&options.place.store],
        Verb::End(options) => vec![&options.place.store],
        Verb::Purge(options) => vec![&options.place.store],
        Verb::Bench(options) => vec![&options.place.store],
        Verb::Import(options) => vec![&options.place.store, &options.old.from],
        Verb::Copy(options) => vec![&options.place.store, &options.to.url],
        Verb::Verify(options) => vec![&options.place.store, &options.to.url],
        Verb::Completions(_) | Verb::Man(_) => Vec::new(),
    }
}
