//! The tables that map other systems and standards to tests.

use std::collections::BTreeSet;

use super::{files, read, root};

/// The names of the test functions in a source file that run. A test with `ignore` shows nothing.
fn tests_of(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut is_test, mut is_ignored, mut in_list) = (false, false, false);
    for line in source.lines().map(str::trim_start) {
        // The list of the tests that run on both frameworks, in `session-web/tests/frameworks`.
        if let Some(first) = line.strip_prefix("on_both!(") {
            in_list = true;
            found.extend(listed(first));
        } else if in_list {
            found.extend(listed(line));
        }
        in_list &= !line.contains(");");
        if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split(['(', ']', '=']).next().unwrap_or_default().trim();
            is_test |= path == "test" || path.ends_with("::test");
            let mut words = attribute.split([' ', ',', '(', ')', ']', '=']);
            is_ignored |= path == "ignore" || (path == "cfg_attr" && words.any(|word| word == "ignore"));
            continue;
        }
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test && !is_ignored) {
            found.extend(rest.split(['(', '<']).next().map(str::to_owned));
        }
        if !line.starts_with("//") {
            (is_test, is_ignored) = (false, false);
        }
    }
    found
}

fn listed(line: &str) -> impl Iterator<Item = String> {
    let names = line.split(',').map(|name| name.trim().trim_end_matches(");"));
    names.filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The names of all test functions, and the ids of all clauses.
fn tests() -> BTreeSet<String> {
    let sources = files(root(), ".rs");
    let ours = sources.iter().filter(|file| !file.starts_with(root().join("bench/peers")));
    let mut found: BTreeSet<_> = ours.flat_map(|file| tests_of(&read(file))).collect();
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

/// The number of rows in the tables with a last column `test`, and what is wrong with them.
fn check(document: &str, tests: &BTreeSet<String>) -> (usize, Vec<String>) {
    let (mut rows, mut wrong, mut in_table) = (0, Vec::new(), false);
    for line in document.lines() {
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
    (rows, wrong)
}

#[test]
fn tables_of_other_systems_and_standards_name_existing_tests() {
    let tests = tests();
    assert!(tests.len() > 1_000 && tests.contains("S01") && tests.contains("the_defaults_follow_owasp"));
    // The number of rows, so that a table that is no longer recognised is noticed.
    for (document, least) in [("COMPATIBILITY.md", 184), ("SECURITY.md", 43)] {
        let (rows, wrong) = check(&read(&root().join(document)), &tests);
        assert!(wrong.is_empty(), "{document}:\n{}", wrong.join("\n"));
        assert!(rows >= least, "{document} has {rows} rows");
    }
}

#[test]
fn row_without_a_running_test_or_a_reason_is_found() {
    let source = [
        "#[test]",
        "fn runs() {}",
        "#[tokio::test(flavor = \"x\")]",
        "/// Docs.",
        "async fn waits() {}",
        "#[actix_web::test]",
        "async fn acts() {}",
        "#[test]",
        "#[ignore = \"slow\"]",
        "fn ignored() {}",
        "#[ignore]",
        "#[test]",
        "fn ignored_too() {}",
        "#[test]",
        "#[cfg_attr(windows, ignore)]",
        "fn elsewhere() {}",
        "on_both!(on_one_line, another);",
        "on_both!(",
        "    first,",
        "    second,",
        ");",
        "fn helper() {}",
    ];
    let tests = tests_of(&source.join("\n"));
    let all = ["acts", "another", "first", "on_one_line", "runs", "second", "waits"];
    assert!(tests.iter().eq(&all), "{tests:?}");
    let table = |row: &str| format!("| there | here | test |\n|---|---|---|\n{row}\n");
    for (row, is_right) in [
        ("| `a` | `b` | `runs` |", true),
        ("| `a` | `b` | `runs` `waits` |", true),
        ("| `a` | left out: a reason | — |", true),
        ("| `a` | the application's task | — |", true),
        ("| `a` | `b` | `runs` `no_such_test` |", false),
        ("| `a` | left out: a reason | `no_such_test` |", false),
        ("| `a` | `b` | `ignored` |", false),
        ("| `a` | `b` | `helper` |", false),
        ("| `a` | `b` | — |", false),
        ("| `a` | `runs` |", false),
    ] {
        let (rows, wrong) = check(&table(row), &tests);
        assert_eq!((rows, wrong.is_empty()), (1, is_right), "{row} {wrong:?}");
    }
    assert_eq!(check("| there | here |\n|---|---|\n| a | b |\n", &tests), (0, Vec::new()), "another table");
}
