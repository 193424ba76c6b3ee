//! The application's own tests, before and after the switch to SQLite.

const BEFORE: &str = env!("CARGO_BIN_EXE_tower-sessions-before");
const AFTER: &str = env!("CARGO_BIN_EXE_tower-sessions-after");

#[test]
fn notebook_works_before_the_switch() {
    switch_checks::notebook_works(BEFORE);
}

#[test]
fn notebook_works_after_the_switch() {
    switch_checks::notebook_works(AFTER);
}

#[test]
fn switch_changes_one_statement() {
    switch_checks::programs_differ_in_the_store_only(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn late_request_brings_nothing_back_after_the_switch() {
    switch_checks::late_request_brings_nothing_back(AFTER);
}

#[test]
fn sessions_survive_a_kill_after_the_switch() {
    switch_checks::sessions_survive_a_kill(AFTER);
}
