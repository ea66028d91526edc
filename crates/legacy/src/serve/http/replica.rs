//! What the endpoint does for other replicas.

use super::session_table::SessionLookup;
use super::state::EndpointState;
use super::stream::{EventBody, EventId};
use crate::message::{Incoming, ParsedBody, parse};
use crate::serve::bus::{BusReceiver, EventText, SessionEvent, SessionEventKind, SessionSnapshot};
use crate::serve::client_session::{CANCELLED, SettingChange};
use carryall_proto::Notification;
use futures_util::StreamExt as _;
use std::sync::Arc;

impl BusReceiver for EndpointState {
    fn deliver(&self, event: SessionEvent) {
        let SessionEvent {
            session: name,
            kind,
        } = event;
        // These do not need a session in the table.
        let kind = match kind {
            SessionEventKind::Ended { until } => return self.sessions.end(&name, until),
            SessionEventKind::Posted(message) => return self.channels.deliver(&name, message),
            kind => kind,
        };
        let Some(session) = self.sessions.peek(&name) else {
            return;
        };
        let client = &session.client;
        match kind {
            SessionEventKind::Response(message) => {
                if let Ok(ParsedBody::One(Incoming::Response(response))) =
                    parse(&message.into_bytes())
                {
                    client.on_response(response);
                }
            }
            SessionEventKind::Cancelled(params) => {
                client.on_notification(&Notification::new(CANCELLED, params));
            }
            SessionEventKind::LogLevel(level) => client.apply(SettingChange::LogLevel(level)),
            SessionEventKind::Subscribed(uri) => client.apply(SettingChange::Subscribed(uri)),
            SessionEventKind::Unsubscribed(uri) => client.apply(SettingChange::Unsubscribed(uri)),
            SessionEventKind::Listening => session.set_changes_stream(None),
            SessionEventKind::Posted(_) | SessionEventKind::Ended { .. } => {}
        }
    }

    fn snapshot(&self, session: &str) -> Option<SessionSnapshot> {
        match self.sessions.find_named(session) {
            SessionLookup::Known(session) => {
                session.loaded.initialized().then(|| session.snapshot())
            }
            SessionLookup::Ended => Some(SessionSnapshot {
                ended: true,
                ..SessionSnapshot::default()
            }),
            SessionLookup::Unknown => None,
        }
    }

    fn resume(self: Arc<Self>, session: &str, last: &str) -> Option<EventText> {
        let id = EventId::parse(last)?;
        let stream = self.streams.find(id.stream, session)?;
        let usage = Arc::clone(stream.usage()?);
        let publisher = Arc::clone(&self.publisher);
        let body = EventBody::new(stream.read(Some(id.number)), self.options.keep_alive);
        // Beyond the quota the stream is cut short; the client resumes it for the rest.
        Some(Box::pin(body.take_while(move |text| {
            let reserved = publisher.reserve(&usage.caller, text.len());
            let reserved = reserved.inspect_err(
                |exceeded| tracing::debug!(%exceeded, "a relayed stream is cut short"),
            );
            std::future::ready(reserved.is_ok())
        })))
    }
}
