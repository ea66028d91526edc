//! Checks of files and lines: length, unfinished code, ignored tests, glob re-exports, machine paths.

use super::code_of;

/// Maximum number of lines of a Rust file.
const MAX_LINES: usize = 700;
/// The same for integration tests, which contain many small cases.
const MAX_TEST_LINES: usize = 900;

/// Generated files, which are exempt from the maximum length.
const GENERATED: [&str; 1] = ["bench/peers/shared/tools.rs"];

/// Macros and attributes of unfinished code. Concatenated, so that this file passes its own check.
const UNFINISHED: [&str; 3] = [
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
    concat!("#[", "ignore"),
];

/// Prefixes of paths that are specific to one machine. `/home` is allowed: examples and tests use it.
const MACHINE_PATHS: [&str; 4] = ["/work/", "/root/", "/tmp/", "/private/"];

pub(super) fn check(path: &str, text: &str, problems: &mut Vec<String>) {
    let rust = path.ends_with(".rs");
    let length = text.lines().count();
    let max = if path.contains("/tests/") {
        MAX_TEST_LINES
    } else {
        MAX_LINES
    };
    if rust && length > max && !GENERATED.contains(&path) {
        problems.push(format!(
            "{path}: {length} lines; split files of more than {max} lines"
        ));
    }
    for (index, line) in text.lines().enumerate() {
        let mut report = |what: String| problems.push(format!("{path}:{}: {what}", index + 1));
        if rust {
            let code = code_of(line);
            for word in UNFINISHED.iter().filter(|word| code.contains(**word)) {
                report(format!("`{word}`: unfinished code or ignored test"));
            }
            if is_glob_export(&code) {
                report("glob re-export; name the exported items".to_owned());
            }
        }
        if let Some(prefix) = machine_path(line).filter(|_| is_checked(path)) {
            report(format!("`{prefix}` is specific to one machine"));
        }
    }
}

/// Excludes lock files, and this file, which contains the prefixes.
fn is_checked(path: &str) -> bool {
    !path.ends_with(".lock") && path != "xtask/src/tidy/lines.rs"
}

fn is_glob_export(code: &str) -> bool {
    let code = code.trim();
    code.starts_with("pub") && code.contains("use ") && code.trim_end_matches(';').ends_with("::*")
}

/// Returns the prefix of a machine-specific absolute path in this line. Ignores URLs
/// (`https://host/tmp/`) and the ends of longer paths (`crates/work/`).
fn machine_path(line: &str) -> Option<&'static str> {
    MACHINE_PATHS.into_iter().find(|prefix| {
        line.match_indices(prefix).any(|(at, _)| {
            let before = line[..at].bytes().next_back();
            before.is_none_or(|b| {
                !b.is_ascii_alphanumeric()
                    && !matches!(b, b'.' | b'_' | b'-' | b'~' | b'}' | b')' | b'/' | b'*')
            })
        })
    })
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
    fn a_file_of_more_than_700_lines_is_too_long() {
        assert_eq!(found("a.rs", &"x\n".repeat(700)), 0);
        assert_eq!(found("a.rs", &"x\n".repeat(701)), 1);
        assert_eq!(found("a.md", &"x\n".repeat(701)), 0);
    }

    #[test]
    fn unfinished_code_is_found_outside_comments_and_strings() {
        assert_eq!(found("a.rs", concat!("fn a() { todo", "!() }")), 1);
        assert_eq!(found("a.rs", concat!("#[ignore", " = \"slow\"]")), 1);
        assert_eq!(found("a.rs", concat!("// no todo", "!() here")), 0);
        assert_eq!(found("a.rs", concat!("let s = \"todo", "!\";")), 0);
    }

    #[test]
    fn glob_exports_are_found_and_glob_imports_are_not() {
        assert_eq!(found("a.rs", "pub use inner::*;"), 1);
        assert_eq!(found("a.rs", "pub(crate) use inner::*;"), 1);
        assert_eq!(found("a.rs", "use super::*;"), 0);
        assert_eq!(found("a.rs", "pub use inner::{A, B};"), 0);
    }

    #[test]
    fn machine_paths_are_found_in_any_file_and_urls_are_not() {
        assert_eq!(found("a.md", "see /root/x"), 1);
        assert_eq!(found("a.rs", "const P: &str = \"/work/x\";"), 1);
        assert_eq!(found("a.md", "https://example.com/home/x"), 0);
        assert_eq!(found("a.md", "crates/work/src"), 0);
        assert_eq!(found("a.rs", "let p = \"/home/user/x\";"), 0);
    }
}
