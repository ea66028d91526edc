//! *Session*, *resume* and *peer* belong to the old era: outside `crates/legacy` no identifier has
//! them (GLOSSARY).

use super::{code_of, is_word};

const WORDS: [&str; 3] = ["session", "resume", "peer"];

/// Names that others gave: the standard library's, the specification's own, and one that the facade
/// re-exports from `legacy`.
const GIVEN: [&str; 8] = [
    "peer_addr",
    "mcp_session_id",
    "resume_unwind",
    "SO_PEERCRED",
    "peer_cred",
    "peer_certificates",
    "SessionScope",
    "session_scope",
];

pub(super) fn check(path: &str, text: &str, problems: &mut Vec<String>) {
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
    fn given_names_strings_comments_and_longer_words_pass() {
        let fine = "let a = s.peer_addr(); // the session\nlet b = \"Mcp-Session-Id\"; const MCP_SESSION_ID: u8 = 0;\nfn presume() {}";
        assert_eq!(found("crates/server/src/a.rs", fine), 0);
    }
}
