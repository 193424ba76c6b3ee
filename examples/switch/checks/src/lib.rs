//! The tests of both notebooks: they start the program and use it as browsers do.

mod application;
mod browser;

use std::path::Path;

use serde_json::json;

pub use application::Application;
pub use browser::{Browser, Upload};

/// The tests of the package with this name.
#[macro_export]
macro_rules! tests {
    ($package:literal) => {
        const BEFORE: &str = env!(concat!("CARGO_BIN_EXE_", $package, "-before"));
        const AFTER: &str = env!(concat!("CARGO_BIN_EXE_", $package, "-after"));

        #[test]
        fn notebook_works_before_the_switch() {
            $crate::notebook_works(BEFORE);
        }

        #[test]
        fn notebook_works_after_the_switch() {
            $crate::notebook_works(AFTER);
        }

        #[test]
        fn switch_changes_one_statement() {
            $crate::programs_differ_in_the_store_only(env!("CARGO_MANIFEST_DIR"));
        }

        #[test]
        fn late_request_brings_nothing_back_after_the_switch() {
            $crate::late_request_brings_nothing_back(AFTER);
        }

        #[test]
        fn sessions_survive_a_kill_after_the_switch() {
            $crate::sessions_survive_a_kill(AFTER);
        }
    };
}

/// What the application's own tests say of any store.
pub fn notebook_works(program: &str) {
    let application = Application::start(program);
    let [mut alice, mut bob] = [application.browser(), application.browser()];
    let empty = json!({ "user": null, "notes": [] });
    assert_eq!(alice.show(), empty);
    assert_eq!(alice.cookie(), None, "a visitor who does nothing gets no session");

    assert_eq!(alice.post("/note", "milk"), 200);
    let anonymous = alice.cookie();
    assert_eq!(alice.post("/login/alice", ""), 200);
    assert!(anonymous.is_some() && alice.cookie() != anonymous, "a login changes the id");
    assert_eq!(alice.post("/note", "tea"), 200);
    assert_eq!(alice.show(), json!({ "user": "alice", "notes": ["milk", "tea"] }));
    assert_eq!(bob.show(), empty, "sessions are separate");

    let upload = alice.upload("/note", "honey".len());
    assert_eq!(upload.finish(&mut alice, "honey"), 200);
    assert_eq!(alice.show()["notes"], json!(["milk", "tea", "honey"]));

    assert_eq!(alice.post("/logout", ""), 200);
    assert_eq!((alice.cookie(), alice.show()), (None, empty));
}

/// What only the new store does: an upload that is finished after the logout is refused, and brings nothing back.
pub fn late_request_brings_nothing_back(program: &str) {
    let application = Application::start(program);
    let mut alice = application.browser();
    assert_eq!(alice.post("/login/alice", ""), 200);
    let (kept, upload) = (alice.clone(), alice.upload("/note", "milk".len()));
    assert_eq!(alice.post("/logout", ""), 200);
    assert_eq!(upload.finish(&mut alice, "milk"), 500);
    for mut browser in [alice, kept] {
        assert_eq!(browser.show(), json!({ "user": null, "notes": [] }));
    }
}

/// What only the new store does: sessions outlive a killed program.
pub fn sessions_survive_a_kill(program: &str) {
    let mut application = Application::start(program);
    let mut alice = application.browser();
    assert_eq!(alice.post("/login/alice", ""), 200);
    application.kill_and_restart();
    alice.visit(&application);
    assert_eq!(alice.show()["user"], json!("alice"));
}

/// The two programs differ in the statement that makes the store.
pub fn programs_differ_in_the_store_only(package: &str) {
    let [before, after] = ["before", "after"].map(|name| {
        let path = Path::new(package).join("src/bin").join(name).with_extension("rs");
        let text = std::fs::read_to_string(path).unwrap();
        let (head, rest) = text.split_once("    let store =").unwrap();
        let (store, tail) = rest.split_once(";\n").unwrap();
        [head, store, tail].map(str::to_owned)
    });
    assert_eq!([&before[0], &before[2]], [&after[0], &after[2]]);
    assert!(
        !before[1].contains("SqliteStore") && after[1].contains("SqliteStore::open"),
        "{before:?} {after:?}"
    );
}
