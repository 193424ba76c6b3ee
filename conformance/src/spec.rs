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
    level: &'a str,
    pub(crate) strength: &'a str,
    needs: Vec<&'a str>,
    /// The sentence, without the full stop.
    pub(crate) text: &'a str,
    /// Whether a reason follows it.
    has_reason: bool,
}

/// The clauses in the text of SPEC.md.
pub(crate) fn parse(markdown: &str) -> Vec<Written<'_>> {
    let mut level = "";
    let mut clauses: Vec<Written<'_>> = Vec::new();
    for line in markdown.lines() {
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() {
            let word = heading.trim().strip_prefix("Level ").unwrap_or("");
            level = word.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
        } else if let Some(written) = line.strip_prefix("- **").and_then(|rest| item(rest, level)) {
            clauses.push(written);
        } else if line.starts_with("  ")
            && !line.trim().is_empty()
            && let Some(last) = clauses.last_mut()
        {
            last.has_reason = true;
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
    Some(Written { id, level, strength, needs, text, has_reason: false })
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
        assert!(clauses[0].has_reason && !clauses[1].has_reason);
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
            assert!(["MUST", "SHOULD"].contains(&one.strength) && one.has_reason, "{one:?}");
        }
    }
}
