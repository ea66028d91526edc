//! The HTTP endpoint for legacy clients.

use super::headers::{RequestHead, names_legacy_session};
use super::sse2024;
use super::state::EndpointState;
use crate::message::{Incoming, ParsedBody, parse};
use crate::serve::http_response::{LegacyResponse, json, refuse};
use crate::serve::options::LegacyOptions;
use bytes::Bytes;
use carryall_proto::{BoxFuture, Call, CallError, Reply, SharedService, encode_error};
use carryall_transport::http::server::FallbackProtocol;
use carryall_types::ErrorObject;
use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request, StatusCode};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tower_service::Service;

/// Serves clients of earlier revisions at an [`Endpoint`](carryall_transport::http::Endpoint):
/// `Endpoint::new(service.clone()).fallback(Arc::new(LegacyEndpoint::new(service, options)))`.
///
/// Cheap to clone; clones share their sessions. It owns its background tasks: streams that are
/// being written, calls whose client has disconnected, tasks of 2025-11-25, and the session bus.
/// They end when the last clone is dropped.
#[derive(Clone)]
pub struct LegacyEndpoint {
    state: Arc<EndpointState>,
}

impl LegacyEndpoint {
    /// Creates an endpoint for `service`.
    ///
    /// Within a Tokio runtime the [session bus](LegacyOptions::session_bus) is started at once;
    /// otherwise with the first request.
    pub fn new<S>(service: S, options: LegacyOptions) -> Self
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        let state = EndpointState::new(SharedService::new(service), options);
        state.start_bus();
        Self { state }
    }
}

impl fmt::Debug for LegacyEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyEndpoint")
            .field("session_bus", &self.state.bus)
            .finish_non_exhaustive()
    }
}

impl FallbackProtocol for LegacyEndpoint {
    fn owns(&self, path: &str) -> bool {
        self.state.options.http_sse_2024 && sse2024::owns(path)
    }

    fn takes(&self, headers: &HeaderMap, body: &Bytes) -> bool {
        self.state.bus.accepts(headers) || names_legacy_session(headers) || is_legacy_body(body)
    }

    fn answer(&self, request: Request<Bytes>) -> BoxFuture<LegacyResponse> {
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            let answered = AssertUnwindSafe(route(state, request)).catch_unwind().await;
            answered.unwrap_or_else(|_| {
                tracing::error!("a request of a legacy client panicked");
                let error = encode_error(None, &ErrorObject::internal());
                let mut response = json(error.into_bytes());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            })
        })
    }

    fn close(&self) {
        self.state.server.shutdown.begin();
    }
}

/// Returns whether a body is legacy, judging by itself: it opens a session, answers a
/// server-initiated request, or is a batch. Other messages without a version get the modern
/// refusal, which says what is missing.
fn is_legacy_body(body: &Bytes) -> bool {
    match parse(body) {
        Ok(ParsedBody::One(Incoming::Request(request))) => request.method == "initialize",
        Ok(
            ParsedBody::One(Incoming::Response(_) | Incoming::ErrorWithoutId(_))
            | ParsedBody::Batch(_),
        ) => true,
        Ok(ParsedBody::One(Incoming::Notification(_))) | Err(_) => false,
    }
}

async fn route(state: Arc<EndpointState>, request: Request<Bytes>) -> LegacyResponse {
    state.start_bus();
    let (parts, body) = request.into_parts();
    if parts.method == Method::POST && state.bus.accepts(&parts.headers) {
        let replica = state.local_replica();
        let request = Request::from_parts(parts, body);
        return state.bus.answer(request, replica).await;
    }
    let head = RequestHead::new(parts.headers, parts.extensions);
    if state.options.http_sse_2024 && sse2024::owns(parts.uri.path()) {
        return sse2024::answer(state, &parts.method, &parts.uri, head, body).await;
    }
    match parts.method {
        Method::POST => state.post(head, &body).await,
        Method::GET => state.get(head).await,
        Method::DELETE => state.delete(&head).await,
        other => refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{other} is not supported here"),
        ),
    }
}

#[cfg(test)]
mod tests;
