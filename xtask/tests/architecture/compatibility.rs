//! The tables that map other systems and standards to tests.

use std::collections::BTreeSet;

use super::{files, read, root};

/// The names of all test functions, and the ids of all clauses.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files(root(), ".rs").iter().filter(|file| !file.starts_with(root().join("bench/peers"))) {
        let mut is_test = false;
        for line in read(file).lines().map(str::trim_start) {
            if let Some(attribute) = line.strip_prefix("#[") {
                is_test |= attribute.starts_with("test]") || attribute.starts_with("tokio::test");
                continue;
            }
            if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                found.extend(rest.split(['(', '<']).next().map(str::to_owned));
            }
            is_test &= line.starts_with("//");
        }
    }
    for file in ["rows.rs", "session_rows.rs"] {
        for line in read(&root().join("conformance/src").join(file)).lines() {
            let id = line.split(' ').next().unwrap_or_default();
            if id.len() > 2 && id[1..].bytes().all(|byte| byte.is_ascii_digit()) {
                found.insert(id.to_owned());
            }
        }
    }
    found
}

/// The names in backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Checks the tables with a last column `test` in a document, and returns the number of their rows.
fn check(document: &str, tests: &BTreeSet<String>) -> usize {
    let (mut rows, mut wrong, mut in_table) = (0, Vec::new(), false);
    for line in read(&root().join(document)).lines() {
        // A bar in a code span is written `\|`.
        let line = line.replace("\\|", " ");
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with('|') {
            in_table = false;
        } else if cells.last() == Some(&"test") {
            in_table = true;
        } else if in_table && !line.starts_with("|---") {
            rows += 1;
            let named = names(cells.last().unwrap());
            let excused = cells[..cells.len() - 1]
                .iter()
                .any(|cell| cell.starts_with("left out") || cell.starts_with("the application's task"));
            if cells.len() < 3 || (named.is_empty() && !excused) {
                wrong.push(format!("no test and no reason: {line}"));
            }
            let missing = named.iter().filter(|name| !tests.contains(**name));
            wrong.extend(missing.map(|name| format!("{name} is no test: {line}")));
        }
    }
    assert!(wrong.is_empty(), "{document}:\n{}", wrong.join("\n"));
    rows
}

#[test]
fn tables_of_other_systems_and_standards_name_existing_tests() {
    let tests = tests();
    assert!(tests.len() > 500 && tests.contains("S01") && tests.contains("the_defaults_follow_owasp"));
    assert!(!tests.contains("no_such_test"));
    for (document, least) in [("COMPATIBILITY.md", 130), ("SECURITY.md", 37)] {
        let rows = check(document, &tests);
        assert!(rows >= least, "{document} has {rows} rows");
    }
}
