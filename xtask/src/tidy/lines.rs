//! Checks of single files and lines: length, unfinished code, ignored tests, glob re-exports,
//! machine paths.

use super::code_of;

/// A file of more lines holds more than one concept.
const LONGEST: usize = 700;
/// The same for integration tests, which hold many small cases.
const LONGEST_TEST: usize = 900;

/// Files that a tool wrote, or that hold data: the length rule is about what people read.
const GENERATED: [&str; 1] = ["bench/peers/shared/tools.rs"];

/// Macros and attributes of code that is not finished. Put together here, so that this file passes
/// its own check.
const UNFINISHED: [&str; 3] = [
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
    concat!("#[", "ignore"),
];

/// Folders that exist on one machine and not on the next. Somebody's home is what examples and
/// tests use for a path.
const PLACES: [&str; 4] = ["/work/", "/root/", "/tmp/", "/private/"];

pub(super) fn check(path: &str, text: &str, problems: &mut Vec<String>) {
    let rust = path.ends_with(".rs");
    let length = text.lines().count();
    let longest = if path.contains("/tests/") {
        LONGEST_TEST
    } else {
        LONGEST
    };
    if rust && length > longest && !GENERATED.contains(&path) {
        problems.push(format!(
            "{path}: {length} lines; split a file of more than {longest}"
        ));
    }
    for (index, line) in text.lines().enumerate() {
        let mut say = |what: String| problems.push(format!("{path}:{}: {what}", index + 1));
        if rust {
            let code = code_of(line);
            for word in UNFINISHED.iter().filter(|word| code.contains(**word)) {
                say(format!("`{word}`: finish it, or leave it out"));
            }
            if is_glob_export(&code) {
                say("a glob re-export; name what is exported".to_owned());
            }
        }
        if let Some(place) = machine_path(line).filter(|_| is_ours(path)) {
            say(format!("`{place}` is a path of one machine"));
        }
    }
}

/// Lock files are not our prose, and this file has to name what it looks for.
fn is_ours(path: &str) -> bool {
    !path.ends_with(".lock") && path != "xtask/src/tidy/lines.rs"
}

fn is_glob_export(code: &str) -> bool {
    let code = code.trim();
    code.starts_with("pub") && code.contains("use ") && code.trim_end_matches(';').ends_with("::*")
}

/// An absolute path into somebody's machine. What stands in a URL (`https://host/home/`) or is the
/// tail of a longer path (`crates/work/`) does not count.
fn machine_path(line: &str) -> Option<&'static str> {
    PLACES.into_iter().find(|place| {
        line.match_indices(place).any(|(at, _)| {
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
    fn unfinished_code_is_found_and_talk_about_it_is_not() {
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
