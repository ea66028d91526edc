//! One request of a client, where it came from, and everything that is sent for it.

use crate::generate::Generated;
use crate::message::LegacyRequest;
use bytes::{BufMut as _, Bytes, BytesMut};
use carryall_proto::{CallSource, Caller, Notification, Principal, Response};
use carryall_types::{ErrorObject, RequestId};
use futures_util::StreamExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// A message to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Notification(Notification),
    /// A server-initiated request: elicitation, sampling or roots.
    Request(LegacyRequest),
    Response(Response),
}

impl Outgoing {
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Notification(notification) => notification.encode(),
            Self::Request(request) => request.encode(),
            Self::Response(response) => response.encode(),
        }
        .into_bytes()
    }
}

/// The messages sent for one request; the response is the last one. Ends without a response if the
/// client cancels the request. Dropping it cancels the call.
pub(crate) type Exchange = Generated<Outgoing>;

/// Who sent a request and where it came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestContext {
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) extensions: http::Extensions,
    pub(crate) source: CallSource,
}

impl RequestContext {
    /// Returns the caller whose quotas the request counts against.
    pub(crate) fn caller(&self) -> Caller {
        Caller::accountable_for(self.principal.as_deref(), self.source)
    }
}

/// Turns a panic of the exchange into an internal error for the request `id`.
pub(crate) fn catch_panics(exchange: Exchange, id: RequestId) -> Exchange {
    Box::pin(AssertUnwindSafe(exchange).catch_unwind().map(move |item| {
        item.unwrap_or_else(|_| {
            tracing::error!(%id, "a request panicked");
            Outgoing::Response(Response::error(id.clone(), ErrorObject::internal()))
        })
    }))
}

/// Joins encoded messages into one JSON array.
pub(crate) fn encode_batch(messages: impl IntoIterator<Item = Bytes>) -> Bytes {
    let mut text = BytesMut::new();
    for (index, message) in messages.into_iter().enumerate() {
        text.put_u8(if index == 0 { b'[' } else { b',' });
        text.put(message);
    }
    text.put_u8(b']');
    text.freeze()
}
