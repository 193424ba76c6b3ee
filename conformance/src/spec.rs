//! The clauses as SPEC.md has them: the only place of their sentences.
//!
//! A clause is under a heading `### Level <level>` as a list item whose first line is
//! `- **B02** MUST [Requirement, Requirement] The sentence.`, without the brackets if it has no requirements. The lines below
//! it give its reason.

/// The page at the root of the repository, through a symbolic link, so that the package contains it.
pub(crate) const PAGE: &str = include_str!("../SPEC.md");

/// A clause on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written<'a> {
    pub(crate) id: &'a str,
    pub(crate) level: &'a str,
    pub(crate) strength: &'a str,
    needs: Vec<&'a str>,
    /// The sentence, without the full stop.
    pub(crate) text: &'a str,
    /// The lines of its reason, as they are on the page.
    pub(crate) reason: &'a str,
}

/// The clauses in the text of SPEC.md.
pub(crate) fn parse(markdown: &str) -> Vec<Written<'_>> {
    let mut level = "";
    let mut clauses: Vec<Written<'_>> = Vec::new();
    let (mut end, mut reason_from, mut in_clause) = (0, 0, false);
    for line in markdown.split_inclusive('\n') {
        end += line.len();
        let line = line.trim_end_matches('\n');
        let indented = line.starts_with("  ") && !line.trim().is_empty();
        in_clause &= indented;
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() {
            let word = heading.trim().strip_prefix("Level ").unwrap_or("");
            level = word.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
        } else if let Some(written) = line.strip_prefix("- **").and_then(|rest| item(rest, level)) {
            clauses.push(written);
            (reason_from, in_clause) = (end, true);
        } else if in_clause && let Some(last) = clauses.last_mut() {
            last.reason = markdown.get(reason_from..end).expect("both are ends of lines");
        }
    }
    clauses
}

fn item<'a>(rest: &'a str, level: &'a str) -> Option<Written<'a>> {
    let (id, rest) = rest.split_once("** ")?;
    let (strength, rest) = rest.split_once(' ')?;
    let (needs, text) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once("] ")?,
        None => ("", rest),
    };
    let needs = needs.split(", ").filter(|need| !need.is_empty()).collect();
    let text = text.trim_end().strip_suffix('.').unwrap_or(text);
    Some(Written { id, level, strength, needs, text, reason: "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::CLAUSES;

    #[test]
    fn clause_is_parsed_from_markdown() {
        let text =
            "## Level traverse\n- **T99** SHOULD [Traverse, Purge] It does.\n  Why.\n- **T98** MUST It is.\n";
        let clauses = parse(text);
        assert_eq!(clauses.len(), 2);
        assert_eq!(clauses[0].level, "traverse");
        assert_eq!(clauses[0].needs, ["Traverse", "Purge"]);
        assert_eq!(clauses[0].text, "It does");
        assert_eq!((clauses[0].reason.trim(), clauses[1].reason), ("Why.", ""));
        assert_eq!((clauses[1].strength, clauses[1].needs.len()), ("MUST", 0));
    }

    #[test]
    fn page_has_each_row_once_and_in_order() {
        let written = parse(PAGE);
        let ids: Vec<_> = written.iter().map(|one| one.id).collect();
        assert_eq!(ids, CLAUSES.iter().map(|clause| clause.id).collect::<Vec<_>>());
        for (one, clause) in written.iter().zip(CLAUSES.iter()) {
            assert_eq!(one.level, clause.level.as_str(), "{clause:?}");
            assert_eq!(
                one.needs,
                clause.needs.iter().map(|need| need.as_str()).collect::<Vec<_>>(),
                "{clause:?}"
            );
            assert!(["MUST", "SHOULD"].contains(&one.strength) && !one.reason.trim().is_empty(), "{one:?}");
        }
    }
}
