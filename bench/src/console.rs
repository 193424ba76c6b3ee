//! Progress and errors, on standard error.

/// Prints the current step.
#[expect(clippy::print_stderr, reason = "the table alone goes to standard output")]
pub(crate) fn progress(text: &str) {
    eprintln!("  {text}");
}

/// Prints an error.
#[expect(clippy::print_stderr, reason = "the table alone goes to standard output")]
pub(crate) fn complain(text: &str) {
    eprintln!("session-bench: {text}");
}
