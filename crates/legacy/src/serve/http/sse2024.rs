//! HTTP+SSE (2024-11-05 `basic/transports#http-with-sse`), deprecated since 2025-03-26 and only
//! served if enabled: one stream for all messages to the client, and a URL to POST messages to.
//!
//! The session lives in the body of its stream and ends with it.

mod channel;
pub(super) mod channels;

use super::headers::{RequestHead, accepts};
use super::state::EndpointState;
use super::token;
use crate::message::parse;
use crate::serve::bus::SessionEventKind;
use crate::serve::clock::unix_seconds;
use crate::serve::http_response::{LegacyResponse, busy, empty, event_stream, refuse};
use bytes::Bytes;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_types::RawJson;
use channel::SseChannel;
use channels::InboxError;
use http::{Method, StatusCode, Uri};
use std::sync::Arc;

const STREAM_PATH: &str = "/sse";
const MESSAGES_PATH: &str = "/messages";

/// Returns whether a path belongs to this transport.
pub(super) fn owns(path: &str) -> bool {
    path == STREAM_PATH || path == MESSAGES_PATH
}

/// Answers a request to one of the paths.
pub(super) async fn answer(
    state: Arc<EndpointState>,
    method: &Method,
    uri: &Uri,
    head: RequestHead,
    body: Bytes,
) -> LegacyResponse {
    match uri.path() {
        STREAM_PATH if *method == Method::GET => open(state, head),
        MESSAGES_PATH if *method == Method::POST => {
            post(&state, uri.query().unwrap_or_default(), &head, body).await
        }
        _ => refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET the stream, POST the messages",
        ),
    }
}

/// Opens a stream. Its first event is the URL to POST messages to.
fn open(state: Arc<EndpointState>, head: RequestHead) -> LegacyResponse {
    if !accepts(&head.headers, &["text/event-stream"]) {
        return refuse(
            StatusCode::NOT_ACCEPTABLE,
            "Accept must list text/event-stream",
        );
    }
    if DeprecatedFeature::HttpSse.is_first_use() {
        let notice = DeprecatedFeature::HttpSse.notice();
        tracing::warn!("a client has opened an HTTP+SSE stream: {notice}");
    }
    if state.server.shutdown.has_begun() {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "The server is shutting down",
        );
    }
    let caller = head.caller();
    let Ok(reservation) = state.server.quotas.sse_streams.reserve(&caller, 0) else {
        return busy();
    };
    let expires_at = unix_seconds() + state.options.session_ttl.as_secs();
    let token = token::seal_stream(&state.keys, head.principal.as_deref(), expires_at);
    let Some((name, token)) = token.and_then(|token| Some((token::name_of(&token)?, token))) else {
        return busy();
    };
    let messages = state
        .channels
        .insert(&name, caller, &state.server.quotas.queued);
    let endpoint = format!("event: endpoint\ndata: {MESSAGES_PATH}?session={token}\n\n");
    event_stream(SseChannel::new(
        state,
        head,
        name,
        endpoint.into(),
        messages,
        reservation,
    ))
}

/// Queues a message for a stream of this replica, or publishes it for one of another replica.
async fn post(
    state: &EndpointState,
    query: &str,
    head: &RequestHead,
    body: Bytes,
) -> LegacyResponse {
    let unknown_stream = || {
        refuse(
            StatusCode::NOT_FOUND,
            "There is no such stream: GET /sse opens a new one",
        )
    };
    let principal = head.principal.as_deref();
    let name = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("session="))
        .and_then(|token| token::open_stream(&state.keys, principal, unix_seconds(), token));
    let Some(name) = name else {
        return unknown_stream();
    };
    if let Err(malformed) = parse(&body) {
        return refuse(StatusCode::BAD_REQUEST, malformed.error.message);
    }
    if let Some(inbox) = state.channels.find(&name) {
        return match inbox.send(body) {
            Ok(()) => empty(StatusCode::ACCEPTED),
            Err(InboxError::Full) => busy(),
            Err(InboxError::Closed) => unknown_stream(),
        };
    }
    if state.bus.is_single_process() {
        return unknown_stream();
    }
    // Whether another replica holds the stream cannot be known here.
    let Ok(message) = RawJson::parse(body) else {
        return unknown_stream();
    };
    let event = SessionEventKind::Posted(message);
    match state.publisher.publish(&name, &head.caller(), event).await {
        Ok(()) => empty(StatusCode::ACCEPTED),
        Err(_) => busy(),
    }
}
