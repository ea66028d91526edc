//! A command line in one string, as in `stdio:'npx server --flag'`.

/// Splits at white space, as a shell does: quotes and backslashes hold words together. Nothing is
/// expanded.
pub(crate) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(format!("a ' is not closed in {text:?}")),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err(format!("a \" is not closed in {text:?}")),
                        },
                        Some(c) => word.push(c),
                        None => return Err(format!("a \" is not closed in {text:?}")),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(format!("{text:?} ends with a backslash")),
            },
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// A word as one would type it for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::{quoted, split};

    #[test]
    fn words_are_split_as_a_shell_would() {
        assert_eq!(split("npx  -y server").unwrap(), ["npx", "-y", "server"]);
        assert_eq!(
            split(r#"a 'b c' "d \"e\" \n" f\ g '' h"i"j"#).unwrap(),
            ["a", "b c", r#"d "e" \n"#, "f g", "", "hij"]
        );
        assert!(split("  ").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for text in ["'a", "\"a", "\"a\\", "a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_quoted_is_one_word_again() {
        assert_eq!(
            quoted("http://127.0.0.1:8080/mcp"),
            "http://127.0.0.1:8080/mcp"
        );
        for word in ["", "a b", "it's", "$HOME", "a?b=c&d", "'"] {
            assert_eq!(split(&quoted(word)).unwrap(), [word], "{word}");
        }
    }
}
