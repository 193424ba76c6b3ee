//! The links of the built pages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

/// The links within the pages of a folder that lead to no file or to no place in a page.
pub(super) fn broken(html: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    collect(html, &mut pages)?;
    if pages.len() < 10 {
        return Err(format!("{} has {} pages", html.display(), pages.len()).into());
    }
    let mut broken = Vec::new();
    for (path, text) in &pages {
        // The page about missing pages has links for any folder.
        if path.ends_with("404.html") {
            continue;
        }
        for link in attributes(text, "href=\"") {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            if file.contains(':') {
                continue;
            }
            let target = if file.is_empty() { path.clone() } else { clean(&path.with_file_name(file)) };
            let there = match pages.get(&target) {
                Some(page) => place.is_empty() || attributes(page, "id=\"").any(|id| id == place),
                None => target.is_file(),
            };
            if !there {
                broken.push(format!("{}: {link}", path.strip_prefix(html).unwrap_or(path).display()));
            }
        }
    }
    Ok(broken)
}

fn collect(folder: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "html") {
            let text = fs::read_to_string(&path)?;
            pages.insert(path, text);
        }
    }
    Ok(())
}

fn attributes<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(name).skip(1).filter_map(|rest| rest.split('"').next())
}

/// The path without `..`.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path {
        match part.to_str() {
            Some("..") => drop(clean.pop()),
            Some(".") => {}
            _ => clean.push(part),
        }
    }
    clean
}
