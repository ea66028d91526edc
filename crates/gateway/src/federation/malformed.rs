//! Logs the malformed parts of an answer that is used nevertheless.

use carryall_proto::Printable;
use carryall_types::Method;
use std::fmt;

/// The characters logged of the first malformed part.
const MAX_SHOWN: usize = 200;

/// The malformed parts of one answer, which are logged in one line.
#[derive(Debug, Default)]
pub(super) struct MalformedParts {
    first: Option<String>,
    count: usize,
}

impl MalformedParts {
    pub(super) fn add(&mut self, part: impl fmt::Display, reason: impl fmt::Display) {
        self.count += 1;
        self.first.get_or_insert_with(|| {
            Printable(&format!("{part}: {reason}"))
                .clipped(MAX_SHOWN)
                .to_string()
        });
    }

    pub(super) fn report(self, upstream: &str, method: &Method) {
        if let Some(first) = self.first {
            tracing::warn!(upstream, %method, count = self.count, first, "malformed parts of an answer left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_part_is_stored_and_it_is_clipped() {
        let mut malformed = MalformedParts::default();
        for number in 0..10_000 {
            malformed.add(format_args!("entry {number}"), "x\u{1b}\n".repeat(1000));
        }
        let first = malformed.first.unwrap();
        assert!(
            first.starts_with("entry 0: x") && first.len() < 2000,
            "{first}"
        );
        assert!(!first.contains(char::is_control));
        assert_eq!(malformed.count, 10_000);
    }
}
