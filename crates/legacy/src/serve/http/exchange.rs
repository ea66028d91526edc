//! Requests in work, and the streams that carry their answers.

use super::super::changes::Change;
use super::super::conversation::{Exchange, Outgoing, RequestContext};
use super::control::StreamControl;
use super::endpoint::{RequestHead, Shared, busy, now, unknown_session};
use super::heads::{HttpResponse, answered, event_stream, json, refused, refused_request};
use super::meeting::What;
use super::running::{Reader, ResponseStart, UnansweredExchange, write};
use super::sessions::Session;
use super::store::{Kind, Name, event_id};
use crate::message::{Incoming, Malformed, Request};
use crate::revision::Revision as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use carryall_proto::{Outcome, Response, sse};
use carryall_types::{ErrorObject, LoggingLevel, RequestId, code};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde::Deserialize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

impl Shared {
    /// Answers one request, or (with `batch`) several that came in one array.
    pub(super) async fn run(
        self: Arc<Self>,
        session: Arc<Session>,
        requests: Vec<Request>,
        batch: Option<Vec<Response>>,
        head: &RequestHead,
    ) -> HttpResponse {
        let options = &self.options;
        let one = if batch.is_none() {
            requests.first().map(|request| request.id.clone())
        } else {
            None
        };
        let polls = session.version.has_polling();
        let events = self
            .store
            .stream(Name::Answers(one.as_ref()), &session.name, polls);
        let control = StreamControl::new(&events);
        let exchanges = requests.into_iter().map(|request| {
            let mut origin = head.origin(Some(session.client()));
            origin.extensions.insert(control.clone());
            self.exchange(&session, request, origin)
        });
        let mut exchanges: Vec<Exchange> = exchanges.collect();
        let is_batch = batch.is_some();
        let exchange: Exchange = match (batch, exchanges.pop()) {
            (None, Some(only)) => only,
            (refused, last) => {
                let refused = stream::iter(
                    refused
                        .unwrap_or_default()
                        .into_iter()
                        .map(Outgoing::Response),
                );
                Box::pin(refused.chain(stream::select_all(exchanges.into_iter().chain(last))))
            }
        };
        let starting = UnansweredExchange::new(
            exchange,
            options.grace,
            &self.server.quotas.detached,
            &session,
        );
        match starting
            .begin(!is_batch, options.sse_after, &session, &events)
            .await
        {
            ResponseStart::Ended => unknown_session(),
            ResponseStart::Complete(responses) if is_batch => json(array(&responses)),
            ResponseStart::Complete(responses) => match responses.first() {
                Some(response) => answered(response),
                // The client has cancelled the request, and expects nothing.
                None => event_stream(stream::empty()),
            },
            ResponseStart::Stream(first, rest) => {
                let room = session.add(&events);
                let Ok(gone) = room else {
                    let why = "Too many streams of this session are open";
                    return refused_request(StatusCode::TOO_MANY_REQUESTS, one.as_ref(), why);
                };
                gone.iter().for_each(|stream| self.store.forget(stream));
                if !self.store.keep(&events, &session.conversation.caller) {
                    return busy();
                }
                let reader = Reader::new(events.read(None), options.keep_alive);
                write(
                    Arc::clone(&self.store),
                    session,
                    events,
                    one,
                    stream::iter(first).chain(rest),
                );
                event_stream(reader)
            }
        }
    }

    /// One request's exchange. What it changes about the session is told to other replicas before
    /// the client knows.
    fn exchange(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: Request,
        origin: RequestContext,
    ) -> Exchange {
        let change = change_of(&request);
        let id = request.id.clone();
        let exchange = guarded(session.conversation.answer(request, origin), id);
        let Some(change) = change else {
            return exchange;
        };
        let (shared, session) = (Arc::clone(self), Arc::clone(session));
        Box::pin(exchange.then(move |item| {
            let done = matches!(&item, Outgoing::Response(Response { outcome: Outcome::Result(_), .. }));
            let (shared, session, change) = (Arc::clone(&shared), Arc::clone(&session), done.then(|| change.clone()));
            async move {
                if let Some(change) = change {
                    let what = match change {
                        Change::LogLevel(level) => What::LogLevel(level),
                        Change::Subscribed(uri) => What::Subscribed(uri),
                        Change::Unsubscribed(uri) => What::Unsubscribed(uri),
                    };
                    if let Err(exceeded) = shared.publish(&session.name, &session.conversation.caller, what).await {
                        tracing::warn!(%exceeded, "a change of a legacy session was not told to the other replicas");
                    }
                }
                item
            }
        }))
    }

    /// Several messages in one array (2025-03-26
    /// `basic/transports#sending-messages-to-the-server`).
    pub(super) async fn batch(
        self: Arc<Self>,
        session: Arc<Session>,
        items: Vec<Result<Incoming, Malformed>>,
        head: &RequestHead,
    ) -> HttpResponse {
        if !session.version.has_batches() {
            let why = format!(
                "Batches exist in 2025-03-26 alone, and this session speaks {}",
                session.version.as_str()
            );
            return refused(StatusCode::BAD_REQUEST, why);
        }
        let mut requests = Vec::new();
        let mut refused_items = Vec::new();
        let mut refuse = |id: RequestId, error| refused_items.push(Response::error(id, error));
        for item in items {
            match item {
                Ok(Incoming::Request(request)) if request.method == "initialize" => {
                    refuse(
                        request.id,
                        ErrorObject::new(
                            code::INVALID_REQUEST,
                            "initialize cannot come in a batch",
                        ),
                    );
                }
                Ok(Incoming::Request(request)) => requests.push(request),
                Ok(other) => {
                    if let Err(exceeded) = self.take(&session, other).await {
                        return refused(
                            StatusCode::SERVICE_UNAVAILABLE,
                            format!("Try again later: {exceeded}"),
                        );
                    }
                }
                Err(Malformed {
                    id: Some(id),
                    error,
                    ..
                }) => refuse(id, error),
                Err(Malformed {
                    id: None, error, ..
                }) => return refused(StatusCode::BAD_REQUEST, error.message),
            }
        }
        if requests.is_empty() && refused_items.is_empty() {
            return super::heads::empty(StatusCode::ACCEPTED);
        }
        self.run(session, requests, Some(refused_items), head).await
    }

    /// The stream of changes (2025-11-25
    /// `basic/transports#listening-for-messages-from-the-server`).
    pub(super) async fn listen(
        self: Arc<Self>,
        session: Arc<Session>,
        origin: RequestContext,
    ) -> HttpResponse {
        if self.server.shutdown.has_begun() {
            return refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is shutting down",
            );
        }
        let events = self
            .store
            .stream(Name::Changes, &session.name, session.version.has_polling());
        if !self.store.keep(&events, &session.conversation.caller) {
            return busy();
        }
        session.listen(Some(Arc::clone(&events)));
        let (shared, listening) = (Arc::clone(&self), Arc::clone(&session));
        tokio::spawn(async move {
            let caller = &listening.conversation.caller;
            if let Err(exceeded) = shared
                .publish(&listening.name, caller, What::Listening)
                .await
            {
                tracing::debug!(%exceeded, "other replicas do not learn of a new stream");
            }
        });
        let reader = Reader::new(events.read(None), self.options.keep_alive);
        let changes = session
            .conversation
            .changes(origin)
            .map(Outgoing::Notification);
        let left = Duration::from_secs(session.expires_at.saturating_sub(now()));
        let changes = changes.take_until(Box::pin(tokio::time::sleep(left)));
        write(Arc::clone(&self.store), session, events, None, changes);
        event_stream(reader)
    }

    /// Goes on with a stream (2025-11-25 `basic/transports#resumability-and-redelivery`): one of
    /// this replica, or one that another replica holds. If the stream is lost, so is the request,
    /// and its client gets to know.
    pub(super) async fn resume(
        self: Arc<Self>,
        session: Arc<Session>,
        last: &str,
        origin: RequestContext,
    ) -> HttpResponse {
        let Some(id) = event_id(last) else {
            return refused(
                StatusCode::BAD_REQUEST,
                "Last-Event-ID is none of this server's",
            );
        };
        if let Some(events) = self.store.find(id.stream, &session.name) {
            return event_stream(Reader::new(
                events.read(Some(id.number)),
                self.options.keep_alive,
            ));
        }
        if let Some(events) = self.meeting.events(&session.name, last).await {
            // The replica that has the stream goes on; this one need not wait for it.
            return event_stream(events.take_until(Box::pin(self.server.shutdown.begun())));
        }
        match id.kind {
            // What was missed is lost, what comes from now on is not.
            Kind::Changes => self.listen(session, origin).await,
            Kind::Answers(Some(request)) => {
                event_stream(stream::iter([lost(id.stream, id.number, request)]))
            }
            Kind::Answers(None) => refused(
                StatusCode::BAD_REQUEST,
                "The stream of this event is not kept any more: send the requests again",
            ),
        }
    }
}

/// A panic costs one request.
pub(super) fn guarded(exchange: Exchange, id: RequestId) -> Exchange {
    Box::pin(AssertUnwindSafe(exchange).catch_unwind().map(move |item| {
        item.unwrap_or_else(|_| {
            tracing::error!(%id, "a request panicked");
            Outgoing::Response(Response::error(id.clone(), ErrorObject::internal()))
        })
    }))
}

/// The last event of a stream that nobody has any more.
fn lost(stream: &str, number: u64, request: RequestId) -> Bytes {
    let why = "The answer is lost: its stream is not kept any more, or its replica is gone. Send the request again";
    let error = Response::error(request, ErrorObject::new(code::INTERNAL_ERROR, why));
    let mut text = BytesMut::new();
    text.put_slice(format!("id: {stream}-{}\n", number.saturating_add(1)).as_bytes());
    sse::encode_event(&error.encode().into_bytes(), &mut text);
    text.freeze()
}

fn array(responses: &[Response]) -> Bytes {
    let mut text = BytesMut::new();
    for (at, response) in responses.iter().enumerate() {
        text.put_u8(if at == 0 { b'[' } else { b',' });
        text.put(response.encode());
    }
    text.put_u8(b']');
    text.freeze()
}

/// What a request changes about its session, if it succeeds.
fn change_of(request: &Request) -> Option<Change> {
    #[derive(Deserialize)]
    struct Level {
        level: LoggingLevel,
    }
    #[derive(Deserialize)]
    struct Resource {
        uri: String,
    }
    let uri = || request.params.decode().ok().map(|Resource { uri }| uri);
    match request.method.as_str() {
        "logging/setLevel" => request
            .params
            .decode()
            .ok()
            .map(|Level { level }| Change::LogLevel(level)),
        "resources/subscribe" => uri().map(Change::Subscribed),
        "resources/unsubscribe" => uri().map(Change::Unsubscribed),
        _ => None,
    }
}
