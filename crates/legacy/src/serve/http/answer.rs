//! Answers requests over Streamable HTTP.

use super::headers::RequestHead;
use super::publisher::EventPublisher;
use super::response_start::{ResponseStart, UnansweredExchange};
use super::session::{HttpSession, LimitReached};
use super::state::EndpointState;
use super::stream::{DeferredStream, EventBody, StreamControl, StreamKind, write};
use super::streamable::try_later;
use crate::message::{Incoming, LegacyRequest, MalformedMessage};
use crate::revision::Revision as _;
use crate::serve::bus::SessionEventKind;
use crate::serve::client_session::SettingChange;
use crate::serve::dispatch;
use crate::serve::exchange::{Exchange, Outgoing, RequestContext, catch_panics, encode_batch};
use crate::serve::http_response::{
    LegacyResponse, busy, empty, event_stream, json, refuse, refuse_request, rpc_response,
    unknown_session,
};
use carryall_proto::{Outcome, Response};
use carryall_types::{ErrorObject, RequestId, code};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use std::sync::Arc;

impl EndpointState {
    /// Answers one request.
    pub(super) async fn answer_request(
        &self,
        session: Arc<HttpSession>,
        request: LegacyRequest,
        head: &RequestHead,
    ) -> LegacyResponse {
        let deferred = DeferredStream::new(session.version().has_polling());
        let id = request.id.clone();
        let exchange = self.exchange(&session, request, head, &deferred);
        let start = self.start_response(&session, &deferred, exchange, true);
        match start.await {
            ResponseStart::SessionEnded => unknown_session(),
            ResponseStart::Complete(responses) => match responses.first() {
                Some(response) => rpc_response(response),
                // The client has cancelled the request and expects nothing.
                None => event_stream(stream::empty()),
            },
            ResponseStart::Stream(first, rest) => {
                self.stream_response(session, &deferred, Some(id), first, rest)
            }
        }
    }

    /// Answers the messages of one array (2025-03-26
    /// `basic/transports#sending-messages-to-the-server`).
    pub(super) async fn answer_batch(
        &self,
        session: Arc<HttpSession>,
        items: Vec<Result<Incoming, MalformedMessage>>,
        head: &RequestHead,
    ) -> LegacyResponse {
        if !session.version().has_batches() {
            let why = format!(
                "Only 2025-03-26 has batches, and this session speaks {}",
                session.version().as_str()
            );
            return refuse(StatusCode::BAD_REQUEST, why);
        }
        let mut requests = Vec::new();
        let mut refusals = Vec::new();
        let mut refuse_item = |id, error| {
            refusals.push(Outgoing::Response(Response::error(id, error)));
        };
        for item in items {
            match item {
                Ok(Incoming::Request(request)) if request.method == "initialize" => {
                    let why = "initialize must not be part of a batch";
                    refuse_item(request.id, ErrorObject::new(code::INVALID_REQUEST, why));
                }
                Ok(Incoming::Request(request)) => requests.push(request),
                Ok(message) => {
                    if let Err(exceeded) = self.on_message(&session, message).await {
                        return try_later(exceeded);
                    }
                }
                Err(MalformedMessage {
                    id: Some(id),
                    error,
                    ..
                }) => refuse_item(id, error),
                Err(MalformedMessage {
                    id: None, error, ..
                }) => return refuse(StatusCode::BAD_REQUEST, error.message),
            }
        }
        if requests.is_empty() && refusals.is_empty() {
            return empty(StatusCode::ACCEPTED);
        }
        let deferred = DeferredStream::new(session.version().has_polling());
        let exchanges = requests
            .into_iter()
            .map(|request| self.exchange(&session, request, head, &deferred));
        let exchanges = stream::select_all(exchanges);
        let exchange: Exchange = Box::pin(stream::iter(refusals).chain(exchanges));
        let start = self.start_response(&session, &deferred, exchange, false);
        match start.await {
            ResponseStart::SessionEnded => unknown_session(),
            ResponseStart::Complete(responses) => {
                let responses = responses.iter().map(|it| it.encode().into_bytes());
                json(encode_batch(responses))
            }
            ResponseStart::Stream(first, rest) => {
                self.stream_response(session, &deferred, None, first, rest)
            }
        }
    }

    async fn start_response(
        &self,
        session: &Arc<HttpSession>,
        deferred: &DeferredStream,
        exchange: Exchange,
        is_single: bool,
    ) -> ResponseStart {
        let detached = &self.server.quotas.detached;
        UnansweredExchange::new(exchange, self.options.grace, detached, session)
            .start(is_single, self.options.sse_after, deferred)
            .await
    }

    /// Answers with an event stream. `id` is the request that it answers, if it is only one.
    fn stream_response(
        &self,
        session: Arc<HttpSession>,
        deferred: &DeferredStream,
        id: Option<RequestId>,
        first: Vec<Outgoing>,
        rest: Exchange,
    ) -> LegacyResponse {
        let polls = session.version().has_polling();
        let kind = StreamKind::Responses(id.clone());
        let events = self.streams.create(&kind, &session.name, polls);
        let evicted = match session.add_stream(&events) {
            Ok(evicted) => evicted,
            Err(LimitReached) => {
                let why = "Too many streams of this session are open";
                return refuse_request(StatusCode::TOO_MANY_REQUESTS, id.as_ref(), why);
            }
        };
        evicted.iter().for_each(|stream| self.streams.evict(stream));
        if !self.streams.keep(&events, &session.client.caller) {
            return busy();
        }
        let body = EventBody::new(events.read(None), self.options.keep_alive);
        deferred.set(&events);
        write(
            &session.client.spawner.clone(),
            &self.streams,
            session,
            events,
            id,
            stream::iter(first).chain(rest),
        );
        event_stream(body)
    }

    /// Starts one request. A change of the session's settings is published before the client sees
    /// the response.
    fn exchange(
        &self,
        session: &Arc<HttpSession>,
        request: LegacyRequest,
        head: &RequestHead,
        deferred: &Arc<DeferredStream>,
    ) -> Exchange {
        let mut context: RequestContext = head.context(Some(session.client_id));
        context.extensions.insert(StreamControl::new(deferred));
        let change = SettingChange::of(&request);
        let id = request.id.clone();
        let exchange = catch_panics(dispatch::answer(&session.client, request, context), id);
        match change {
            Some(change) => publish_if_successful(&self.publisher, session, change, exchange),
            None => exchange,
        }
    }
}

/// Publishes a change of a session's settings once its request has succeeded.
fn publish_if_successful(
    publisher: &Arc<EventPublisher>,
    session: &Arc<HttpSession>,
    change: SettingChange,
    exchange: Exchange,
) -> Exchange {
    let (publisher, session) = (Arc::clone(publisher), Arc::clone(session));
    Box::pin(exchange.then(move |item| {
        let (publisher, session) = (Arc::clone(&publisher), Arc::clone(&session));
        let change = change.clone();
        async move {
            let is_success = matches!(
                &item,
                Outgoing::Response(Response {
                    outcome: Outcome::Result(_),
                    ..
                })
            );
            if is_success {
                let event = match change {
                    SettingChange::LogLevel(level) => SessionEventKind::LogLevel(level),
                    SettingChange::Subscribed(uri) => SessionEventKind::Subscribed(uri),
                    SettingChange::Unsubscribed(uri) => SessionEventKind::Unsubscribed(uri),
                };
                let caller = &session.client.caller;
                let published = publisher.publish(&session.name, caller, event).await;
                if let Err(exceeded) = published {
                    tracing::warn!(%exceeded, "a change of a legacy session was not published");
                }
            }
            item
        }
    }))
}
