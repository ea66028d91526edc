//! Finds lines `// spec: ID, ID` and the tests below them.

use std::collections::BTreeSet;

/// A requirement that a test claims to prove, and the location of the claim.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) id: String,
    pub(super) at: String,
}

/// The claims and errors found in source files.
#[derive(Default)]
pub(super) struct TestScan {
    pub(super) claims: Vec<Claim>,
    pub(super) errors: Vec<String>,
    ids: BTreeSet<String>,
}

const MARKER: &str = "// spec:";

impl TestScan {
    pub(super) fn proves(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Scans a Rust file.
    ///
    /// A claim must be above a test: only comments, blank lines and attributes may be between it and
    /// the `fn`, with a test attribute and without `ignore`.
    pub(super) fn read(&mut self, path: &str, text: &str) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(rest) = line.strip_prefix(MARKER) else {
                continue;
            };
            let at = format!("{path}:{}", index + 1);
            match Head::below(&lines[index + 1..]) {
                Head::Test => self.claim(rest, &at),
                Head::Ignored => self.errors.push(format!(
                    "{at}: the test below is ignored, so it proves nothing"
                )),
                Head::Other => self
                    .errors
                    .push(format!("{at}: this `spec:` line is not above a test")),
            }
        }
    }

    fn claim(&mut self, rest: &str, at: &str) {
        for id in rest.split(',').map(str::trim) {
            if id.is_empty()
                || !id
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            {
                self.errors.push(format!(
                    "{at}: `{id}` is not an id; write `{MARKER} ID, ID` and nothing else"
                ));
                continue;
            }
            self.ids.insert(id.to_owned());
            self.claims.push(Claim {
                id: id.to_owned(),
                at: at.to_owned(),
            });
        }
    }
}

/// The item below a claim.
enum Head {
    Test,
    Ignored,
    Other,
}

impl Head {
    fn below(lines: &[&str]) -> Self {
        let (mut test, mut ignored) = (false, false);
        let mut lines = lines.iter();
        while let Some(line) = lines.next() {
            if line.is_empty() || line.starts_with("//") {
                continue;
            }
            if !line.starts_with("#[") {
                return match (is_fn(line), test, ignored) {
                    (true, true, false) => Self::Test,
                    (true, true, true) => Self::Ignored,
                    _ => Self::Other,
                };
            }
            let mut attribute = (*line).to_owned();
            while depth(&attribute) > 0 {
                let Some(more) = lines.next() else {
                    return Self::Other;
                };
                attribute.push_str(more);
            }
            // The function may be on the line of its attribute.
            let end = close(&attribute);
            test |= is_test(&attribute[..end]);
            ignored |= attribute.starts_with("#[ignore");
            let rest = attribute[end..].trim();
            if is_fn(rest) {
                return match (test, ignored) {
                    (true, false) => Self::Test,
                    (true, true) => Self::Ignored,
                    _ => Self::Other,
                };
            }
        }
        Self::Other
    }
}

/// Returns the number of unclosed brackets.
fn depth(attribute: &str) -> i32 {
    attribute
        .chars()
        .map(|c| match c {
            '[' | '(' => 1,
            ']' | ')' => -1,
            _ => 0,
        })
        .sum()
}

/// Returns the index after the closing bracket of the attribute.
fn close(attribute: &str) -> usize {
    let mut open = 0;
    for (at, c) in attribute.char_indices() {
        match c {
            '[' => open += 1,
            ']' => open -= 1,
            _ => {}
        }
        if open == 0 && c == ']' {
            return at + 1;
        }
    }
    attribute.len()
}

/// Whether the last segment of the path is `test`, as in `#[tokio::test(...)]`.
fn is_test(attribute: &str) -> bool {
    let path = attribute
        .trim_start_matches("#[")
        .split(['(', ']', ' '])
        .next()
        .unwrap_or("");
    path.rsplit("::").next() == Some("test")
}

fn is_fn(line: &str) -> bool {
    let mut words = line
        .split_whitespace()
        .skip_while(|w| w.starts_with("pub") || matches!(*w, "async" | "unsafe" | "const"));
    words.next() == Some("fn")
}

#[cfg(test)]
mod tests {
    use super::TestScan;

    /// Scans these lines. `!` stands for the marker, which a scan of this file must not find.
    fn scan(lines: &[&str]) -> TestScan {
        let text: Vec<String> = lines
            .iter()
            .map(|l| l.replacen('!', super::MARKER, 1))
            .collect();
        let mut scan = TestScan::default();
        scan.read("a.rs", &text.join("\n"));
        scan
    }

    #[test]
    fn a_line_above_a_test_claims_all_its_ids() {
        let scan = scan(&["    ! tools-01, tools-02", "    #[test]", "    fn x() {}"]);
        assert!(scan.errors.is_empty(), "{:?}", scan.errors);
        assert!(scan.proves("tools-01") && scan.proves("tools-02") && !scan.proves("tools-03"));
        assert_eq!(scan.claims[0].at, "a.rs:1");
    }

    #[test]
    fn comments_and_attributes_may_be_between() {
        let scan = scan(&[
            "! a-1",
            "! a-2",
            "/// Doc.",
            "// why",
            "#[cfg(unix)]",
            "#[tokio::test(",
            "    flavor = \"multi_thread\",",
            ")]",
            "async fn x() {",
        ]);
        assert!(scan.errors.is_empty(), "{:?}", scan.errors);
        assert!(scan.proves("a-1") && scan.proves("a-2"));
    }

    #[test]
    fn a_property_test_counts() {
        let scan = scan(&[
            "proptest! {",
            "    ! a-1",
            "    #[test]",
            "    fn x(s in \".*\") {",
            "}",
            "}",
        ]);
        assert!(scan.errors.is_empty() && scan.proves("a-1"));
    }

    #[test]
    fn a_function_on_the_line_of_its_attribute_counts() {
        assert!(scan(&["! a-1", "#[test] fn x() {}"]).proves("a-1"));
    }

    #[test]
    fn above_anything_but_a_test_it_is_an_error() {
        for below in [
            &["fn x() {}"][..],
            &["#[inline]", "fn x() {}"],
            &["let x = 1;"],
            &["struct S;"],
            &["#[test]"],
            &[],
        ] {
            let mut lines = vec!["! a-1"];
            lines.extend(below);
            let scan = scan(&lines);
            assert_eq!(scan.errors.len(), 1, "{below:?}");
            assert!(!scan.proves("a-1"), "{below:?}");
        }
    }

    #[test]
    fn an_ignored_test_proves_nothing() {
        let scan = scan(&["! a-1", "#[test]", "#[ignore = \"slow\"]", "fn x() {}"]);
        assert!(!scan.proves("a-1") && scan.errors.len() == 1);
    }

    #[test]
    fn other_text_among_the_ids_is_an_error() {
        assert_eq!(
            scan(&["! a-1 and a-2", "#[test]", "fn x() {}"])
                .errors
                .len(),
            1
        );
        assert_eq!(scan(&["!", "#[test]", "fn x() {}"]).errors.len(), 1);
        assert_eq!(scan(&["! a-1,", "#[test]", "fn x() {}"]).errors.len(), 1);
    }
}
