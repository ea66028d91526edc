//! Names of upstreams, and the names of tools and prompts that begin with one.
//!
//! Not `serverInfo.name`: that is not unique (`server/tools#tool-names`). Letters, digits, `-` and
//! `_` are what tool names may hold and what model providers accept in them; a dot is not.

use std::fmt;

/// What stands between the name of an upstream and that of its tool.
pub const SEPARATOR: &str = "__";

/// Leaves a tool some of the 128 characters that its name should stay within.
const MAX_NAME: usize = 40;

/// The text cannot be the name of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName(Box<str>);

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} cannot name an upstream: take 1 to {MAX_NAME} letters, digits, '-' and single '_', and no '_' at \
             either end",
            self.0
        )
    }
}

impl std::error::Error for InvalidName {}

/// With these rules the first separator in a prefixed name is the one that was put there, whatever
/// the rest is.
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

/// `upstream__name`
pub(crate) fn prefixed(upstream: &str, name: &str) -> String {
    [upstream, SEPARATOR, name].concat()
}

/// The upstream and its own name for what `prefixed` names.
pub(crate) fn split(prefixed: &str) -> Option<(&str, &str)> {
    prefixed.split_once(SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_make_a_prefix_ambiguous_is_no_name() {
        for good in ["a", "weather", "my-files_2", "A1", &"x".repeat(MAX_NAME)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
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
            let error = check(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    proptest! {
        // spec: tools-15
        #[test]
        fn every_prefixed_name_has_one_reading(upstream in "[a-z0-9-]{1,6}(_[a-z0-9]{1,3})?", tool in "[a-z_.-]{0,12}") {
            prop_assume!(check(&upstream).is_ok());
            let name = prefixed(&upstream, &tool);
            prop_assert_eq!(split(&name), Some((&*upstream, &*tool)));
        }
    }
}
