//! The error of every header check.

use super::HeaderDecodeError;
use carryall_types::{ErrorObject, code};
use std::fmt;

/// Error messages include values up to this many characters.
const SHOWN: usize = 64;

/// A mirrored header is missing, repeated, malformed, or differs from the body:
/// `-32020`, HTTP status 400 (`basic/transports/streamable-http#server-validation`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMismatch {
    message: Box<str>,
}

impl HeaderMismatch {
    pub(super) fn missing(header: &str) -> Self {
        Self::new(format_args!("{header} header is missing"))
    }

    pub(super) fn repeated(header: &str) -> Self {
        Self::new(format_args!("{header} header occurs more than once"))
    }

    pub(super) fn malformed(header: &str, why: HeaderDecodeError) -> Self {
        Self::new(format_args!("{header} header value {why}"))
    }

    pub(super) fn differs(header: &str, value: &str, body: &str) -> Self {
        Self::new(format_args!(
            "{header} header says {}, the body says {}",
            Quoted(value),
            Quoted(body)
        ))
    }

    pub(super) fn unexpected(header: &str) -> Self {
        Self::new(format_args!(
            "{header} header is present, but the body has no value for it"
        ))
    }

    pub(super) fn cannot_mirror(header: &str, why: &str) -> Self {
        Self::new(format_args!("{header} header cannot match the body: {why}"))
    }

    fn new(detail: fmt::Arguments<'_>) -> Self {
        Self {
            message: format!("Header mismatch: {detail}").into(),
        }
    }

    /// Returns which header is at fault and why.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the JSON-RPC error to answer with.
    #[must_use]
    pub fn to_error(&self) -> ErrorObject {
        ErrorObject::new(code::HEADER_MISMATCH, &*self.message)
    }
}

impl fmt::Display for HeaderMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HeaderMismatch {}

impl From<HeaderMismatch> for ErrorObject {
    fn from(mismatch: HeaderMismatch) -> Self {
        mismatch.to_error()
    }
}

/// Text in quotes, escaped and cut, so that a message neither grows with its input nor carries
/// control characters.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.chars();
        f.write_str("'")?;
        for character in rest.by_ref().take(SHOWN) {
            if character.is_control() {
                f.write_str("\u{fffd}")?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        f.write_str(if rest.next().is_some() { "...'" } else { "'" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_has_the_code_and_names_both_sides() {
        let error = HeaderMismatch::differs("Mcp-Name", "foo", "bar").to_error();
        assert_eq!(error.code, -32020);
        assert_eq!(
            error.message,
            "Header mismatch: Mcp-Name header says 'foo', the body says 'bar'"
        );
    }

    #[test]
    fn long_and_hostile_values_are_cut_and_cleaned() {
        let mismatch = HeaderMismatch::differs("Mcp-Name", &"ä".repeat(500), "a\r\nb");
        assert_eq!(mismatch.message().matches('ä').count(), SHOWN);
        assert!(mismatch.message().contains("...'"));
        assert!(!mismatch.message().contains(['\r', '\n']));
    }
}
