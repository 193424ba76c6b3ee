//! The name that a mistyped one was meant to be.

/// The name in `names` that differs from `text` by the fewest letters, if these are few.
pub(crate) fn closest(text: &str, names: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    let distances = names.into_iter().map(|name| (distance(&text, name), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.len() / 2).min(3)).then_some(name)
}

/// How many letters have to be inserted, removed or replaced (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<_> = other.chars().collect();
    let mut row: Vec<_> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *wanted);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

/// `a`, `a or b`, `a, b or c`, each in backquotes.
pub(crate) fn list(names: &[&str], word: &str) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {word} {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changed_letters() {
        for (one, other, expected) in
            [("", "", 0), ("abc", "abc", 0), ("", "abc", 3), ("sqlight", "sqlite", 3), ("rediss", "redis", 1)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn only_a_close_name_is_suggested() {
        let names = ["durability", "create", "max_bytes"];
        assert_eq!(closest("durabilty", names), Some("durability"));
        assert_eq!(closest("Create", names), Some("create"));
        assert_eq!(closest("threads", names), None);
        assert_eq!(closest("x", []), None);
    }
}
