//! Paths of stores.

use std::path::Path;

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

/// What begins the URL of a store, in this project and in other software for the same engines.
const SCHEMES: &[&str] = &["file", "sqlite", "sqlite3", "jdbc", "memory", "mmap", "sled", "http", "https"];

/// Refuses a path that is missing or looks like a URL. For drivers whose store is a file or a directory; call it before
/// the driver creates anything.
///
/// `file:sessions.db?mode=memory` is a URI of SQLite, and `sqlite:///var/lib/app/sessions.db` a URL of session-kit. As a
/// path each is a relative one with an odd name, and a driver that creates it hides the mistake. A path with `?` or `#`
/// is accepted where a file or directory with that name exists.
///
/// # Errors
/// `Misconfigured`, with what is right instead. The text does not show the path, because a URL may hold a password.
pub fn check_path(path: &Path) -> Result<()> {
    let text = path.to_string_lossy();
    let refuse = |detail: String| {
        Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(detail))
    };
    // One letter is a drive of Windows.
    let is_scheme = |text: &str| text.len() > 1 && is_url_scheme(text);
    if text.is_empty() {
        return refuse("path is empty".into());
    }
    if text == ":memory:" {
        return refuse(
            "path is `:memory:`, as for a database of SQLite in memory; use a store in memory".into(),
        );
    }
    if let Some((scheme, rest)) = text.split_once(':')
        && ((is_scheme(scheme) && rest.starts_with("//"))
            || SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)))
    {
        return refuse(format!(
            "path begins with `{scheme}:`, as a URL does; give the path alone, such as `/var/lib/app/sessions`, or \
             open a store URL with `session_kit::open`"
        ));
    }
    if text.contains(['?', '#']) && std::fs::symlink_metadata(path).is_err() {
        return refuse(
            "path contains `?` or `#`, as a URL does; give the path alone and the options beside it, or create the path \
             first if this is its name"
                .into(),
        );
    }
    Ok(())
}

/// Whether the text can be the scheme of a URL (RFC 3986, section 3.1). For code that reads or refuses the URL of a store.
#[must_use]
pub fn is_url_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ['+', '-', '.'].contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_no_paths() {
        for (path, word) in [
            ("", "empty"),
            (":memory:", "in memory"),
            ("file:sessions.db?mode=memory", "begins with `"),
            ("file:/var/lib/sessions.db", "begins with `"),
            ("FILE:sessions.db", "begins with `"),
            ("sqlite:sessions.db", "begins with `"),
            ("sqlite:///var/lib/sessions.db?durability=power", "begins with `"),
            ("postgres://host/name", "begins with `"),
            ("redis+unix:///run/redis.sock", "begins with `"),
            ("redis-cluster://host,host", "begins with `"),
            ("s3.eu-1+v2://bucket", "begins with `"),
            ("sessions.db?mode=memory", "contains `?`"),
            ("/var/lib/sessions.db#1", "contains `?`"),
            ("missing?/sessions.db", "contains `?`"),
        ] {
            let error = check_path(Path::new(path)).unwrap_err();
            assert_eq!((error.kind(), error.operation()), (StoreErrorKind::Misconfigured, Operation::Open));
            assert!(error.to_string().contains(word), "{path}: {error}");
            assert!(!error.to_string().contains("db"), "{error}");
        }
        for path in
            ["sessions.db", "./file:name", "/a:b/c", "C:\\sessions", "C://x", "a/b://c", "-a://b", "file"]
        {
            check_path(Path::new(path)).unwrap();
        }
        let odd = std::env::temp_dir().join(format!("session-core-#{}?", std::process::id()));
        assert!(check_path(&odd).is_err());
        std::fs::write(&odd, "").unwrap();
        let accepted = check_path(&odd);
        std::fs::remove_file(&odd).unwrap();
        accepted.unwrap();
    }
}
