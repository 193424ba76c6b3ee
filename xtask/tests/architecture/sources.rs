//! Rules for the sources.

use std::path::Path;

use super::{files, libraries, read, root};

#[test]
fn invariant_06_only_the_clock_reads_the_time_of_day() {
    let clock = root().join("session-core/src/clock.rs");
    assert!(read(&clock).contains("SystemTime::now"), "the clock has moved: adapt this test");
    for file in library_sources() {
        if file != clock {
            assert_absent(&file, "SystemTime::now");
            assert_absent(&file, "clock_gettime");
        }
    }
}

#[test]
fn invariant_07_libraries_read_no_environment_variables() {
    // A program reads what its options name, and gives it to its library.
    let program = root().join("session-cli/src/main.rs");
    for file in library_sources().into_iter().filter(|file| *file != program) {
        assert_absent(&file, "env::var");
    }
}

#[test]
fn invariant_08_unsafe_code_is_in_one_mapping_and_the_bench() {
    assert!(read(&root().join("Cargo.toml")).contains("unsafe_code = \"deny\""));
    // Split, so that this file does not match itself.
    let permission = concat!("(unsafe", "_code");
    for file in files(root(), ".rs") {
        let mapping = file == root().join("session-store-mmap/src/map.rs");
        if !mapping && !file.starts_with(root().join("bench")) {
            assert_absent(&file, permission);
        }
    }
}

#[test]
fn invariant_09_every_crate_uses_the_workspace_lints() {
    let manifests = files(root(), "Cargo.toml");
    assert!(manifests.len() > 5, "found {manifests:?}");
    for manifest in manifests {
        // Workspaces of their own.
        let apart =
            ["bench/peers", "book/before", "examples/switch", "examples/third-party-driver", "third-party"];
        let outside = apart.iter().any(|path| manifest.starts_with(root().join(path)))
            || manifest == root().join("Cargo.toml");
        assert!(outside || read(&manifest).contains("[lints]\nworkspace = true"), "{}", manifest.display());
    }
}

/// Ids, revisions, keys and nonces come from one call. Only session-manager draws predictable numbers: for waiting times,
/// for samples of an index, and in tests.
#[test]
fn ids_and_keys_come_from_the_operating_system() {
    let random = root().join("session-core/src/random.rs");
    assert!(read(&random).contains("    getrandom::fill(bytes)\n"), "the source has moved: adapt this test");
    for (file, call) in [
        ("session-core/src/id.rs", "crate::random::fill(&mut bytes)?;"),
        ("session-state-cookie/src/keys.rs", "random::fill("),
        ("session-core/src/random.rs", "fill(&mut self.bytes)?;"),
        ("session-state-cookie/src/seal.rs", "= random::bytes()?;"),
    ] {
        assert!(read(&root().join(file)).contains(call), "{file} does not call {call}");
    }
    let predictable = ["enter.rs", "growth.rs", "settle.rs", "sweep.rs", "view.rs", "watch.rs"]
        .map(|file| root().join("session-manager/src").join(file));
    for file in library_sources() {
        if file != random {
            assert_absent(&file, "getrandom::");
        }
        if !predictable.contains(&file) {
            assert_absent(&file, "rand::");
        }
    }
    // Builds may replace the source of `getrandom` by a configuration.
    assert_absent(&root().join(".cargo/config.toml"), "getrandom_backend");
}

#[test]
fn published_crates_contain_their_licences_and_describe_themselves() {
    for library in libraries().into_iter().chain([root().join("conformance")]) {
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            assert_eq!(read(&library.join(licence)), read(&root().join(licence)), "{}", library.display());
        }
        let manifest = read(&library.join("Cargo.toml"));
        for line in [
            "description = \"",
            "license.workspace = true",
            "keywords",
            "categories",
            "readme = \"README.md\"",
        ] {
            assert!(manifest.contains(line), "{}: {line}", library.display());
        }
        // docs.rs shows what each feature brings.
        if manifest.contains("\n[features]\n") {
            assert!(
                manifest.contains("[package.metadata.docs.rs]\nall-features = true"),
                "{}",
                library.display()
            );
        }
    }
}

#[test]
fn invariant_10_readme_is_documentation_and_lib_is_contents() {
    for library in libraries() {
        let lib = read(&library.join("src/lib.rs"));
        assert!(lib.contains("doc = include_str!(\"../README.md\")"), "{}", library.display());
        assert!(read(&library.join("README.md")).contains("```"), "{} has no example", library.display());
        assert!(
            lib.lines().count() <= 100,
            "{}/src/lib.rs is more than a table of contents",
            library.display()
        );
    }
}

#[test]
fn invariant_11_no_source_file_has_more_than_600_lines() {
    // The table of clauses stays in one file.
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
    // Comments may name it.
    let code = read(file);
    let line = code.lines().find(|line| !line.trim_start().starts_with("//") && line.contains(text));
    assert_eq!(line, None, "{} contains {text}", file.display());
}
