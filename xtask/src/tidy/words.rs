//! Forbids words: *session*, *resume* and *peer* in identifiers outside `crates/legacy` (they belong
//! to earlier revisions, see GLOSSARY), and retired terms everywhere.

use super::{code_of, is_word};

/// Words of the legacy era.
const LEGACY: [&str; 3] = ["session", "resume", "peer"];

/// Names defined by the standard library, by the specification, or by `legacy` and used by the facade
/// and the command line.
const ALLOWED: [&str; 10] = [
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

/// Retired terms, with the standard term to use instead.
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
            if let Some(word) = legacy_word(name) {
                problems.push(format!(
                    "{path}:{}: `{name}`: `{word}` belongs to the legacy era",
                    index + 1
                ));
            }
        }
    }
}

/// Finds retired terms in identifiers, comments, strings and documentation.
fn retired(path: &str, text: &str, problems: &mut Vec<String>) {
    let prose = path.ends_with(".rs") || path.ends_with(".md");
    // This file lists the terms, and the changelog names what was renamed.
    if !prose || matches!(path, "xtask/src/tidy/words.rs" | "CHANGELOG.md") {
        return;
    }
    for (index, line) in text.lines().enumerate() {
        for name in line.split(|c: char| !c.is_ascii_alphabetic() && c != '_') {
            for part in parts(name) {
                if let Some((word, term)) = RETIRED.iter().find(|(word, _)| *word == part) {
                    problems.push(format!(
                        "{path}:{}: `{word}` is a retired term; write `{term}`",
                        index + 1
                    ));
                }
            }
        }
    }
}

/// Returns the legacy word in this identifier, as in `peer_id`, `PeerId` or `newSession`.
fn legacy_word(name: &str) -> Option<&'static str> {
    if ALLOWED
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(name))
    {
        return None;
    }
    let parts = parts(name);
    LEGACY.into_iter().find(|word| {
        parts
            .iter()
            .any(|part| part == word || part.strip_suffix('s') == Some(word))
    })
}

/// Splits an identifier in snake or camel case into lower-case words.
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
    fn legacy_words_in_identifiers_are_found_outside_the_legacy_crate() {
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
    fn retired_terms_are_found_in_code_and_documentation() {
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
    fn allowed_names_strings_comments_and_longer_words_pass() {
        let fine = "let a = s.peer_addr(); // the session\nlet b = \"Mcp-Session-Id\"; const MCP_SESSION_ID: u8 = 0;\nfn presume() {}";
        assert_eq!(found("crates/server/src/a.rs", fine), 0);
    }
}
