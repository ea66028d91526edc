//! Foreign text on its way into a log or onto a terminal.

use std::fmt::{self, Write as _};

/// The longest text that is shown, in characters, unless another length is set.
const MAX_CHARS: usize = 512;

/// Displays text that somebody else chose, on one line, clipped, and without anything that a terminal or the reader of a
/// log would take for something else: control characters (line breaks and escape sequences among them), characters that
/// turn the direction of reading, and invisible ones are written as escapes (`\n`, `\u{1b}`).
///
/// Use it for every field of a log event that holds text from outside of this process.
///
/// ```
/// use carryall_proto::Printable;
///
/// let forged = "not found\n2026-01-01 INFO all is well \u{1b}[32m";
/// assert_eq!(Printable(forged).to_string(), r"not found\n2026-01-01 INFO all is well \u{1b}[32m");
/// assert_eq!(Printable("far too long").clipped(3).to_string(), "far… (12 bytes)");
/// ```
#[derive(Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl<'a> Printable<'a> {
    /// As it is, but with at most `chars` characters of the text instead of 512.
    #[must_use]
    pub fn clipped(self, chars: usize) -> Clipped<'a> {
        Clipped { text: self.0, chars }
    }
}

/// A [`Printable`] with a length of its own.
#[derive(Clone, Copy)]
pub struct Clipped<'a> {
    text: &'a str,
    chars: usize,
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clipped(MAX_CHARS).fmt(f)
    }
}

impl fmt::Debug for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Clipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.text.chars();
        for c in chars.by_ref().take(self.chars) {
            match c {
                _ if is_printable(c) => f.write_char(c)?,
                '\n' | '\r' | '\t' => write!(f, "{}", c.escape_default())?,
                _ => write!(f, "{}", c.escape_unicode())?,
            }
        }
        if chars.next().is_some() {
            write!(f, "… ({} bytes)", self.text.len())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Clipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a character is visible and does nothing but stand where it is. False for control characters, line and
/// paragraph separators, bidirectional controls, zero-width and other invisible characters, tags and variation selectors
/// beyond the sixteen that emoji use.
#[must_use]
pub fn is_printable(c: char) -> bool {
    !(c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_or_nobody_sees_is_escaped() {
        for (text, shown) in [
            ("plain – ünïcode 👍🏽", "plain – ünïcode 👍🏽"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("admin\u{202e}nimda", "admin\\u{202e}nimda"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("\u{e0041}\u{e0042}", "\\u{e0041}\\u{e0042}"),
            ("a\u{2028}b", "a\\u{2028}b"),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
            assert_eq!(format!("{:?}", Printable(text)), shown);
        }
    }

    #[test]
    fn long_text_is_clipped() {
        let long = "x".repeat(4_000_000);
        let shown = Printable(&long).to_string();
        assert!(shown.len() < 600, "{}", shown.len());
        assert!(shown.ends_with("… (4000000 bytes)"));
    }
}
