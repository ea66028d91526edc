//! Text from servers on its way to a terminal.
//!
//! It is not to be trusted: escape sequences could recolour, overwrite or forge what stands on the screen, and
//! bidirectional controls could make text read other than it is.

use std::borrow::Cow;

/// Without anything that a terminal would obey. Line breaks and tabs stay.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| matches!(c, '\n' | '\t') || !is_control(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let end = match c {
            '\x1b' => escape_sequence(rest),
            // The same introducers as one character of the C1 range.
            '\u{9b}' => c.len_utf8() + parameters_and_final(&rest[c.len_utf8()..]),
            '\u{9d}' | '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => c.len_utf8() + string_end(&rest[c.len_utf8()..]),
            _ => {
                if matches!(c, '\n' | '\t') || !is_control(c) {
                    out.push(c);
                }
                c.len_utf8()
            }
        };
        rest = &rest[end..];
    }
    Cow::Owned(out)
}

/// As [`clean`], on one line.
pub(crate) fn line(text: &str) -> String {
    let mut words = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    words.truncate(words.trim_end().len());
    words
}

/// Escapes in JSON what a terminal might obey: strings are the only place where it can stand.
pub(crate) fn escape_json(json: &str) -> Cow<'_, str> {
    if json.chars().all(|c| c == '\n' || !is_control(c)) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_control(c) {
            out.push(c);
        } else {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    Cow::Owned(out)
}

/// Control characters of C0 and C1, and those that turn the direction of reading.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// The length of the escape sequence that `text` begins with (ECMA-48).
fn escape_sequence(text: &str) -> usize {
    let rest = &text[1..];
    match rest.chars().next() {
        Some('[') => 2 + parameters_and_final(&rest[1..]),
        Some(']' | 'P' | 'X' | '^' | '_') => 2 + string_end(&rest[1..]),
        // Intermediate bytes, then one final byte.
        Some(c) if c.is_ascii() && !c.is_ascii_control() => {
            let intermediate = rest.bytes().take_while(|byte| (0x20..=0x2f).contains(byte)).count();
            1 + intermediate
                + rest[intermediate..].bytes().next().filter(|byte| (0x30..=0x7e).contains(byte)).map_or(0, |_| 1)
        }
        _ => 1,
    }
}

fn parameters_and_final(text: &str) -> usize {
    let parameters = text.bytes().take_while(|byte| (0x20..=0x3f).contains(byte)).count();
    parameters + text[parameters..].bytes().next().filter(|byte| (0x40..=0x7e).contains(byte)).map_or(0, |_| 1)
}

/// Up to and with BEL or ST. A string that does not end on its line is only its introducer: the rest is text again.
fn string_end(text: &str) -> usize {
    let line = text.split('\n').next().unwrap_or_default();
    let ends = [("\x07", 1), ("\x1b\\", 2), ("\u{9c}", 2)];
    ends.iter().filter_map(|(end, length)| line.find(end).map(|at| at + length)).min().unwrap_or(0)
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
    fn nothing_that_a_terminal_obeys_gets_through() {
        let cases = [
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\u{9b}2Jgone", "gone"),
            ("\u{9d}0;t\u{9c}x", "x"),
            ("a\rb\x08c\x00d\x7f", "abcd"),
            ("\x1b(0line", "line"),
            ("\x1bc", ""),
            ("\x1b", ""),
            ("\x1b[", ""),
            ("\x1b]never ends\nnext", "never ends\nnext"),
            ("abc\u{202e}fed\u{2066}", "abcfed"),
        ];
        for (dirty, clean_text) in cases {
            assert_eq!(clean(dirty), clean_text, "{dirty:?}");
        }
    }

    #[test]
    fn what_remains_never_holds_controls_whatever_came() {
        // Every short string over an alphabet of troublemakers.
        let alphabet = ['\x1b', '[', ']', '\u{9b}', '\x07', '\\', 'm', '\u{9c}', '\r', 'é', '(', '\u{202e}'];
        for a in alphabet {
            for b in alphabet {
                for c in alphabet {
                    for d in alphabet {
                        let text: String = [a, b, c, d].iter().collect();
                        let cleaned = clean(&text).into_owned();
                        assert!(!cleaned.chars().any(is_control), "{text:?} -> {cleaned:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(line("  a\n\n b\x1b[2K\tc "), "a b c");
    }

    #[test]
    fn json_stays_the_same_json() {
        let text = serde_json::to_string(&"a\u{9b}31m\u{202e}b\u{7f}\u{1b}").unwrap();
        let escaped = escape_json(&text);
        assert!(!escaped.chars().any(is_control));
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), "a\u{9b}31m\u{202e}b\u{7f}\u{1b}");
    }
}
