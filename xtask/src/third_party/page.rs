//! THIRD-PARTY.md, rendered from the results, the findings and their programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use super::findings::{self, FINDINGS, Finding};
use super::folder;
use super::results::{Results, Store};
use crate::{Result, cargo};

/// The page. Equal results give an equal page.
pub(crate) fn render(results: &Results) -> Result<String> {
    let mut page = String::from(BEGINNING);
    page += "\n## The stores\n\n";
    page += &overview(results);
    page += ADAPTER;
    page += &control(results)?;
    page += "\n## Findings\n\n";
    page += "Each finding has the failed clauses that show it, and a program against the published crate alone. The \
             output below a program is what it printed in the run of the given date. The programs are in \
             [third-party](third-party), where the command compiles and runs them.\n";
    for (number, finding) in FINDINGS.iter().enumerate() {
        page += &shown(results, number + 1, finding)?;
    }
    page += &further(results);
    page += &table(results)?;
    page += &reasons(results)?;
    Ok(page)
}

fn overview(results: &Results) -> String {
    let mut text = String::from(
        "| | store | package | trait | engine | date | pass | fail | trait | n/a | findings |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (number, store) in results.stores().enumerate() {
        let found: Vec<String> = FINDINGS
            .iter()
            .enumerate()
            .filter(|(_, finding)| !finding.clauses_of(&store).is_empty())
            .map(|(number, _)| (number + 1).to_string())
            .collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            number + 1,
            store.name,
            store.text("package"),
            store.text("version"),
            store.text("trait"),
            or_none(store.text("engine")),
            store.text("date"),
            store.count("pass"),
            store.count("fail"),
            store.count("trait"),
            store.count("n/a"),
            or_none(&found.join(", ")),
        );
    }
    for (name, reason) in results.not_run() {
        let _ = writeln!(text, "\nNot run: {name}, because {reason}.");
    }
    text
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

/// The clauses that the control fails.
fn control(results: &Results) -> Result<String> {
    let mut text = String::from("\n| clause | sentence | what the control did |\n|---|---|---|\n");
    let sentences = sentences()?;
    for cell in results.control().cells().filter(|cell| cell.verdict == "fail") {
        let sentence = sentences.get(cell.id).map_or("", String::as_str);
        let _ = writeln!(text, "| {} | {} | {} |", cell.id, escaped(sentence), escaped(&brief(cell.reason)));
    }
    Ok(text)
}

fn shown(results: &Results, number: usize, finding: &Finding) -> Result<String> {
    let mut text = format!("\n### {number}. {}\n\n{}\n", finding.title, finding.text);
    let seen: Vec<(Store<'_>, Vec<&str>)> = results
        .stores()
        .map(|store| {
            let clauses = finding.clauses_of(&store);
            (store, clauses)
        })
        .filter(|(_, clauses)| !clauses.is_empty())
        .collect();
    if !seen.is_empty() {
        text += "\nSeen with:\n\n";
        for (store, clauses) in seen {
            let _ = writeln!(text, "- {} {} ({})", store.name, store.text("version"), clauses.join(", "));
        }
    }
    for (path, line) in finding.programs {
        let source = fs::read_to_string(folder().join(path))?;
        let (output, date) = results.program(path)?;
        if !output.lines().any(|printed| printed == *line) {
            return Err(format!("{path} did not print {line:?}, so its finding must be written again").into());
        }
        let _ = write!(
            text,
            "\n[{path}](third-party/{path}), run on {date}:\n\n```rust\n{}```\n\n```text\n{output}```\n",
            source
        );
    }
    Ok(text)
}

/// Failures that no finding explains.
fn further(results: &Results) -> String {
    let mut rows = String::new();
    for store in results.stores() {
        for cell in store.cells().filter(|cell| matches!(cell.verdict, "fail" | "error" | "not run")) {
            if findings::of(store.name, &cell).is_none() {
                let _ = writeln!(
                    rows,
                    "| {} | {} | {} | {} |",
                    store.name,
                    cell.id,
                    cell.verdict,
                    escaped(&brief(cell.reason))
                );
            }
        }
    }
    if rows.is_empty() {
        return String::from("\n## Further failures\n\nNone: a finding explains each failure.\n");
    }
    format!(
        "\n## Further failures\n\nClauses that failed for other reasons, or that did not end in time. A time to live begins when \
         the engine receives it, so a session of actix-session can live some milliseconds longer than its deadline. Redis \
         refuses an expiry date in the first second of 1970.\n\n\
         | store | clause | verdict | what happened |\n|---|---|---|---|\n{rows}"
    )
}

/// The clauses that at least one store was asked, by store.
fn table(results: &Results) -> Result<String> {
    let sentences = sentences()?;
    let stores: Vec<Store<'_>> = results.stores().collect();
    let mut text = String::from(
        "\n## Clause by clause\n\nThe columns are the stores by their numbers above. A dash is a clause that does not \
         apply, for the reason in the next section. Clauses that apply to no store are left out.\n\n| clause |",
    );
    for number in 1..=stores.len() {
        let _ = write!(text, " {number} |");
    }
    let _ = writeln!(text, " sentence |\n|---|{}", "---|".repeat(stores.len() + 1));
    let Some(first) = stores.first() else { return Ok(text) };
    for id in first.cells().map(|cell| cell.id) {
        let verdicts: Vec<&str> =
            stores.iter().map(|store| store.cell(id).map_or("not run", |cell| cell.verdict)).collect();
        if verdicts.iter().all(|verdict| *verdict == "n/a") {
            continue;
        }
        let cells: String = verdicts
            .iter()
            .map(|verdict| format!(" {} |", if *verdict == "n/a" { "–" } else { verdict }))
            .collect();
        let _ = writeln!(text, "| {id} |{cells} {} |", escaped(sentences.get(id).map_or("", String::as_str)));
    }
    Ok(text)
}

/// Why clauses do not apply.
fn reasons(results: &Results) -> Result<String> {
    let mut groups: Vec<(&str, Vec<&str>, Vec<usize>)> = Vec::new();
    let stores: Vec<Store<'_>> = results.stores().collect();
    for (number, store) in stores.iter().enumerate() {
        for cell in store.cells().filter(|cell| cell.verdict == "n/a") {
            let place = groups.iter().position(|(reason, ..)| *reason == cell.reason);
            let place = place.unwrap_or_else(|| {
                groups.push((cell.reason, Vec::new(), Vec::new()));
                groups.len() - 1
            });
            let group = groups.get_mut(place).ok_or("a group that was just added")?;
            if !group.1.contains(&cell.id) {
                group.1.push(cell.id);
            }
            if !group.2.contains(&(number + 1)) {
                group.2.push(number + 1);
            }
        }
    }
    let mut text =
        String::from("\n## Clauses that do not apply\n\n| reason | stores | clauses |\n|---|---|---|\n");
    for (reason, clauses, numbers) in groups {
        let numbers = if numbers.len() == stores.len() {
            "all".to_owned()
        } else {
            numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
        };
        let _ = writeln!(text, "| {} | {numbers} | {} |", escaped(reason), clauses.join(" "));
    }
    Ok(text)
}

/// The sentences of the clauses, from SPEC.md.
fn sentences() -> Result<BTreeMap<String, String>> {
    let spec = fs::read_to_string(cargo::root().join("SPEC.md"))?;
    let rows = spec.lines().filter_map(|line| {
        let (id, rest) = line.strip_prefix("- **")?.split_once("** ")?;
        let (_, rest) = rest.split_once(' ')?;
        let sentence = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once("] ")?.1,
            None => rest,
        };
        Some((id.to_owned(), sentence.to_owned()))
    });
    let halves = [
        ("E01a", "In real time: a session whose deadline is 0.9 s away is found."),
        ("E01b", "In real time: a session whose deadline was 0.3 s ago is absent."),
    ];
    Ok(rows.chain(halves.map(|(id, sentence)| (id.to_owned(), sentence.to_owned()))).collect())
}

/// The beginning of a reason. The file of the store's result has the whole.
fn brief(reason: &str) -> String {
    match reason.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", reason.get(..at).unwrap_or(reason).trim_end_matches('…')),
        None => reason.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

const BEGINNING: &str = "\
# Published session stores under the conformance suite

This page says which clauses of [SPEC.md](SPEC.md) published session stores of other projects keep, when an application
uses them through the trait of their library. It is for developers who choose a store, and for the authors of these
stores.

`cargo xtask conformance --third-party` makes it: the command builds the workspaces in [third-party](third-party), runs the
suite over each store and the programs below, and writes this page from their results. With `--driver NAME` it runs the
stores whose name contains NAME, and the others keep their results. The versions are those of the committed `Cargo.lock`
files. Stores on disk are in a file system in memory where there is one (`/dev/shm`), because no clause of this run is about
power loss.

The specification is this project's. The other projects have not promised to keep it, and a store that fails a clause may
be right for an application: many sites have no concurrent changes of one session, or can lose one. The page reports
what was observed with one version of each store. It is no judgement of a project.

| verdict | meaning |
|---|---|
| pass | the store kept the clause in each try; a clause about concurrent tasks has three |
| fail | the store did not keep the clause at least once, and a store of the same trait could |
| trait | the store did not keep the clause, and no store could through these calls: the control fails it too |
| n/a, or a dash | the clause does not apply, or this run does not try it, for the given reason |
| not run | the store's time was over, or the clause took too long on this machine |
| error | the harness failed, which says nothing about the store |
";

const ADAPTER: &str = "
## How a call of the suite becomes a call of the store

The traits have four calls in common: create, load, save and delete. The adapter in
[third-party/adapter](third-party/adapter) makes a driver of them. It adds no lock, no cache, no check of a deadline and no
atomic comparison.

| the suite calls | the adapter calls |
|---|---|
| `retrieve` | load. A session that load returns counts as live |
| `store`, no condition | load; then create if nothing was found, otherwise save. Save also if create refused the id |
| `store` if absent | create. An error, or another id in the answer, counts as a conflict; what was created under the other id is deleted |
| `store` at a revision | load, compare the revision, let other tasks run, save. So must an application that loads, handles a request and saves |
| `touch` | the same, with the loaded data and the new deadline |
| `remove` | load, compare, let other tasks run, delete. The traits' delete does not say whether it deleted |
| a key | the first 128 bits of its hash as the id. actix-session draws the ids itself: the adapter remembers them like the clients' cookies |
| data and revision | two values of the session |
| a deadline | the session's expiry date. A record without a deadline has the latest date, and a value that says so. For actix-session and axum_session, whose load returns no date, the deadline is a value too |
| an error of save | a refusal, if load then finds no session; otherwise an error |
| `traverse`, `purge`, `flush`, `close` | nothing: the traits have no such call, and the clauses do not apply |

The control is a map behind a mutex under the same adapter. Each of its four calls is one atomic step, it refuses to create
an id in use and to save a session that has ended, and expired sessions are absent. The clauses that it fails need a call
that the traits do not have: a save on condition of the loaded state, or a delete that answers.
";
