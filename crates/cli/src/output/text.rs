//! Makes text of servers safe to show on a terminal.
//!
//! Such text is untrusted: escape sequences could recolour, overwrite or forge what is on the
//! screen, bidirectional controls could change how text reads, and invisible characters could hide
//! instructions for a model from the user. All of them are written as escapes, which shows that
//! they are there.

use carryall::proto::is_printable;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes control and invisible characters (`\u{1b}`), except line breaks and tabs.
pub(crate) fn sanitize(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if is_plain(c) => out.push(c),
            // CRLF line ends become LF.
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => out.push_str("\\r"),
            _ => {
                let _ = write!(out, "{}", c.escape_unicode());
            }
        }
    }
    Cow::Owned(out)
}

/// Sanitizes text and puts it on one line: every run of white space becomes one space.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in sanitize(text).split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Like [`one_line`], clipped to `chars` characters and `…`. Takes time independent of the length
/// of the text, so it is safe for text that is laid out or drawn repeatedly.
pub(crate) fn clipped_line(text: &str, chars: usize) -> String {
    // White space between words does not count towards the limit.
    let mut words = text.split_whitespace();
    // One more character than fits, and the space before it.
    let (mut rough, mut left) = (String::new(), chars + 2);
    while left > 0
        && let Some(word) = words.next()
    {
        if !rough.is_empty() {
            rough.push(' ');
            left -= 1;
        }
        for c in word.chars().take(left) {
            rough.push(c);
            left -= 1;
        }
    }
    clip(&one_line(&rough), chars).into_owned()
}

/// Clips text to `chars` characters and `…`.
pub(crate) fn clip(text: &str, chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars) {
        Some((end, _)) => Cow::Owned(format!("{}…", text[..end].trim_end())),
        None => Cow::Borrowed(text),
    }
}

/// Escapes control and invisible characters in JSON text, where they can only occur in strings. The
/// result means the same JSON.
pub(crate) fn escape_json(json: &str) -> Cow<'_, str> {
    if json.chars().all(|c| c == '\n' || is_printable(c)) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if c == '\n' || is_printable(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

/// Whether [`sanitize`] leaves the character as it is.
fn is_plain(c: char) -> bool {
    matches!(c, '\n' | '\t') || is_printable(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_unchanged() {
        for text in ["", "häß 日本 🎒", "a\tb\nc"] {
            assert!(matches!(sanitize(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn control_and_invisible_characters_are_escaped() {
        let cases = [
            ("\x1b[31mred\x1b[0m", r"\u{1b}[31mred\u{1b}[0m"),
            ("\x1b]0;title\x07after", r"\u{1b}]0;title\u{7}after"),
            ("\u{9b}2Jgone", r"\u{9b}2Jgone"),
            ("a\rb\x08c\x00d\x7f", r"a\rb\u{8}c\u{0}d\u{7f}"),
            ("two\r\nlines", "two\nlines"),
            ("abc\u{202e}fed\u{2066}", r"abc\u{202e}fed\u{2066}"),
            ("safe\u{e0069}\u{e0067}", r"safe\u{e0069}\u{e0067}"),
            ("zero\u{200b}width\u{feff}", r"zero\u{200b}width\u{feff}"),
            ("\u{2028}", r"\u{2028}"),
        ];
        for (dirty, shown) in cases {
            assert_eq!(sanitize(dirty), shown, "{dirty:?}");
            assert_eq!(
                sanitize(&sanitize(dirty)),
                shown,
                "sanitizing is idempotent"
            );
        }
    }

    #[test]
    fn sanitized_text_is_plain_for_every_combination() {
        let alphabet = [
            '\x1b',
            '[',
            '\u{9b}',
            '\x07',
            '\\',
            '\u{e0041}',
            '\r',
            '\n',
            'é',
            '\u{202e}',
            '\u{200b}',
        ];
        for a in alphabet {
            for b in alphabet {
                for c in alphabet {
                    let text: String = [a, b, c].iter().collect();
                    let sanitized = sanitize(&text).into_owned();
                    assert!(sanitized.chars().all(is_plain), "{text:?} -> {sanitized:?}");
                }
            }
        }
    }

    #[test]
    fn white_space_collapses_to_one_line() {
        assert_eq!(one_line("  a\n\n b\x1b[2K\tc "), r"a b\u{1b}[2K c");
    }

    #[test]
    fn long_lines_are_clipped() {
        assert_eq!(clipped_line("  short \n line ", 20), "short line");
        assert_eq!(clipped_line("häßlich", 3), "häß…");
        assert_eq!(clipped_line("one two", 3), "one…");
        assert_eq!(clipped_line("a\u{200b}b", 20), r"a\u{200b}b");
        assert_eq!(clipped_line(&format!("{}x", " ".repeat(1000)), 5), "x");
        let clipped = clipped_line(&"word ".repeat(1_000_000), 100);
        assert!(
            clipped.chars().count() <= 101 && clipped.ends_with('…'),
            "{clipped}"
        );
    }

    #[test]
    fn escaped_json_means_the_same() {
        let original = "a\u{9b}31m\u{202e}b\u{7f}\u{1b}\u{e0041}\u{200b}";
        let text = serde_json::to_string(original).unwrap();
        let escaped = escape_json(&text);
        assert!(escaped.is_ascii(), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), original);
    }
}
