//! The output of a subject.

use std::fmt;

/// Named figures of one run, printed as one line of JSON.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<(&'static str, f64)>);

impl Sample {
    /// An empty sample.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: f64) -> Self {
        self.0.push((name, value));
        self
    }

    /// Prints the line.
    #[expect(clippy::print_stdout, reason = "the line is how a subject answers")]
    pub fn print(&self) {
        println!("{self}");
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, (name, value)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}\"{name}\":{value}")?;
        }
        f.write_str("}")
    }
}
