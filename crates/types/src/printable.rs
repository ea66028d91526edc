//! Escaping of untrusted text for logs and terminals.

use std::fmt::{self, Write as _};

/// The default number of characters shown.
const MAX_CHARS: usize = 512;

/// Displays untrusted text on one line, safe for logs and terminals.
///
/// Control characters (including line breaks and escape sequences), bidirectional controls and
/// invisible characters are written as escapes (`\n`, `\u{1b}`). At most 512 characters are shown,
/// see [`clipped`](Self::clipped).
///
/// Use it for every field of a log event with text from outside of this process.
///
/// ```
/// use carryall_types::Printable;
///
/// let forged = "not found\n2026-01-01 INFO all is well \u{1b}[32m";
/// assert_eq!(Printable(forged).to_string(), r"not found\n2026-01-01 INFO all is well \u{1b}[32m");
/// assert_eq!(Printable("far too long").clipped(3).to_string(), "far… (12 bytes)");
/// ```
#[derive(Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl<'a> Printable<'a> {
    /// Limits the text to `chars` characters instead of 512.
    #[must_use]
    pub fn clipped(self, chars: usize) -> Clipped<'a> {
        Clipped {
            text: self.0,
            chars,
        }
    }
}

/// A [`Printable`] with another maximum length.
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
            write_escaped(f, c)?;
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

/// [`Printable`] for a value that is not text, such as the error of a library, through its
/// `Display` or `Debug` implementation. Formatting stops at 512 characters.
///
/// ```
/// use carryall_types::PrintableFmt;
///
/// let error = std::io::Error::other("no\nthing");
/// assert_eq!(PrintableFmt(&error).to_string(), r"no\nthing");
/// assert_eq!(format!("{:?}", PrintableFmt(vec!["\u{1b}"])), r#"["\u{1b}"]"#);
/// ```
#[derive(Clone, Copy)]
pub struct PrintableFmt<T>(pub T);

impl<T: fmt::Display> fmt::Display for PrintableFmt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all_escaped(f, format_args!("{}", self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for PrintableFmt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all_escaped(f, format_args!("{:?}", self.0))
    }
}

fn write_all_escaped(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    let mut writer = EscapingWriter {
        f,
        remaining: MAX_CHARS,
        is_clipped: false,
    };
    match writer.write_fmt(text) {
        Err(_) if writer.is_clipped => f.write_char('…'),
        result => result,
    }
}

/// Escapes what is written, and fails after `remaining` characters.
struct EscapingWriter<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    remaining: usize,
    is_clipped: bool,
}

impl fmt::Write for EscapingWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.is_clipped = self.remaining == 0;
            self.remaining = self.remaining.checked_sub(1).ok_or(fmt::Error)?;
            write_escaped(self.f, c)?;
        }
        Ok(())
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        _ if is_printable(c) => f.write_char(c),
        '\n' | '\r' | '\t' => write!(f, "{}", c.escape_default()),
        _ => write!(f, "{}", c.escape_unicode()),
    }
}

/// Returns whether a character is visible and has no effect on other text. `false` for control
/// characters, line and paragraph separators, bidirectional controls, zero-width and other
/// invisible characters, tags, and variation selectors beyond the sixteen that emoji use.
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
    fn control_and_invisible_characters_are_escaped() {
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
    fn formatted_values_are_escaped_and_clipped() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("\n\u{202e}abc")?;
                }
            }
        }
        let shown = PrintableFmt(Endless).to_string();
        assert!(
            shown.starts_with("\\n\\u{202e}abc") && shown.ends_with('…') && shown.len() < 2000,
            "{shown}"
        );
        assert_eq!(
            PrintableFmt("x".repeat(MAX_CHARS)).to_string(),
            "x".repeat(MAX_CHARS)
        );
        assert_eq!(
            PrintableFmt("x".repeat(MAX_CHARS + 1)).to_string(),
            "x".repeat(MAX_CHARS) + "…"
        );
    }

    #[test]
    fn long_text_is_clipped() {
        let long = "x".repeat(4_000_000);
        let shown = Printable(&long).to_string();
        assert!(shown.len() < 600, "{}", shown.len());
        assert!(shown.ends_with("… (4000000 bytes)"));
    }
}
