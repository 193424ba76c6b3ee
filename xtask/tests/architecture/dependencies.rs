//! The dependencies of each crate.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::root;

/// The layers, lowest first. A crate depends on crates of lower layers only.
fn layer(package: &str) -> Option<u32> {
    Some(match package {
        "session-core" => 0,
        name if name.starts_with("session-store-") || name.starts_with("session-state-") => 1,
        "session-handover" | "session-interop" | "session-migrate" | "session-near" => 1,
        "session-manager" => 2,
        "session-web" => 3,
        "session-tower" | "session-actix" => 4,
        "session-kit" => 5,
        "session-cli" => 6,
        _ => return None,
    })
}

#[test]
fn invariant_01_dependencies_point_one_way() {
    for (package, dependencies) in own_dependencies() {
        let Some(own) = layer(&package) else { continue };
        for dependency in dependencies {
            // An unpublished crate is above all layers.
            let other = layer(&dependency).unwrap_or(u32::MAX);
            assert!(other < own, "{package} may not depend on {dependency}");
        }
    }
}

#[test]
fn invariant_02_a_driver_depends_on_session_core_only() {
    for (package, dependencies) in drivers(own_dependencies()) {
        assert_eq!(dependencies, BTreeSet::from(["session-core".to_owned()]), "{package}");
    }
}

#[test]
fn invariant_03_the_core_needs_no_runtime_serde_or_http() {
    let tree = tree(&["--package", "session-core", "--no-default-features", "--edges", "normal"]);
    assert!(tree.contains("bytes"), "the tree looks wrong: {tree:?}");
    let unwanted =
        ["tokio", "async-std", "futures-core", "serde", "serde_core", "tracing", "http", "sha2", "getrandom"];
    for unwanted in unwanted {
        assert!(!tree.contains(unwanted), "session-core depends on {unwanted}");
    }
}

#[test]
fn invariant_04_drivers_need_no_codec_and_serde_for_options_only() {
    let needed = |dependency: &Value| {
        dependency["kind"] != "dev" && !(dependency["name"] == "serde" && dependency["optional"] == true)
    };
    for (package, names) in drivers(dependencies(needed)) {
        for unwanted in ["serde", "serde_json", "rmp-serde", "bincode"] {
            assert!(!names.contains(unwanted), "{package} depends on {unwanted}");
        }
    }
}

#[test]
fn invariant_05_foreign_session_libraries_stay_in_the_bench_and_interop() {
    let mut traits = BTreeSet::new();
    for (package, names) in dependencies(|_| true) {
        for name in names.iter().filter(|name| is_foreign(name)) {
            match &*package {
                "session-bench" => {}
                "session-interop" => drop(traits.insert(name.clone())),
                _ => panic!("{package} depends on {name}"),
            }
        }
    }
    // The crates with the traits, and no store.
    let expected = ["actix-session", "tower-sessions-core"];
    assert!(traits.iter().eq(&expected), "session-interop depends on {traits:?}");
    // Without a feature there is none, and no crate of ours turns one on.
    let alone = tree(&["--package", "session-interop", "--no-default-features", "--edges", "normal,build"]);
    assert!(alone.contains("session-core") && !alone.iter().any(|name| is_foreign(name)), "{alone:?}");
    for (package, names) in own_dependencies() {
        assert!(!names.contains("session-interop"), "{package} depends on session-interop");
    }
}

/// Whether this is a session library of another project, or a cache that its stores use.
fn is_foreign(name: &str) -> bool {
    let libraries = ["tower-sessions", "actix-session", "axum_session", "axum_sessions", "async-session"];
    name == "moka" || libraries.iter().any(|library| name.starts_with(library))
}

#[test]
fn invariant_16_default_features_of_the_kit_compile_no_c_code() {
    let compiles_c = |arguments: &[&str]| {
        let all = [&["--package", "session-kit", "--edges", "normal,build"], arguments].concat();
        tree(&all).contains("cc")
    };
    assert!(!compiles_c(&[]), "the default features of session-kit need a C compiler");
    assert!(compiles_c(&["--features", "sqlite"]), "the tree looks wrong: SQLite is C");
}

/// The workspace crates that each package depends on, except for tests.
fn own_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    dependencies(|dependency| dependency["kind"] != "dev" && !dependency["path"].is_null())
}

fn drivers(mut packages: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    packages.retain(|package, _| package.starts_with("session-store-"));
    assert!(packages.len() >= 7, "found {packages:?}");
    packages
}

/// The names of the wanted dependencies of each package.
fn dependencies(wanted: impl Fn(&Value) -> bool) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = cargo(&["metadata", "--format-version=1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 5, "cargo metadata lists {} packages", packages.len());
    packages
        .iter()
        .map(|package| {
            let names = package["dependencies"].as_array().unwrap().iter();
            let names = names
                .filter(|dependency| wanted(dependency))
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            (package["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

/// The names of the packages in a dependency tree.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let all = [&["tree", "--prefix", "none", "--format", "{p}"], arguments].concat();
    cargo(&all).lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
