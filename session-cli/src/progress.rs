//! Progress on standard error, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar or a count. It disappears at its end, and is shown only if standard error is a terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// For work of an unknown length.
    pub(crate) fn count(what: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        Self::styled(bar, &format!("{{spinner}} {{human_pos}} {what} {{per_sec}} {{msg}}"))
    }

    /// For work of a known length.
    pub(crate) fn bar(what: &str, length: u64) -> Self {
        let bar = ProgressBar::new(length);
        Self::styled(bar, &format!("{what} {{wide_bar}} {{human_pos}}/{{human_len}} {{eta}}"))
    }

    /// For a verb whose items a terminal shows anyway.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    fn styled(bar: ProgressBar, template: &str) -> Self {
        match ProgressStyle::with_template(template) {
            Ok(style) => Self(bar.with_style(style)),
            Err(_) => Self(bar),
        }
    }

    pub(crate) fn add(&self, items: u64) {
        self.0.inc(items);
    }

    pub(crate) fn set(&self, items: u64) {
        self.0.set_position(items);
    }

    pub(crate) fn say(&self, text: String) {
        self.0.set_message(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
