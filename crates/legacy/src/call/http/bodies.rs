//! What HTTP responses of legacy servers hold.

use crate::message::{Incoming, ParsedBody, parse};
use bytes::Bytes;
use carryall_proto::CallError;
use carryall_transport::http::RawBody;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};

/// The most that is read of what may not be MCP at all.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// How much of it is shown.
const SHOWN: usize = 300;

/// Whether a response is of this media type, parameters aside.
pub(super) fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
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

/// The messages of a text: one, or those of an array.
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

/// The body of a refusal: whole for who looks into it, and its beginning for people.
pub(super) async fn refusal(response: Response<RawBody>) -> (Bytes, String) {
    let text = response
        .into_body()
        .collect(MAX_ERROR_BODY)
        .await
        .unwrap_or_default();
    let shown = String::from_utf8_lossy(&text)
        .trim()
        .chars()
        .take(SHOWN)
        .collect();
    (text, shown)
}
