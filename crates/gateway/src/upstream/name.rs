//! Names of upstreams, and prefixed names of tools and prompts.
//!
//! The prefix is configured, because `serverInfo.name` is not unique (`server/tools#tool-names`). It
//! consists of letters, digits, `-` and `_`, which are valid in tool names and accepted by model
//! providers; some of those refuse dots.

use std::fmt;

/// Separates the name of an upstream from that of its tool or prompt.
pub const SEPARATOR: &str = "__";

/// The longest name, in bytes. Tool names should not exceed 128 characters in all.
const MAX_NAME: usize = 40;

/// The error for a text that cannot name an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName(Box<str>);

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid upstream name {:?}: expected 1 to {MAX_NAME} letters, digits, '-' and single '_', with no '_' \
             at either end",
            self.0
        )
    }
}

impl std::error::Error for InvalidName {}

/// Checks the name of an upstream. The rules ensure that the first separator in a prefixed name is
/// the one behind the prefix.
pub(super) fn check(name: &str) -> Result<(), InvalidName> {
    let allowed = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let separable = !name.contains(SEPARATOR) && !name.starts_with('_') && !name.ends_with('_');
    if allowed && separable && (1..=MAX_NAME).contains(&name.len()) {
        Ok(())
    } else {
        Err(InvalidName(name.into()))
    }
}

/// Returns `upstream__name`.
pub(crate) fn prefixed(upstream: &str, name: &str) -> String {
    [upstream, SEPARATOR, name].concat()
}

/// Splits a prefixed name into the name of the upstream and the rest.
pub(crate) fn split(prefixed: &str) -> Option<(&str, &str)> {
    prefixed.split_once(SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_would_make_a_prefix_ambiguous_are_refused() {
        for valid in ["a", "weather", "my-files_2", "A1", &"x".repeat(MAX_NAME)] {
            assert_eq!(check(valid), Ok(()), "{valid}");
        }
        for invalid in [
            "",
            "a__b",
            "a_",
            "_a",
            "a.b",
            "a b",
            "\u{e9}",
            "a/b",
            &"x".repeat(MAX_NAME + 1),
        ] {
            let error = check(invalid).unwrap_err().to_string();
            assert!(error.contains(&format!("{invalid:?}")), "{error}");
        }
    }

    proptest! {
        // spec: tools-15
        #[test]
        fn prefixed_names_are_unambiguous(upstream in "[a-z0-9-]{1,6}(_[a-z0-9]{1,3})?", tool in "[a-z_.-]{0,12}") {
            prop_assume!(check(&upstream).is_ok());
            let name = prefixed(&upstream, &tool);
            prop_assert_eq!(split(&name), Some((&*upstream, &*tool)));
        }
    }
}
