//! Texts in quotes, patterns, globs and code.

use super::Dump;
use crate::{Error, Value};

impl Dump<'_> {
    pub(super) fn quoted(&mut self) -> Result<String, Error> {
        let at = self.input.offset();
        let quote = self.input.byte()?;
        if !matches!(quote, b'\'' | b'"') {
            return Err(self.malformed(at, "text expected"));
        }
        let mut text = String::new();
        loop {
            let here = self.input.offset();
            match self.input.byte()? {
                byte if byte == quote => break,
                b'\\' if quote == b'\'' => match self.input.peek() {
                    Some(byte @ (b'\\' | b'\'')) => {
                        self.input.byte()?;
                        text.push(char::from(byte));
                    }
                    _ => text.push('\\'),
                },
                b'\\' => text.push(self.escape(here)?),
                // A variable would be filled in here: Data::Dumper always escapes these.
                b'$' | b'@' if quote == b'"' => return Err(self.malformed(here, "variable in a text")),
                byte => text.push(char::from(byte)),
            }
        }
        self.input.grow(text.len())?;
        Ok(text)
    }

    /// An escape between double quotes.
    fn escape(&mut self, at: usize) -> Result<char, Error> {
        let byte = self.input.byte()?;
        Ok(match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'f' => '\x0c',
            b'b' => '\x08',
            b'a' => '\x07',
            b'e' => '\x1b',
            b'0'..=b'7' => {
                let mut number = u32::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = self.input.peek() else { break };
                    self.input.byte()?;
                    number = number * 8 + u32::from(digit - b'0');
                }
                char::from_u32(number).ok_or_else(|| self.malformed(at, "character"))?
            }
            b'x' => {
                let braced = self.input.peek() == Some(b'{');
                if braced {
                    self.input.byte()?;
                }
                let mut number = 0_u32;
                let mut digits = 0;
                while let Some(byte) = self.input.peek() {
                    let Some(digit) = char::from(byte).to_digit(16) else { break };
                    if digits == 8 || (!braced && digits == 2) {
                        break;
                    }
                    self.input.byte()?;
                    digits += 1;
                    number = number << 4 | digit;
                }
                if braced {
                    self.expect(b"}")?;
                }
                // A lone surrogate has no place in our text.
                char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            byte if byte.is_ascii_alphanumeric() => return Err(self.malformed(at, "unknown escape")),
            byte => char::from(byte),
        })
    }

    /// `qr/PATTERN/FLAGS`
    pub(super) fn regex(&mut self) -> Result<Value, Error> {
        self.expect(b"/")?;
        let mut pattern = String::new();
        loop {
            match self.input.byte()? {
                b'/' => break,
                b'\\' => match self.input.byte()? {
                    b'/' => pattern.push('/'),
                    byte => {
                        pattern.push('\\');
                        pattern.push(char::from(byte));
                    }
                },
                b'$' if self.input.rest().starts_with(br"{\q($)}") => {
                    self.expect(br"{\q($)}")?;
                    pattern.push('$');
                }
                byte => pattern.push(char::from(byte)),
            }
        }
        self.input.grow(pattern.len())?;
        let mut flags = String::new();
        while let Some(byte) = self.input.peek() {
            if !byte.is_ascii_lowercase() {
                break;
            }
            self.input.byte()?;
            flags.push(char::from(byte));
        }
        Ok(Value::Regex { pattern: pattern.into(), flags: flags.into() })
    }

    /// The body of a code reference, which is skipped: braces within quotes do not count.
    pub(super) fn block(&mut self) -> Result<(), Error> {
        self.expect(b"{")?;
        let mut open = 1_usize;
        while open > 0 {
            match self.input.peek() {
                Some(b'\'' | b'"') => {
                    let quote = self.input.byte()?;
                    loop {
                        match self.input.byte()? {
                            b'\\' => {
                                self.input.byte()?;
                            }
                            byte if byte == quote => break,
                            _ => {}
                        }
                    }
                }
                Some(b'{') => {
                    self.input.byte()?;
                    open += 1;
                }
                Some(b'}') => {
                    self.input.byte()?;
                    open -= 1;
                }
                _ => {
                    self.input.byte()?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn glob(&mut self) -> Result<(), Error> {
        self.expect(b"*")?;
        if self.input.peek() == Some(b'{') {
            self.input.byte()?;
            self.quoted()?;
            return self.expect(b"}");
        }
        while let Some(byte) = self.input.peek() {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')) {
                break;
            }
            self.input.byte()?;
        }
        Ok(())
    }
}
