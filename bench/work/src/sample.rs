//! The output of a subject.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::args::Args;

/// The `main` of a subject: reads its [`Args`], and prints the sample as one line of JSON. With the feature `mix`, every
/// program has the clients of [`Work::Mix`](crate::Work::Mix).
///
/// # Errors
/// An argument is not understood, or the subject failed.
#[expect(clippy::print_stdout, reason = "the line is how a subject answers")]
pub fn serve(
    words: impl IntoIterator<Item = String>,
    sample: impl FnOnce(&Args) -> Result<Sample, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let args = Args::read(words)?;
    let sample = match args.work {
        #[cfg(feature = "mix")]
        crate::args::Work::Clients => crate::load::run(&args)?,
        _ => sample(&args)?,
    };
    println!("{sample}");
    Ok(())
}

/// Named figures of one run, printed as one line of JSON.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<(Cow<'static, str>, f64)>);

impl Sample {
    /// An empty sample.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: f64) -> Self {
        self.0.push((name.into(), value));
        self
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

#[cfg(feature = "mix")]
impl std::str::FromStr for Sample {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self, Box<dyn Error>> {
        let figures: std::collections::BTreeMap<String, f64> = serde_json::from_str(text)?;
        Ok(Self(figures.into_iter().map(|(name, value)| (name.into(), value)).collect()))
    }
}
