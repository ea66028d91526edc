//! Text from servers on its way to a terminal.
//!
//! It is not to be trusted: escape sequences could recolour, overwrite or forge what stands on the
//! screen, bidirectional controls could make text read other than it is, and invisible characters
//! could hide instructions for a model from the person who looks at it. All of them are shown as
//! escapes, so that one sees that they are there.

use carryall::proto::is_printable;
use std::borrow::Cow;
use std::fmt::Write as _;

/// With everything that a terminal would obey or nobody would see written as an escape (`\u{1b}`).
/// Line breaks and tabs stay.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if is_shown(c) => out.push(c),
            // The end of a line on other systems.
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => out.push_str("\\r"),
            _ => {
                let _ = write!(out, "{}", c.escape_unicode());
            }
        }
    }
    Cow::Owned(out)
}

/// As [`clean`], on one line: white space of any length becomes one space.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in clean(text).split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// As [`line`], with at most so many characters: the rest is replaced by `…`. The time it takes
/// does not depend on the length of the text, so it is safe for everything that is laid out or
/// drawn again and again.
pub(crate) fn clipped_line(text: &str, chars: usize) -> String {
    // Leading white space is dropped, and must not use up what is looked at; neither must that
    // between words.
    let mut words = text.split_whitespace();
    // One more than fits, and the space before it.
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
    clip(&line(&rough), chars).into_owned()
}

/// The text itself, or its beginning and `…` if it has more characters than that.
pub(crate) fn clip(text: &str, chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars) {
        Some((end, _)) => Cow::Owned(format!("{}…", text[..end].trim_end())),
        None => Cow::Borrowed(text),
    }
}

/// Escapes in JSON what a terminal might obey or nobody would see: strings are the only place where
/// it can stand. It remains the same JSON.
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

fn is_shown(c: char) -> bool {
    matches!(c, '\n' | '\t') || is_printable(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_passes_untouched() {
        for text in ["", "häß 日本 🎒", "a\tb\nc"] {
            assert!(matches!(clean(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_a_terminal_obeys_or_nobody_sees_is_shown() {
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
            assert_eq!(clean(dirty), shown, "{dirty:?}");
            assert_eq!(
                clean(&clean(dirty)),
                shown,
                "what was cleaned stays as it is"
            );
        }
    }

    #[test]
    fn what_remains_holds_nothing_of_the_kind_whatever_came() {
        // Every short string over an alphabet of troublemakers.
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
                    let cleaned = clean(&text).into_owned();
                    assert!(cleaned.chars().all(is_shown), "{text:?} -> {cleaned:?}");
                }
            }
        }
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(line("  a\n\n b\x1b[2K\tc "), r"a b\u{1b}[2K c");
    }

    #[test]
    fn long_lines_are_clipped_before_anything_else_is_done_to_them() {
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
    fn json_stays_the_same_json() {
        let said = "a\u{9b}31m\u{202e}b\u{7f}\u{1b}\u{e0041}\u{200b}";
        let text = serde_json::to_string(said).unwrap();
        let escaped = escape_json(&text);
        assert!(escaped.is_ascii(), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), said);
    }
}
