//! What is wrong with an answer that is used nevertheless.

use carryall_proto::Printable;
use carryall_types::Method;
use std::fmt;

/// How much of the first fault is logged, in characters.
const MAX_SHOWN: usize = 200;

/// The faults of one answer. However many there are, they are one line of the log.
#[derive(Debug, Default)]
pub(super) struct MalformedParts {
    first: Option<String>,
    count: usize,
}

impl MalformedParts {
    pub(super) fn add(&mut self, part: impl fmt::Display, why: impl fmt::Display) {
        self.count += 1;
        self.first.get_or_insert_with(|| {
            Printable(&format!("{part}: {why}"))
                .clipped(MAX_SHOWN)
                .to_string()
        });
    }

    pub(super) fn report(self, upstream: &str, method: &Method) {
        if let Some(first) = self.first {
            tracing::warn!(upstream, %method, count = self.count, first, "parts of an answer are malformed and left out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_faults_takes_the_space_of_one() {
        let mut faults = MalformedParts::default();
        for number in 0..10_000 {
            faults.add(format_args!("entry {number}"), "x\u{1b}\n".repeat(1000));
        }
        let first = faults.first.unwrap();
        assert!(
            first.starts_with("entry 0: x") && first.len() < 2000,
            "{first}"
        );
        assert!(!first.contains(char::is_control));
        assert_eq!(faults.count, 10_000);
    }
}
