//! Whether SPEC.md and the table agree.
//!
//! In SPEC.md a clause is under a heading `### Level <level>` as a list item whose first line is
//! `- **B02** MUST [Requirement, Requirement] The sentence.`, without the brackets if it has no requirements. The lines below
//! it give its reason.

use crate::table::CLAUSES;

/// A clause as SPEC.md has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its id.
    pub id: String,
    /// The level of its section.
    pub level: String,
    /// MUST or SHOULD.
    pub strength: String,
    /// Its requirements, in order.
    pub needs: Vec<String>,
    /// The sentence, without the full stop.
    pub text: String,
    /// Whether a reason follows it.
    pub has_reason: bool,
}

/// The clauses in the text of SPEC.md.
#[must_use]
pub fn parse(markdown: &str) -> Vec<Written> {
    let mut level = String::new();
    let mut clauses: Vec<Written> = Vec::new();
    for line in markdown.lines() {
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() {
            let word = heading.trim().strip_prefix("Level ").unwrap_or("");
            level = word.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("").to_owned();
        } else if let Some(written) = line.strip_prefix("- **").and_then(|rest| item(rest, &level)) {
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

fn item(rest: &str, level: &str) -> Option<Written> {
    let (id, rest) = rest.split_once("** ")?;
    let (strength, rest) = rest.split_once(' ')?;
    let (needs, text) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once("] ")?,
        None => ("", rest),
    };
    Some(Written {
        id: id.to_owned(),
        level: level.to_owned(),
        strength: strength.to_owned(),
        needs: needs.split(", ").filter(|need| !need.is_empty()).map(str::to_owned).collect(),
        text: text.trim_end().strip_suffix('.').unwrap_or(text).to_owned(),
        has_reason: false,
    })
}

/// The differences between SPEC.md and the table, one line each; empty if they agree.
#[must_use]
pub fn differences(markdown: &str) -> Vec<String> {
    let written = parse(markdown);
    let mut found = Vec::new();
    for clause in CLAUSES.iter() {
        let expected = Written {
            id: clause.id.to_owned(),
            level: clause.level.to_string(),
            strength: clause.strength().to_owned(),
            needs: clause.needs.iter().map(ToString::to_string).collect(),
            text: clause.text.to_owned(),
            has_reason: true,
        };
        match written.iter().filter(|one| one.id == clause.id).collect::<Vec<_>>()[..] {
            [] => found.push(format!("{}: add it to SPEC.md", clause.id)),
            [one] if *one != expected => {
                found.push(format!("{}: SPEC.md has {one:?}, the table {expected:?}", clause.id));
            }
            [_] => {}
            _ => found.push(format!("{}: twice in SPEC.md", clause.id)),
        }
    }
    for one in &written {
        if crate::table::clause(&one.id).is_none() {
            found.push(format!("{}: in SPEC.md, but not in the table: remove it, or add its row", one.id));
        }
    }
    let order = |id: &str| CLAUSES.iter().position(|clause| clause.id == id);
    if !written.iter().filter_map(|one| order(&one.id)).is_sorted() {
        found.push("SPEC.md has the clauses in another order than the table".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!((clauses[1].strength.as_str(), clauses[1].needs.len()), ("MUST", 0));
    }

    #[test]
    fn differences_are_reported() {
        let found = differences("### Level basic\n- **B02** MUST Something else.\n- **X01** MUST No such.\n");
        assert!(found.iter().any(|line| line.starts_with("B02: SPEC.md has")));
        assert!(found.iter().any(|line| line.starts_with("B03: add it to SPEC.md")));
        assert!(found.iter().any(|line| line.starts_with("X01: in SPEC.md")));
    }
}
