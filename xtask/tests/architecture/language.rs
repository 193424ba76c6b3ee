//! Documents, comments and messages are in plain English.

use std::collections::BTreeMap;
use std::path::Path;

use regex_lite::Regex;

use super::{files, read, root};

/// Phrases that make a sentence hard to read. Each line has advice, a regular expression and an example.
const RIDDLES: &str = include_str!("riddles.txt");

/// How many of them a folder may have in 1,000 words. A few are right where they stand.
const RATE: f64 = 1.0;

#[test]
fn text_is_plain() {
    let mut folders = BTreeMap::<String, (usize, Vec<String>)>::new();
    for file in [".md", ".rs", ".toml"].iter().flat_map(|ending| files(root(), ending)) {
        let path = file.strip_prefix(root()).unwrap();
        let text = prose(&file, &read(&file));
        let top = if path.components().count() == 1 { Path::new(".") } else { path };
        let folder = folders.entry(top.iter().next().unwrap().to_string_lossy().into_owned()).or_default();
        folder.0 += text.split_whitespace().count();
        folder.1.extend(riddles(&text).into_iter().map(|riddle| format!("{}: {riddle}", path.display())));
    }
    assert!(folders.len() > 10, "found {} folders", folders.len());
    let wrong: Vec<_> = folders
        .into_iter()
        .filter(|(_, (words, riddles))| riddles.len() as f64 > RATE * (*words as f64 / 1_000.0).max(1.0))
        .map(|(folder, (words, riddles))| format!("{folder}, {words} words:\n  {}", riddles.join("\n  ")))
        .collect();
    assert!(wrong.is_empty(), "more than {RATE} riddles in 1,000 words of {}", wrong.join("\n"));
}

#[test]
fn planted_riddles_are_found() {
    for line in RIDDLES.lines() {
        let example = line.rsplit('\t').next().unwrap();
        assert_eq!(riddles(example).len(), 1, "{example}");
    }
    let plain = "What is a driver? It waits for an answer. A table for the keys, and at most 16 of them.";
    assert_eq!(riddles(plain), Vec::<String>::new());
    // Comments and strings of a source are prose; names and blocks of code are not.
    let example = ["at the", "most"].join(" ");
    let source =
        format!("/// {example}.\nlet a = \"{example}\"; // {example}\n//! ```\n//! {example}\n//! ```\n");
    assert_eq!(riddles(&prose(Path::new("a.rs"), &source)).len(), 2);
    assert_eq!(riddles(&prose(Path::new("a.md"), &format!("```\n{example}\n```\n{example}"))).len(), 1);
}

fn riddles(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in RIDDLES.lines() {
        let (advice, rest) = line.split_once('\t').unwrap();
        let (riddle, _) = rest.split_once('\t').unwrap();
        for at in Regex::new(&format!("(?m){riddle}")).unwrap().find_iter(text) {
            let phrase: String = at.as_str().split_whitespace().collect::<Vec<_>>().join(" ");
            found.push(format!("{phrase:?}: {advice}"));
        }
    }
    found
}

/// The text of a Markdown file, or the comments and longer strings of a source file, without blocks of code.
fn prose(file: &Path, text: &str) -> String {
    let markdown = file.extension().is_some_and(|extension| extension == "md");
    let comment = Regex::new(r"^\s*(?://[/!]?|#)\s?(.*)$").unwrap();
    let string = Regex::new(r#""((?:[^"\\]|\\.)*\s(?:[^"\\]|\\.)*)""#).unwrap();
    let (mut prose, mut in_code) = (Vec::new(), false);
    for line in text.lines() {
        let said = if markdown {
            Some(line)
        } else {
            comment.captures(line).map(|found| found.get(1).unwrap().as_str())
        };
        match said {
            Some(said) if said.trim_start().starts_with("```") => in_code = !in_code,
            Some(said) if !in_code => prose.push(said.to_owned()),
            Some(_) => {}
            None => {
                in_code = false;
                prose.extend(string.captures_iter(line).map(|found| found[1].to_owned()));
            }
        }
    }
    prose.join("\n")
}
