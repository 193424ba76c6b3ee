//! Statements of the documents about the code.

use std::collections::BTreeSet;
use std::path::Path;

use super::{files, read, root};

#[test]
fn links_between_files_have_targets() {
    let mut links = 0;
    for document in files(root(), ".md") {
        for target in link_targets(&read(&document)) {
            let path = document.parent().unwrap().join(&target);
            assert!(path.exists(), "{}: {target} leads nowhere", document.display());
            links += 1;
        }
    }
    assert!(links > 5, "found {links} links");
}

#[test]
fn cited_clauses_are_in_the_specification() {
    let known = clause_ids(&read(&root().join("SPEC.md")));
    assert!(known.len() > 20, "SPEC.md has {} clauses", known.len());
    for name in ["README.md", "SECURITY.md", "ARCHITECTURE.md"] {
        let cited = clause_ids(&read(&root().join(name)));
        let unknown: Vec<_> = cited.difference(&known).collect();
        assert!(unknown.is_empty(), "{name} cites {unknown:?}");
    }
    assert!(!clause_ids(&read(&root().join("README.md"))).is_empty(), "README.md cites no clause");
}

#[test]
fn readmes_name_the_version_and_an_existing_path() {
    let workspace = read(&root().join("Cargo.toml"));
    let version = workspace.split("\nversion = \"").nth(1).unwrap().split('"').next().unwrap();
    let (compatible, _) = version.rsplit_once('.').unwrap();
    let features = "features = [\"axum\", \"redis\", \"sqlite\"] }";
    let line = format!("\nsession-kit = {{ version = \"{compatible}\", {features}\n");
    assert!(read(&root().join("session-kit/README.md")).contains(&line), "{line}");
    // A checkout beside the application. The crate is in a folder of its name.
    let line = format!("\nsession-kit = {{ path = \"../session-kit/session-kit\", {features}\n");
    assert!(read(&root().join("README.md")).contains(&line), "{line}");
    assert!(root().join("session-kit/Cargo.toml").is_file());
}

#[test]
fn map_shows_every_crate() {
    let map = read(&root().join("ARCHITECTURE.md"));
    assert!(map.lines().count() <= 150, "ARCHITECTURE.md is longer than 150 lines");
    let manifest = read(&root().join("Cargo.toml"));
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let mut seen = 0;
    for member in members.split(',').map(|line| line.trim().trim_matches('"')).filter(|line| !line.is_empty())
    {
        let name = Path::new(member).file_name().unwrap().to_string_lossy().into_owned();
        assert!(map.contains(&name), "ARCHITECTURE.md does not show {member}");
        seen += 1;
    }
    assert!(seen > 5, "found {seen} members");
}

/// Each file of the guide is the template's, except for the names of the crate and the driver.
#[test]
fn guide_shows_the_template_crate() {
    let guide = read(&root().join("conformance/README.md"));
    for path in ["src/lib.rs", "tests/conformance.rs"] {
        let (_, shown) = guide.split_once(&format!("// {path}\n")).unwrap();
        let shown: Vec<_> =
            shown.lines().take_while(|line| !line.starts_with("# ") && *line != "```").collect();
        let shown =
            shown.join("\n").replace("my_store", "third_party_driver").replace("my-store", "third-party");
        assert!(shown.lines().count() > 20, "the guide shows no {path}");
        let template = read(&root().join("examples/third-party-driver").join(path));
        assert!(template.contains(&shown), "{path} of the guide and of examples/third-party-driver differ");
    }
}

#[test]
fn book_shows_each_chapter_and_compiles_it() {
    let folder = root().join("book");
    let (summary, crates) = (read(&folder.join("SUMMARY.md")), read(&folder.join("src/lib.rs")));
    let mut chapters = 0;
    for chapter in files(&folder, ".md").iter().filter(|path| !path.ends_with("SUMMARY.md")) {
        let name = chapter.file_name().unwrap().to_string_lossy();
        assert!(summary.contains(&format!("]({name})")), "SUMMARY.md lacks {name}");
        assert!(crates.contains(&format!("\"../{name}\"")), "book/src/lib.rs lacks {name}");
        chapters += 1;
    }
    assert!(chapters > 5, "found {chapters} chapters");
}

#[test]
fn no_file_names_a_home_directory() {
    for ending in [".md", ".toml", ".rs"] {
        for file in files(root(), ending) {
            // Split, so that this file does not match itself.
            let text = read(&file);
            for path in [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")] {
                assert!(!text.contains(path), "{} names {path}", file.display());
            }
        }
    }
}

/// The targets of Markdown links that are paths: not addresses, anchors or items of rustdoc.
fn link_targets(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next())
        .filter(|target| !target.is_empty() && !target.contains(':') && !target.starts_with('<'))
        .filter(|target| target.contains('.') || target.ends_with('/'))
        .filter(|target| !target.contains('`'))
        .map(str::to_owned)
        .collect()
}

/// Ids such as `B01`: a letter of a level and two or three digits.
fn clause_ids(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '-')
        .filter(|word| {
            let mut letters = word.chars();
            letters.next().is_some_and(|letter| "BTECPDFS".contains(letter))
                && (3..=4).contains(&word.len())
                && letters.all(|letter| letter.is_ascii_digit())
        })
        .map(str::to_owned)
        .collect()
}
