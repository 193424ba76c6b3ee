//! The application's own tests, before and after the switch to SQLite.

switch_checks::tests!("actix-session");
