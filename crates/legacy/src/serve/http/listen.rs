//! Opens and resumes event streams over Streamable HTTP.

use super::session::HttpSession;
use super::state::EndpointState;
use super::stream::{EventBody, EventId, StreamKind, write};
use crate::revision::Revision as _;
use crate::serve::bus::SessionEventKind;
use crate::serve::changes;
use crate::serve::clock::unix_seconds;
use crate::serve::exchange::{Outgoing, RequestContext};
use crate::serve::http_response::{LegacyResponse, busy, event_stream, refuse};
use bytes::{BufMut as _, Bytes, BytesMut};
use carryall_proto::{Response, sse};
use carryall_types::{ErrorObject, RequestId, code};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

impl EndpointState {
    /// Opens the stream of changes (2025-11-25
    /// `basic/transports#listening-for-messages-from-the-server`).
    pub(super) fn listen(
        &self,
        session: Arc<HttpSession>,
        context: RequestContext,
    ) -> LegacyResponse {
        if self.server.shutdown.has_begun() {
            return refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is shutting down",
            );
        }
        let polls = session.version().has_polling();
        let events = self
            .streams
            .create(&StreamKind::Changes, &session.name, polls);
        if !self.streams.keep(&events, &session.client.caller) {
            return busy();
        }
        session.set_changes_stream(Some(Arc::clone(&events)));
        let spawner = session.client.spawner.clone();
        let (publisher, listening) = (Arc::clone(&self.publisher), Arc::clone(&session));
        // The client need not wait for other replicas.
        spawner.spawn(async move {
            let (name, caller) = (&listening.name, &listening.client.caller);
            let event = SessionEventKind::Listening;
            if let Err(exceeded) = publisher.publish(name, caller, event).await {
                tracing::debug!(%exceeded, "a new stream was not published");
            }
        });
        let body = EventBody::new(events.read(None), self.options.keep_alive);
        let lifetime = Duration::from_secs(session.expires_at.saturating_sub(unix_seconds()));
        let changes = changes::stream(&session.client, context)
            .map(Outgoing::Notification)
            .take_until(Box::pin(tokio::time::sleep(lifetime)));
        write(&spawner, &self.streams, session, events, None, changes);
        event_stream(body)
    }

    /// Resumes a stream of this replica or of another one (2025-11-25
    /// `basic/transports#resumability-and-redelivery`). If the stream of a request is lost, the
    /// request fails.
    pub(super) async fn resume(
        &self,
        session: Arc<HttpSession>,
        last: &str,
        context: RequestContext,
    ) -> LegacyResponse {
        let Some(id) = EventId::parse(last) else {
            return refuse(
                StatusCode::BAD_REQUEST,
                "Last-Event-ID was not issued by this server",
            );
        };
        if let Some(events) = self.streams.find(id.stream, &session.name) {
            let cursor = events.read(Some(id.number));
            return event_stream(EventBody::new(cursor, self.options.keep_alive));
        }
        if let Some(events) = self.bus.resume(&session.name, last).await {
            // The other replica keeps the stream, so this one need not wait for its end.
            return event_stream(events.take_until(Box::pin(self.server.shutdown.begun())));
        }
        match id.kind {
            // Changes until now are lost, later ones are not.
            StreamKind::Changes => self.listen(session, context),
            StreamKind::Responses(Some(request)) => {
                event_stream(stream::iter([lost(id.stream, id.number, request)]))
            }
            StreamKind::Responses(None) => refuse(
                StatusCode::BAD_REQUEST,
                "The stream of this event is no longer kept: send the requests again",
            ),
        }
    }
}

/// Returns the last event of a stream that no replica holds.
fn lost(stream: &str, number: u64, request: RequestId) -> Bytes {
    let why = "The answer is lost: its stream is no longer kept, or its replica is gone. Send the request again";
    let error = Response::error(request, ErrorObject::new(code::INTERNAL_ERROR, why));
    let mut text = BytesMut::new();
    text.put_slice(format!("id: {stream}-{}\n", number.saturating_add(1)).as_bytes());
    sse::encode_event(&error.encode().into_bytes(), &mut text);
    text.freeze()
}
