//! Words that code and documentation do without: *session*, *resume* and *peer* in identifiers
//! outside `crates/legacy` (they belong to earlier revisions, GLOSSARY), and private words for
//! things that have a standard name.

use super::{code_of, is_word};

const WORDS: [&str; 3] = ["session", "resume", "peer"];

/// Names that others gave: the standard library's, the specification's own, and what the facade and
/// the command line take from `legacy`.
const GIVEN: [&str; 10] = [
    "peer_addr",
    "mcp_session_id",
    "resume_unwind",
    "SO_PEERCRED",
    "peer_cred",
    "peer_certificates",
    "SessionScope",
    "session_scope",
    "session_bus",
    "sessions",
];

/// Pictures in place of a term, and the term.
const RETIRED: [(&str, &str); 16] = [
    ("door", "request validation"),
    ("ear", "listener"),
    ("ears", "listeners"),
    ("goodbyes", "pending cancellations"),
    ("granter", "owner"),
    ("hear", "receive"),
    ("heard", "received"),
    ("hears", "receives"),
    ("hush", "suspend"),
    ("news", "changes"),
    ("passage", "call guard"),
    ("patience", "timeout"),
    ("patiently", "with retries"),
    ("seam", "interface"),
    ("stubbornly", "until it succeeds"),
    ("wish", "request"),
];

pub(super) fn check(path: &str, text: &str, problems: &mut Vec<String>) {
    retired(path, text, problems);
    let ours = path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs");
    if !ours || path.starts_with("crates/legacy/") {
        return;
    }
    for (index, line) in text.lines().enumerate() {
        let code = code_of(line);
        for name in code
            .split(|c: char| !c.is_ascii() || !is_word(c as u8))
            .filter(|n| !n.is_empty())
        {
            if let Some(word) = old_word(name) {
                problems.push(format!(
                    "{path}:{}: `{name}`: `{word}` is a word of the old era",
                    index + 1
                ));
            }
        }
    }
}

/// Finds retired words in identifiers, comments, strings and pages alike.
fn retired(path: &str, text: &str, problems: &mut Vec<String>) {
    let prose = path.ends_with(".rs") || path.ends_with(".md");
    // This file names them, and the change log says what was renamed.
    if !prose || matches!(path, "xtask/src/tidy/words.rs" | "CHANGELOG.md") {
        return;
    }
    for (index, line) in text.lines().enumerate() {
        for name in line.split(|c: char| !c.is_ascii_alphabetic() && c != '_') {
            for part in parts(name) {
                if let Some((word, term)) = RETIRED.iter().find(|(word, _)| *word == part) {
                    problems.push(format!(
                        "{path}:{}: `{word}` is a private word; write `{term}`",
                        index + 1
                    ));
                }
            }
        }
    }
}

/// The word of the old era in this identifier, as a part of its own: `peer_id`, `PeerId`,
/// `newSession`.
fn old_word(name: &str) -> Option<&'static str> {
    if GIVEN.iter().any(|given| given.eq_ignore_ascii_case(name)) {
        return None;
    }
    let parts = parts(name);
    WORDS.into_iter().find(|word| {
        parts
            .iter()
            .any(|part| part == word || part.strip_suffix('s') == Some(word))
    })
}

/// The words of an identifier in snake or camel case, in lower case.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_ascii_uppercase() && before_lower) {
            parts.push(String::new());
        }
        before_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        if c != '_' {
            parts
                .last_mut()
                .expect("never empty")
                .push(c.to_ascii_lowercase());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::check;

    fn found(path: &str, text: &str) -> usize {
        let mut problems = Vec::new();
        check(path, text, &mut problems);
        problems.len()
    }

    #[test]
    fn identifiers_with_a_word_of_the_old_era_are_found_outside_legacy() {
        assert_eq!(
            found(
                "crates/server/src/a.rs",
                "struct PeerId; fn open_session() { resume(); }"
            ),
            3
        );
        assert_eq!(found("crates/legacy/src/a.rs", "struct PeerId;"), 0);
        assert_eq!(found("conformance/src/a.rs", "struct PeerId;"), 0);
    }

    #[test]
    fn retired_words_are_found_in_code_and_prose() {
        for text in [
            "struct DoorKeeper;",
            "// waits with patience\n",
            "let tell_ear = 1;",
            "\"a seam\"",
        ] {
            assert_eq!(found("crates/legacy/src/a.rs", text), 1, "{text}");
            assert_eq!(found("docs/a.md", text), 1, "{text}");
        }
        assert_eq!(found("docs/a.md", "early, learn, newsletter, indoors"), 0);
        assert_eq!(found("data.json", "door"), 0);
    }

    #[test]
    fn given_names_strings_comments_and_longer_words_pass() {
        let fine = "let a = s.peer_addr(); // the session\nlet b = \"Mcp-Session-Id\"; const MCP_SESSION_ID: u8 = 0;\nfn presume() {}";
        assert_eq!(found("crates/server/src/a.rs", fine), 0);
    }
}
