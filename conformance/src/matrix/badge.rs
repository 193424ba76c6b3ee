//! Which levels a driver passes, as a badge for its README.

use serde_json::json;

use super::{Column, Verdict};
use crate::level::Level;
use crate::spec;

/// A badge: a picture, or the answer of an endpoint for a service that draws badges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    /// The left half: the specification and its version.
    pub label: String,
    /// The right half: the passed levels.
    pub message: String,
    /// The colour of the right half, by its CSS name.
    pub color: &'static str,
}

impl Column {
    /// The levels that the driver passes. A level is passed if at least one of its clauses passes and each other one
    /// passes or does not apply. A level of which this build has only a part is followed by the number of its clauses,
    /// such as `session (12 of 141)`.
    #[must_use]
    pub fn passed_levels(&self) -> Vec<String> {
        Level::ALL.iter().filter(|level| self.passes(**level)).map(|level| self.named(*level)).collect()
    }

    /// The badge of the driver.
    #[must_use]
    pub fn badge(&self, spec: &str) -> Badge {
        let passed = self.passed_levels();
        let failed = self.red().next().is_some();
        let known = self.clauses.iter().any(|cell| cell.verdict == Verdict::Known);
        Badge {
            label: format!("session-conformance {spec}"),
            message: if passed.is_empty() { "no level".to_owned() } else { passed.join(", ") },
            color: match (failed || passed.is_empty(), known) {
                (true, _) => "firebrick",
                (false, true) => "darkgoldenrod",
                (false, false) => "green",
            },
        }
    }

    fn passes(&self, level: Level) -> bool {
        let mut verdicts = self.clauses.iter().filter(|cell| cell.level == level.as_str());
        let good = |verdict| matches!(verdict, Verdict::Pass | Verdict::NotApplicable);
        verdicts.clone().any(|cell| cell.verdict == Verdict::Pass) && verdicts.all(|cell| good(cell.verdict))
    }

    fn named(&self, level: Level) -> String {
        let here = self.clauses.iter().filter(|cell| cell.level == level.as_str()).count();
        let all = spec::parse(spec::PAGE).iter().filter(|clause| clause.level == level.as_str()).count();
        if here == all { level.to_string() } else { format!("{level} ({here} of {all})") }
    }
}

impl Badge {
    /// The badge as a picture, without a reference to another file.
    #[must_use]
    pub fn svg(&self) -> String {
        let (left, right) = (width(&self.label), width(&self.message));
        let (all, middle) = (left + right, left + right / 2);
        let (label, message) = (escaped(&self.label), escaped(&self.message));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all}\" height=\"20\" role=\"img\" \
             aria-label=\"{label}: {message}\"><title>{label}: {message}</title>\
             <rect width=\"{left}\" height=\"20\" fill=\"#444\"/>\
             <rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{}\"/>\
             <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\
             <text x=\"{}\" y=\"14\">{label}</text><text x=\"{middle}\" y=\"14\">{message}</text></g></svg>\n",
            self.color,
            left / 2,
        )
    }

    /// The badge in the JSON form of shields.io's endpoint, version 1.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let badge = json!({
            "schemaVersion": 1,
            "label": self.label,
            "message": self.message,
            "color": self.color,
            "isError": self.color == "firebrick",
        });
        format!("{badge}\n")
    }
}

/// About how wide a text is in pixels, with room on both sides.
fn width(text: &str) -> usize {
    text.chars().count() * 7 + 10
}

/// The text for HTML and XML.
pub(super) fn escaped(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            other => all.push(other),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::{Matrix, declare, leave};
    use super::*;
    use crate::level::Requirement;
    use crate::table::CLAUSES;

    /// A driver without files, whose clauses at `failing` fail.
    fn driver(failing: &[&str]) -> Column {
        let dir = tempfile::tempdir().unwrap();
        declare(
            dir.path(),
            "one",
            "1.2.3",
            &[(Requirement::Kill, "a <memory>"), (Requirement::Close, "none")],
        );
        for clause in CLAUSES.iter() {
            let verdict = if failing.contains(&clause.id) { Verdict::Fail } else { Verdict::Pass };
            leave(dir.path(), "one", "1.2.3", clause.id, verdict, "");
        }
        Matrix::read(dir.path(), &[]).unwrap().drivers.remove(0)
    }

    #[test]
    fn badge_names_the_passed_levels_only() {
        let good = driver(&[]).badge("0.1.0");
        assert!(good.message.starts_with("basic, traverse, expiry, concurrent, shared, durable, faults"));
        assert_eq!((good.label.as_str(), good.color), ("session-conformance 0.1.0", "green"));
        let bad = driver(&["B02", "E05"]).badge("0.1.0");
        assert!(bad.message.starts_with("traverse, concurrent, shared"), "{bad:?}");
        assert_eq!(bad.color, "firebrick");
        let json: serde_json::Value = serde_json::from_str(&bad.endpoint()).unwrap();
        assert_eq!((&json["schemaVersion"], &json["isError"]), (&1.into(), &true.into()));
        assert!(good.svg().starts_with("<svg ") && good.svg().contains(">basic, traverse, "));
    }

    #[test]
    fn level_where_nothing_applies_is_not_passed() {
        let mut column = driver(&[]);
        for cell in column.clauses.iter_mut().filter(|cell| cell.level == "durable") {
            cell.verdict = Verdict::NotApplicable;
        }
        assert!(!column.badge("0").message.contains("durable"));
        for cell in &mut column.clauses {
            cell.verdict = Verdict::NotRun;
        }
        let badge = column.badge("0");
        assert_eq!((badge.message.as_str(), badge.color), ("no level", "firebrick"));
    }

    #[test]
    fn part_of_a_level_is_named_as_a_part() {
        let mut column = driver(&[]);
        column.clauses.retain(|cell| cell.level != "traverse" || cell.id == "T01");
        let levels = column.passed_levels();
        assert!(levels.contains(&"traverse (1 of 17)".to_owned()), "{levels:?}");
    }

    #[test]
    fn text_of_others_stays_text() {
        assert_eq!(escaped("a <b> & \"c\""), "a &lt;b&gt; &amp; &quot;c&quot;");
    }
}
