//! Values of string tokens found by the scanner.

use carryall_types::decode_text;
use std::borrow::Cow;

/// Returns the value of a JSON string token, `None` for any other token. Copies only if the token
/// contains escapes.
pub(crate) fn decode_string(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        decode_text(token).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Returns a member name, given between its quotes, with its escapes resolved.
pub(crate) fn decode_name(name: &str) -> Cow<'_, str> {
    if !name.contains('\\') {
        return Cow::Borrowed(name);
    }
    decode_text(&format!("\"{name}\"")).map_or(Cow::Borrowed(name), Cow::Owned)
}
