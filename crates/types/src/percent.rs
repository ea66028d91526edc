//! Percent-encoding (RFC 3986, section 2.1).

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Returns whether each `%` is followed by two hexadecimal digits.
pub(crate) fn is_well_formed(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

/// Decodes the escapes once. Returns `None` if one is malformed.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    is_well_formed(text).then(|| percent_decode_str(text).into())
}
