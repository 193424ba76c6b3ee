//! What the sources may and may not hold.

use std::path::Path;

use super::{files, libraries, read, root};

#[test]
fn invariant_06_the_time_of_day_is_read_in_the_clock_and_nowhere_else() {
    let clock = root().join("session-core/src/clock.rs");
    assert!(
        read(&clock).contains("SystemTime::now"),
        "the clock reads no time: this test looks at the wrong thing"
    );
    for file in library_sources() {
        if file != clock {
            assert_absent(&file, "SystemTime::now");
            assert_absent(&file, "clock_gettime");
        }
    }
}

#[test]
fn invariant_07_libraries_read_no_environment_variables() {
    for file in library_sources() {
        assert_absent(&file, "env::var");
    }
}

#[test]
fn invariant_08_there_is_no_unsafe_code_but_in_one_mapping_and_the_benchs_allocator() {
    assert!(read(&root().join("Cargo.toml")).contains("unsafe_code = \"deny\""));
    // Spelled apart, or this file would find itself.
    let permission = concat!("(unsafe", "_code");
    for file in files(root(), ".rs") {
        let mapping = file == root().join("session-store-mmap/src/map.rs");
        if !mapping && !file.starts_with(root().join("bench")) {
            assert_absent(&file, permission);
        }
    }
}

#[test]
fn invariant_09_every_crate_takes_the_lints_of_the_workspace() {
    let manifests = files(root(), "Cargo.toml");
    assert!(manifests.len() > 5, "found {manifests:?}");
    for manifest in manifests {
        let outside =
            manifest.starts_with(root().join("bench/peers")) || manifest == root().join("Cargo.toml");
        assert!(outside || read(&manifest).contains("[lints]\nworkspace = true"), "{}", manifest.display());
    }
}

#[test]
fn invariant_10_the_readme_of_each_crate_is_its_documentation_and_lib_rs_a_table_of_contents() {
    for library in libraries() {
        let lib = read(&library.join("src/lib.rs"));
        assert!(lib.contains("#![doc = include_str!(\"../README.md\")]"), "{}", library.display());
        assert!(read(&library.join("README.md")).contains("```"), "{} has no example", library.display());
        assert!(
            lib.lines().count() <= 100,
            "{}/src/lib.rs holds more than a table of contents",
            library.display()
        );
    }
}

#[test]
fn invariant_11_no_source_file_but_the_table_of_clauses_is_longer_than_600_lines() {
    // One table is the point of it.
    let table = root().join("conformance/src/table.rs");
    for file in files(root(), ".rs").into_iter().filter(|file| *file != table) {
        let lines = read(&file).lines().count();
        assert!(lines <= 600, "{} has {lines} lines", file.display());
    }
}

fn library_sources() -> Vec<std::path::PathBuf> {
    libraries().iter().flat_map(|library| files(&library.join("src"), ".rs")).collect()
}

fn assert_absent(file: &Path, text: &str) {
    // In comments it may be named.
    let code = read(file);
    let line = code.lines().find(|line| !line.trim_start().starts_with("//") && line.contains(text));
    assert_eq!(line, None, "{} may not hold {text}", file.display());
}
