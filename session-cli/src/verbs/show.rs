//! `show`: one session, and values that are asked for by name.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::arguments::Show;
use crate::failure::{Exit, Failure, Result};
use crate::names::Names;
use crate::output::plain;
use crate::row::Row;
use crate::store::{Context, Store};

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    /// The names of all values.
    names: Vec<String>,
    /// The values that were asked for; null where the session has none.
    values: Map<String, Value>,
}

pub(crate) async fn show(options: &Show, context: &mut Context) -> Result<Exit> {
    let mut names = Names::new(std::slice::from_ref(&options.handle))?;
    let store = Store::open(&options.place, false, context).await?;
    let handle = names.next(&context.stop).await?.ok_or_else(|| Failure::Line("standard input is empty"))?;
    let found = context.stop.or(store.sessions()?.find_one(&handle)).await??;
    let found = found.ok_or(Failure::NotFound("no live session has this handle"))?;
    let mut values = Map::new();
    for name in &options.value {
        // If JSON cannot express a value, the error shows only the name.
        values.insert(name.clone(), found.get::<Value>(name)?.unwrap_or_default());
    }
    let shown = Shown { row: Row::of(&found), names: found.keys(), values };
    context.output.item(&shown, || text(&shown))?;
    store.close().await?;
    Ok(Exit::Done)
}

fn text(shown: &Shown) -> String {
    let mut lines = shown.row.lines();
    let names: Vec<_> = shown.names.iter().map(|name| plain(name)).collect();
    lines.push(("values", names.join(", ")));
    let mut lines: Vec<_> =
        lines.iter().map(|(name, value)| format!("{name:18}{value}").trim_end().to_owned()).collect();
    for (name, value) in &shown.values {
        lines.push(format!("{:18}{}", format!("value {}", plain(name)), plain(&value.to_string())));
    }
    lines.join("\n")
}
