//! The documents as pages of the book. Their links are right in the repository and on docs.rs, so they are rewritten here.

use std::fs;
use std::path::{Path, PathBuf};

use super::links::clean;
use crate::Result;

/// The documents that SUMMARY.md names, by their paths from the root of the repository.
pub(super) struct Book {
    root: PathBuf,
    summary: String,
    chapters: Vec<PathBuf>,
}

/// Where the chapters are that exist for the book only.
const FOLDER: &str = "book";

impl Book {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut summary = fs::read_to_string(root.join(FOLDER).join("SUMMARY.md"))?;
        for name in crates(root)? {
            // The summary may have it at another place.
            if !summary.contains(&format!("(../{name}/README.md)")) {
                summary.push_str(&format!("- [{name}](../{name}/README.md)\n"));
            }
        }
        let mut chapters = Vec::new();
        rewritten(&summary, |text, target| {
            chapters.push(clean(&Path::new(FOLDER).join(target)));
            format!("[{text}]({target})")
        });
        for chapter in &chapters {
            if !root.join(chapter).is_file() {
                return Err(format!("SUMMARY.md names {}, which is no file", chapter.display()).into());
            }
        }
        Ok(Self { root: root.to_owned(), summary, chapters })
    }

    /// The files of the book's source: SUMMARY.md, the chapters, and the programs that chapters include.
    pub(super) fn pages(&self) -> Result<Vec<(PathBuf, String)>> {
        let summary = rewritten(&self.summary, |text, target| {
            let path = clean(&Path::new(FOLDER).join(target));
            format!("[{text}]({})", renamed(&path.to_string_lossy()))
        });
        let mut pages = vec![(PathBuf::from("SUMMARY.md"), summary)];
        for chapter in &self.chapters {
            let text = fs::read_to_string(self.root.join(chapter))?;
            for included in text.split("{{#include ").skip(1).filter_map(|rest| rest.split("}}").next()) {
                let path = clean(&chapter.with_file_name(included));
                let program = fs::read_to_string(self.root.join(&path));
                let program =
                    program.map_err(|error| format!("{}: {included}: {error}", chapter.display()))?;
                pages.push((path, program));
            }
            pages.push((PathBuf::from(renamed(&chapter.to_string_lossy())), self.page(chapter, &text)));
        }
        Ok(pages)
    }

    fn page(&self, chapter: &Path, text: &str) -> String {
        rewritten(text, |text, target| match self.target(chapter, target) {
            Some(target) => format!("[{text}]({target})"),
            None => text.to_owned(),
        })
    }

    /// The target of a link of `chapter` in the book. `None` if it is no chapter: a source, or an item of rustdoc.
    fn target(&self, chapter: &Path, target: &str) -> Option<String> {
        if target.starts_with('#') || target.starts_with("http") {
            return Some(target.to_owned());
        }
        let (file, place) = target.split_once('#').unwrap_or((target, ""));
        let file = file.trim_end_matches('/');
        let path = clean(&chapter.with_file_name(file));
        let is_chapter = |path: &Path| self.chapters.iter().any(|chapter| chapter == path);
        let file = match (is_chapter(&path), is_chapter(&path.join("README.md"))) {
            (true, _) => renamed(file),
            (false, true) => renamed(&format!("{file}/README.md")),
            (false, false) => return None,
        };
        Some(if place.is_empty() { file } else { format!("{file}#{place}") })
    }
}

/// The published crates, whose folders begin with `session-`, by name.
fn crates(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("session-") && entry.path().join("README.md").is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// mdBook makes index.html of README.md and does not follow that in links.
fn renamed(path: &str) -> String {
    match path.strip_suffix("README.md") {
        Some(folder) => format!("{folder}about.md"),
        None => path.to_owned(),
    }
}

/// The text with each link replaced by what `link` returns for its text and target. Blocks of code stay as they are, and a
/// link to an item of rustdoc without a target becomes its text.
fn rewritten(text: &str, mut link: impl FnMut(&str, &str) -> String) -> String {
    let mut all = String::with_capacity(text.len());
    let mut in_code = false;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code || line.trim_start().starts_with("```") {
            all.push_str(line);
            continue;
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('[') {
            all.push_str(before);
            let Some(end) = end_of_text(after) else {
                all.push('[');
                rest = after;
                continue;
            };
            let (text, after) = (&after[..end], &after[end + 1..]);
            let target = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            match target {
                Some((target, after)) => {
                    all.push_str(&link(text, target));
                    rest = after;
                }
                None if text.starts_with('`') && text.ends_with('`') && text.len() > 1 => {
                    all.push_str(text);
                    rest = after;
                }
                None => {
                    all.push('[');
                    all.push_str(text);
                    all.push(']');
                    rest = after;
                }
            }
        }
        all.push_str(rest);
    }
    all
}

/// The position of the bracket that closes a link's text. Brackets in code do not count.
fn end_of_text(text: &str) -> Option<usize> {
    let (mut depth, mut in_code) = (0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '`' => in_code = !in_code,
            '[' if !in_code => depth += 1,
            ']' if !in_code && depth == 0 => return Some(at),
            ']' if !in_code => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_chapters_and_become_text_elsewhere() {
        let chapters =
            ["README.md", "book/a.md", "kit/README.md", "kit/docs/b.md"].map(PathBuf::from).to_vec();
        let book = Book { root: PathBuf::new(), summary: String::new(), chapters };
        for (text, expected) in [
            ("[a](../README.md#one)", "[a](../about.md#one)"),
            ("[a](../kit) and [b](../kit/docs/b.md)", "[a](../kit/about.md) and [b](../kit/docs/b.md)"),
            ("[`X`](kit::X), [`Y`] and [a](../src/x.rs)", "`X`, `Y` and a"),
            ("[a](#here) [b](https://example.org/)", "[a](#here) [b](https://example.org/)"),
            ("`a[0]` [b] [`c[d]`](x::y)", "`a[0]` [b] `c[d]`"),
            ("```\n[a](../README.md)\n```\n", "```\n[a](../README.md)\n```\n"),
        ] {
            assert_eq!(book.page(Path::new("book/a.md"), text), expected, "{text}");
        }
    }

    #[test]
    fn each_document_of_the_summary_is_a_page() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let pages = Book::read(root).unwrap().pages().unwrap();
        let has = |name: &str| pages.iter().any(|(path, _)| path == Path::new(name));
        for name in ["SUMMARY.md", "about.md", "book/introduction.md", "book/before/src/tower_sessions.rs"] {
            assert!(has(name), "{name}");
        }
        let crates = crates(root).unwrap();
        assert!(crates.len() > 10, "found {crates:?}");
        for name in crates {
            assert!(has(&format!("{name}/about.md")), "no {name}/README.md");
        }
    }
}
