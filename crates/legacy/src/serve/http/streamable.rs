//! Streamable HTTP: POST, GET and DELETE (2025-11-25 `basic/transports#streamable-http`).

use super::headers::{LAST_EVENT_ID, MCP_SESSION_ID, RequestHead, accepts};
use super::session::HttpSession;
use super::state::EndpointState;
use super::token;
use crate::message::{Incoming, LegacyRequest, ParsedBody, parse};
use crate::serve::bus::SessionEventKind;
use crate::serve::client_session::{CANCELLED, ClientSession};
use crate::serve::clock::unix_seconds;
use crate::serve::http_response::{
    LegacyResponse, busy, empty, json, refuse, refuse_request, rpc_response,
};
use crate::serve::initialize::initialize;
use crate::serve::server_requests::ServerRequests;
use bytes::Bytes;
use carryall_proto::budget::BudgetExceeded;
use carryall_proto::{Printable, Response};
use carryall_types::{ErrorObject, RawJson};
use http::{HeaderValue, Method, StatusCode};

impl EndpointState {
    pub(super) async fn post(&self, head: RequestHead, body: &Bytes) -> LegacyResponse {
        if !accepts(&head.headers, &["application/json", "text/event-stream"]) {
            return refuse(
                StatusCode::NOT_ACCEPTABLE,
                "Accept must list application/json and text/event-stream",
            );
        }
        let body = match parse(body) {
            Ok(ParsedBody::One(Incoming::Request(request))) if request.method == "initialize" => {
                return self.initialize(&request, &head).await;
            }
            Ok(body) => body,
            Err(malformed) => {
                let mut response = json(malformed.encode().into_bytes());
                *response.status_mut() = StatusCode::BAD_REQUEST;
                return response;
            }
        };
        let session = match self.session(&head).await {
            Ok(session) => session,
            Err(refusal) => return refusal,
        };
        match body {
            ParsedBody::One(Incoming::Request(request)) => {
                self.answer_request(session, request, &head).await
            }
            ParsedBody::One(message) => match self.on_message(&session, message).await {
                Ok(()) => empty(StatusCode::ACCEPTED),
                Err(exceeded) => try_later(exceeded),
            },
            ParsedBody::Batch(items) => self.answer_batch(session, items, &head).await,
        }
    }

    /// Opens a session (2025-11-25 `basic/transports#session-management`).
    async fn initialize(&self, request: &LegacyRequest, head: &RequestHead) -> LegacyResponse {
        let context = head.context(None);
        let (service, options) = (&self.server.service, &self.options);
        let (negotiated, result) =
            match initialize(service, options, &request.params, &context).await {
                Ok(outcome) => outcome,
                Err(error) => return rpc_response(&Response::error(request.id.clone(), error)),
            };
        let principal = head.principal.as_deref();
        let expires_at = unix_seconds() + options.session_ttl.as_secs();
        let Some((id, negotiated)) = token::seal(&self.keys, principal, negotiated, expires_at)
        else {
            return refuse_request(
                StatusCode::BAD_REQUEST,
                Some(&request.id),
                "The capabilities of this client are too large for a session id",
            );
        };
        let (Some(name), Ok(id)) = (token::name_of(&id), HeaderValue::try_from(&id)) else {
            let error = Response::error(request.id.clone(), ErrorObject::internal());
            return json(error.encode().into_bytes());
        };
        let version = negotiated.version;
        let client = ClientSession::new(&self.server, negotiated, head.caller());
        let session = HttpSession::new(name, client, expires_at);
        // No other replica can know this session.
        session.loaded.set(()).ok();
        if self.sessions.insert(session).is_err() {
            return busy();
        }
        tracing::debug!(
            version = version.as_str(),
            "a legacy client has opened a session"
        );
        let answer = Response::result(request.id.clone(), result);
        let mut response = json(answer.encode().into_bytes());
        response.headers_mut().insert(&MCP_SESSION_ID, id);
        response
    }

    /// Handles a message that has no answer: a notification, or the response to a server-initiated
    /// request. What belongs to another replica is published.
    pub(super) async fn on_message(
        &self,
        session: &HttpSession,
        message: Incoming,
    ) -> Result<(), BudgetExceeded> {
        let client = &session.client;
        let event = match message {
            Incoming::Response(response) => {
                // Other ids were not made by any replica.
                let is_ours = ServerRequests::is_id(&response.id);
                let text = response.encode().into_bytes();
                let elsewhere = !client.on_response(response) && is_ours;
                elsewhere.then(|| SessionEventKind::Response(RawJson::from_trusted(text)))
            }
            Incoming::Notification(notification) => {
                let here = client.on_notification(&notification);
                notification
                    .params
                    .filter(|_| !here && notification.method == CANCELLED)
                    .map(SessionEventKind::Cancelled)
            }
            Incoming::ErrorWithoutId(error) => {
                let (code, message) = (error.code, &error.message);
                tracing::warn!(code, message = %Printable(message), "a client could not read a message");
                None
            }
            Incoming::Request(_) => None,
        };
        match event {
            Some(event) => {
                self.publisher
                    .publish(&session.name, &client.caller, event)
                    .await
            }
            None => Ok(()),
        }
    }

    /// Opens the stream of changes, or resumes a stream.
    pub(super) async fn get(&self, head: RequestHead) -> LegacyResponse {
        if !head.is_legacy() {
            // `basic/transports/streamable-http#earlier-streamable-http-revisions`
            return needs_session(&Method::GET);
        }
        if !accepts(&head.headers, &["text/event-stream"]) {
            return refuse(
                StatusCode::NOT_ACCEPTABLE,
                "Accept must list text/event-stream",
            );
        }
        let session = match self.session(&head).await {
            Ok(session) => session,
            Err(refusal) => return refusal,
        };
        let context = head.context(Some(session.client_id));
        match head.headers.get(&LAST_EVENT_ID) {
            None => self.listen(session, context),
            // An id that is not text is not one of this server's either.
            Some(last) => {
                let last = last.to_str().unwrap_or_default();
                self.resume(session, last, context).await
            }
        }
    }

    /// Ends a session.
    pub(super) async fn delete(&self, head: &RequestHead) -> LegacyResponse {
        if !head.is_legacy() {
            return needs_session(&Method::DELETE);
        }
        let session = match self.session(head).await {
            Ok(session) => session,
            Err(refusal) => return refusal,
        };
        self.sessions.end(&session.name, session.expires_at);
        session.end();
        self.publisher.publish_end(&session).await;
        empty(StatusCode::NO_CONTENT)
    }
}

pub(super) fn try_later(exceeded: BudgetExceeded) -> LegacyResponse {
    refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("Try again later: {exceeded}"),
    )
}

fn needs_session(method: &Method) -> LegacyResponse {
    refuse(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} needs an Mcp-Session-Id; without a session, POST one JSON-RPC message"),
    )
}
