//! The bodies of HTTP responses.

use crate::message::{Incoming, ParsedBody, parse};
use bytes::Bytes;
use carryall_proto::CallError;
use carryall_transport::http::RawBody;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};

/// Maximum number of bytes that are read of the body of an error response.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// How many characters of it are shown.
const MAX_SHOWN: usize = 300;

/// Whether a response has this media type, with any parameters.
pub(super) fn has_media_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    value
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
        .eq_ignore_ascii_case(wanted.as_bytes())
}

/// Parses one message or an array of messages.
///
/// # Errors
/// [`CallError::Malformed`] when any of them is malformed.
pub(super) fn messages(text: &Bytes) -> Result<Vec<Incoming>, CallError> {
    let malformed = |why: String| CallError::Malformed(why);
    match parse(text).map_err(|error| malformed(error.error.message))? {
        ParsedBody::One(incoming) => Ok(vec![incoming]),
        ParsedBody::Batch(items) => items
            .into_iter()
            .map(|item| item.map_err(|error| malformed(error.error.message)))
            .collect(),
    }
}

/// Reads the body of an error response. Returns all of it, and the beginning for display.
pub(super) async fn error_body(response: Response<RawBody>) -> (Bytes, String) {
    let text = response
        .into_body()
        .collect(MAX_ERROR_BODY)
        .await
        .unwrap_or_default();
    let shown = String::from_utf8_lossy(&text)
        .trim()
        .chars()
        .take(MAX_SHOWN)
        .collect();
    (text, shown)
}
