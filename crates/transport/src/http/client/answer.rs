//! A response, by status and type.

use super::Shared;
use super::events::EventStream;
use super::link::Receiving;
use crate::http::gather::BodyBuffer;
use bytes::{Buf as _, Bytes};
use carryall_proto::decode::{ServerMessage, decode_server_message};
use carryall_proto::{CallError, Outcome, Reply, Response, wire};
use carryall_types::RequestId;
use http::header::{CONTENT_TYPE, LOCATION};
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use std::future::poll_fn;

/// The most that is read of what may not be MCP at all.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// How much of it is shown.
const SHOWN: usize = 300;

pub(super) async fn answer(
    shared: &Shared,
    id: RequestId,
    head: &Parts,
    mut body: Receiving,
) -> Result<Reply, CallError> {
    if !head.status.is_success() {
        return error_answer(shared, id, head, body).await;
    }
    match media_type(&head.headers) {
        Media::Events => Ok(Reply::Stream(Box::pin(EventStream::new(
            body,
            id,
            shared.max_response,
        )))),
        // A length over the limit is enough to know; nothing of it need be read.
        Media::Json if body.to_come() > shared.max_response as u64 => {
            Err(CallError::TooLarge(shared.max_response))
        }
        Media::Json => {
            let text = match collect(&mut body, shared.max_response).await? {
                Collected::All(text) => text,
                Collected::Cut(_) => return Err(CallError::TooLarge(shared.max_response)),
            };
            match decode_server_message(&text).map_err(CallError::Malformed)? {
                ServerMessage::Response(response) if response.id == id => Ok(Reply::Once(response)),
                ServerMessage::Response(response) => Err(other_id(&id, &response.id)),
                ServerMessage::ErrorWithoutId(error) => Ok(Reply::Once(Response::error(id, error))),
                ServerMessage::Notification(_) => Err(CallError::Malformed(
                    "a notification instead of a response".into(),
                )),
            }
        }
        Media::Other => match collect(&mut body, MAX_ERROR_BODY).await? {
            Collected::All(text) if text.is_empty() => Err(CallError::Malformed(format!(
                "HTTP {} and no response to a request",
                head.status.as_u16()
            ))),
            Collected::All(text) | Collected::Cut(text) => Err(not_mcp(head.status, &text)),
        },
    }
}

pub(super) fn other_id(ours: &RequestId, theirs: &RequestId) -> CallError {
    CallError::Malformed(format!("a response to request {theirs} instead of {ours}"))
}

async fn error_answer(
    shared: &Shared,
    id: RequestId,
    head: &Parts,
    mut body: Receiving,
) -> Result<Reply, CallError> {
    let status = head.status;
    if status.is_redirection() {
        let location = head
            .headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("nowhere");
        let body =
            format!("a redirect to {location}; it is not followed, use that URL if you trust it");
        return Err(CallError::NotMcp {
            status: status.as_u16(),
            body,
        });
    }
    let (Collected::All(text) | Collected::Cut(text)) = collect(&mut body, MAX_ERROR_BODY).await?;
    let answer = decode_server_message(&text);
    // The sizes that a server accepts are its own business (`#request-metadata`): say which it was,
    // whoever says so.
    if let StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE = status {
        let what = if status == StatusCode::PAYLOAD_TOO_LARGE {
            "request"
        } else {
            "set of request headers"
        };
        let why = match answer {
            Ok(
                ServerMessage::ErrorWithoutId(error)
                | ServerMessage::Response(Response {
                    outcome: Outcome::Error(error),
                    ..
                }),
            ) => error.message,
            _ => shown(&text),
        };
        let body = format!("the server does not accept a {what} of this size: {why}");
        return Err(CallError::NotMcp {
            status: status.as_u16(),
            body: body.trim_end_matches([':', ' ']).into(),
        });
    }
    if let StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST = status {
        let why = match &answer {
            Ok(
                ServerMessage::ErrorWithoutId(error)
                | ServerMessage::Response(Response {
                    outcome: Outcome::Error(error),
                    ..
                }),
            ) => clipped(&error.message),
            _ => shown(&text),
        };
        if is_about_host(&why) {
            let host = &shared.target.authority;
            let body = format!(
                "the server refuses the host name {host:?}, whatever the credentials: {why}"
            );
            return Err(CallError::NotMcp {
                status: status.as_u16(),
                body,
            });
        }
    }
    match answer {
        // Whoever is in front of the server, or the server before it looks at the request. Its
        // words are for people; what is to be done follows from the status, which no JSON-RPC error
        // has.
        Ok(
            ServerMessage::ErrorWithoutId(error)
            | ServerMessage::Response(Response {
                outcome: Outcome::Error(error),
                ..
            }),
        ) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            && !wire::is_modern(error.code) =>
        {
            Err(not_mcp(status, error.message.as_bytes()))
        }
        Ok(
            ServerMessage::ErrorWithoutId(error)
            | ServerMessage::Response(Response {
                outcome: Outcome::Error(error),
                ..
            }),
        ) => Ok(Reply::Once(Response::error(id, error))),
        _ => Err(not_mcp(status, &text)),
    }
}

fn not_mcp(status: StatusCode, text: &[u8]) -> CallError {
    CallError::NotMcp {
        status: status.as_u16(),
        body: shown(text),
    }
}

fn shown(text: &[u8]) -> String {
    clipped(&String::from_utf8_lossy(text))
}

fn clipped(text: &str) -> String {
    text.trim().chars().take(SHOWN).collect()
}

/// Whether a refusal is the defence against DNS rebinding, in the words that servers use for it.
/// There is no code for it, and taken for missing credentials it sends its reader the wrong way.
fn is_about_host(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["host header", "invalid host", "this host"]
        .iter()
        .any(|words| text.contains(words))
}

enum Collected {
    All(Bytes),
    /// It was longer than the limit; this is its beginning.
    Cut(Bytes),
}

async fn collect(body: &mut Receiving, max: usize) -> Result<Collected, CallError> {
    let mut gathered = BodyBuffer::default();
    poll_fn(|cx| {
        loop {
            let data = match std::task::ready!(body.poll_data(cx)) {
                Some(data) => data.map_err(CallError::broken)?,
                None => return std::task::Poll::Ready(Ok(Collected::All(gathered.take()))),
            };
            if gathered.len() + data.remaining() > max {
                gathered.add(data.slice(..max - gathered.len()), 0);
                return std::task::Poll::Ready(Ok(Collected::Cut(gathered.take())));
            }
            gathered.add(data, body.to_come());
        }
    })
    .await
}

enum Media {
    Json,
    Events,
    Other,
}

fn media_type(headers: &HeaderMap) -> Media {
    let value = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    let essence = value
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        Media::Json
    } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
        Media::Events
    } else {
        Media::Other
    }
}
