//! Scalars, keys and marks: what stands on one line.

use crate::{Error, ErrorKind, Value};

/// The letters that may stand between marks. Other spaces of Unicode are text.
pub(super) const SPACE: [char; 2] = [' ', '\t'];

/// A text without spaces around it.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(SPACE)
}

/// Anchor, alias and tag before a node.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) anchor: Option<String>,
    pub(super) alias: Option<String>,
    pub(super) tag: Option<String>,
}

impl Marks {
    pub(super) fn read(text: &str, at: usize) -> Result<(Self, &str), Error> {
        let mut marks = Self::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next().filter(|first| matches!(first, '&' | '*' | '!')) {
            let end = match first {
                '!' => rest.find(SPACE),
                _ => rest[1..].find([' ', ',', ':', ']', '}']).map(|end| end + 1),
            }
            .unwrap_or(rest.len());
            let name = rest[1..end].to_owned();
            match first {
                '&' => marks.anchor = Some(name),
                '*' => marks.alias = Some(name),
                _ => marks.tag = Some(name),
            }
            if end == 1 && first != '!' {
                return Err(malformed(at, "name of an anchor"));
            }
            rest = rest[end..].trim_start_matches(SPACE);
        }
        Ok((marks, rest))
    }
}

pub(super) struct Inline<'t> {
    pub(super) text: &'t str,
    pub(super) rest: &'t str,
    pub(super) at: usize,
}

impl Inline<'_> {
    pub(super) fn offset(&self) -> usize {
        self.at + (self.text.len() - self.rest.len())
    }

    pub(super) fn space(&mut self) {
        self.rest = self.rest.trim_start_matches(SPACE);
    }

    pub(super) fn take(&mut self, letter: char) -> bool {
        match self.rest.strip_prefix(letter) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

pub(super) fn is_item(content: &str) -> bool {
    content == "-" || content.starts_with("- ")
}

pub(super) fn is_long_key(content: &str) -> bool {
    content == "?" || content.starts_with("? ")
}

/// The key of a line and what follows its colon.
pub(super) fn find_key(content: &str, at: usize) -> Result<Option<(String, &str)>, Error> {
    if content.starts_with(['"', '\'']) {
        let (key, rest) = quoted(content, at)?;
        let Some(rest) = rest.trim_start_matches(SPACE).strip_prefix(':') else { return Ok(None) };
        if !rest.is_empty() && !rest.starts_with(' ') {
            return Ok(None);
        }
        return Ok(Some((key, comment(rest.trim_start_matches(SPACE)))));
    }
    let mut colons = content.match_indices(':');
    let Some((colon, _)) = colons.find(|&(index, _)| {
        let rest = &content[index + 1..];
        rest.is_empty() || rest.starts_with(' ')
    }) else {
        return Ok(None);
    };
    let key = content[..colon].trim_end_matches(SPACE);
    Ok(Some((key.to_owned(), comment(content[colon + 1..].trim_start_matches(SPACE)))))
}

/// Nothing where only a comment follows.
pub(super) fn comment(rest: &str) -> &str {
    if rest.starts_with('#') { "" } else { rest.trim_end_matches(SPACE) }
}

/// A scalar without quotes: text, or `undef` for `~`.
pub(super) fn plain(text: &str, at: usize, tagged: bool) -> Result<Value, Error> {
    if tagged {
        return Ok(Value::Text(text.into()));
    }
    let mut end = text.len();
    for (index, _) in text.match_indices('#') {
        if text[..index].ends_with(SPACE) {
            end = index;
            break;
        }
    }
    let text = text[..end].trim_end_matches(SPACE);
    match text {
        "~" => Ok(Value::Null),
        _ if text.starts_with(['@', '`']) || text.starts_with("- ") || text.starts_with("? ") => {
            Err(malformed(at, "plain text with a reserved beginning"))
        }
        _ => Ok(Value::Text(text.into())),
    }
}

/// A text in quotes and what follows it.
pub(super) fn quoted(text: &str, at: usize) -> Result<(String, &str), Error> {
    let mut letters = text.char_indices();
    let quote = letters.next().map_or('"', |(_, letter)| letter);
    let mut out = String::new();
    while let Some((index, letter)) = letters.next() {
        if letter == quote {
            let rest = &text[index + letter.len_utf8()..];
            if quote == '\'' && rest.starts_with('\'') {
                letters.next();
                out.push('\'');
                continue;
            }
            return Ok((out, rest));
        }
        if letter != '\\' || quote == '\'' {
            out.push(letter);
            continue;
        }
        let Some((_, escaped)) = letters.next() else { break };
        match escaped {
            '0' | 'z' => out.push('\0'),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            't' => out.push('\t'),
            'n' => out.push('\n'),
            'v' => out.push('\x0b'),
            'f' => out.push('\x0c'),
            'r' => out.push('\r'),
            'e' => out.push('\x1b'),
            'x' => {
                let digits = letters.as_str().get(..2).unwrap_or_default();
                match u8::from_str_radix(digits, 16) {
                    Ok(number) => {
                        out.push(char::from(number));
                        letters.next();
                        letters.next();
                    }
                    Err(_) => return Err(malformed(at + index, "escape of a character")),
                }
            }
            other => out.push(other),
        }
    }
    Err(Error::new(ErrorKind::Truncated, at, "text without its closing quote"))
}

/// A pattern in the form `(?^i:PATTERN)`, `(?i-xsm:PATTERN)` or alone.
pub(super) fn regex(text: &str) -> Value {
    let whole = |text: &str| {
        let inner = text.strip_prefix("(?")?.strip_suffix(')')?;
        let (flags, pattern) = inner.split_once(':')?;
        let flags = flags.strip_prefix('^').unwrap_or(flags);
        let flags = flags.split_once('-').map_or(flags, |(flags, _)| flags);
        flags
            .bytes()
            .all(|byte| byte.is_ascii_lowercase())
            .then(|| Value::Regex { pattern: pattern.into(), flags: flags.into() })
    };
    whole(text).unwrap_or_else(|| Value::Regex { pattern: text.into(), flags: "".into() })
}

pub(super) fn malformed(at: usize, what: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, at, what)
}
