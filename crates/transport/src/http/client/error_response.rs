//! Reads responses whose status is not a success.

use super::HttpClientInner;
use super::response_body::ResponseBody;
use bytes::Bytes;
use carryall_proto::decode::{ServerMessage, decode_server_message};
use carryall_proto::{CallError, Outcome, Reply, Response, wire};
use carryall_types::{ErrorObject, RequestId};
use http::StatusCode;
use http::header::LOCATION;

/// Limit on what is read of a body that may not be MCP.
pub(super) const MAX_ERROR_BODY: usize = 64 * 1024;
/// Limit on what is shown of it, in characters.
const MAX_SHOWN: usize = 300;

/// Returns the JSON-RPC error in the response, or says why there is none.
pub(super) async fn read_error_response(
    client: &HttpClientInner,
    id: RequestId,
    response: http::Response<ResponseBody>,
) -> Result<Reply, CallError> {
    let (head, mut body) = response.into_parts();
    let status = head.status;
    if status.is_redirection() {
        let location = head.headers.get(LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        return Err(not_mcp_because(
            status,
            format!(
                "a redirect to {}; it is not followed, use that URL if you trust it",
                location.unwrap_or("nowhere")
            ),
        ));
    }
    let text = body.collect(MAX_ERROR_BODY).await?.data;
    let error = decode_error(&text);
    match status {
        // The limits of a server are not specified (`#request-metadata`). Whether the error comes
        // from the server or a proxy, the caller needs to know what was too large.
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            let subject = if status == StatusCode::PAYLOAD_TOO_LARGE {
                "request"
            } else {
                "set of request headers"
            };
            let message = error.map_or_else(|| shown(&text), |error| error.message);
            let body = format!("the server does not accept a {subject} of this size: {message}");
            return Err(not_mcp_because(
                status,
                body.trim_end_matches([':', ' ']).into(),
            ));
        }
        StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => {
            let message = match &error {
                Some(error) => clipped(&error.message),
                None => shown(&text),
            };
            if is_about_host(&message) {
                let host = &client.url.authority;
                return Err(not_mcp_because(
                    status,
                    format!(
                        "the server rejects the host name {host:?}, whatever the credentials: \
                         {message}"
                    ),
                ));
            }
        }
        _ => {}
    }
    match error {
        // From a proxy, or from the server before it decoded the request. What the caller can do
        // follows from the status, which a JSON-RPC error does not have.
        Some(error)
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                && !wire::is_modern(error.code) =>
        {
            Err(not_mcp(status, error.message.as_bytes()))
        }
        Some(error) => Ok(Reply::Once(Response::error(id, error))),
        None => Err(not_mcp(status, &text)),
    }
}

fn decode_error(text: &Bytes) -> Option<ErrorObject> {
    match decode_server_message(text).ok()? {
        ServerMessage::ErrorWithoutId(error)
        | ServerMessage::Response(Response {
            outcome: Outcome::Error(error),
            ..
        }) => Some(error),
        ServerMessage::Response(_) | ServerMessage::Notification(_) => None,
    }
}

/// Returns the error for a response that is not MCP, showing the beginning of its body.
pub(super) fn not_mcp(status: StatusCode, text: &[u8]) -> CallError {
    not_mcp_because(status, shown(text))
}

fn not_mcp_because(status: StatusCode, body: String) -> CallError {
    CallError::NotMcp {
        status: status.as_u16(),
        body,
    }
}

fn shown(text: &[u8]) -> String {
    clipped(&String::from_utf8_lossy(text))
}

fn clipped(text: &str) -> String {
    text.trim().chars().take(MAX_SHOWN).collect()
}

/// Returns whether a rejection is the defence against DNS rebinding, by the words that servers use
/// for it. There is no code for it, and the status suggests missing credentials.
fn is_about_host(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["host header", "invalid host", "this host"]
        .iter()
        .any(|words| text.contains(words))
}
