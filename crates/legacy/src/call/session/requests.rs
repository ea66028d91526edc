//! Requests that a session sends on its own behalf, such as `logging/setLevel`.

use crate::call::transport::{OneWayMessage, SessionError, SessionTransport};
use crate::message::{Incoming, LegacyRequest};
use carryall_proto::{CallError, Outcome, PrintableFmt, Response};
use carryall_types::{ErrorObject, JsonValue, RawJson, RequestId, code};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// How long the server may take to answer a request of the session itself.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends requests over the transport of a session. Cheap to clone; it does not keep the session
/// open.
#[derive(Clone)]
pub(crate) struct SessionRequests {
    transport: Arc<dyn SessionTransport>,
    /// Shared with the calls of the session. 0 is the id of `initialize`.
    last_id: Arc<AtomicI64>,
}

impl SessionRequests {
    pub(super) fn new(transport: Arc<dyn SessionTransport>) -> Self {
        Self {
            transport,
            last_id: Arc::default(),
        }
    }

    pub(crate) fn transport(&self) -> &Arc<dyn SessionTransport> {
        &self.transport
    }

    /// An id that no other request of the session has.
    pub(crate) fn next_id(&self) -> i64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A request with a new id.
    pub(crate) fn request(&self, method: &str, params: &JsonValue) -> LegacyRequest {
        LegacyRequest {
            id: RequestId::from(self.next_id()),
            method: method.to_owned(),
            params: RawJson::from(params),
        }
    }

    /// Sends a request and waits for the response, for at most [`REQUEST_TIMEOUT`].
    ///
    /// # Errors
    /// When no response arrives. An error response is an [`Outcome`].
    pub(crate) async fn call(
        &self,
        method: &str,
        params: &JsonValue,
    ) -> Result<Outcome, SessionError> {
        let request = self.request(method, params);
        match timeout(REQUEST_TIMEOUT, outcome(&*self.transport, request)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let why = format!("no response to {method} within {REQUEST_TIMEOUT:?}");
                Err(CallError::broken(why).into())
            }
        }
    }
}

/// Sends a request and waits for the response. Not bounded in time.
///
/// # Errors
/// When no response arrives. An error response is an [`Outcome`].
pub(crate) async fn outcome(
    transport: &dyn SessionTransport,
    request: LegacyRequest,
) -> Result<Outcome, SessionError> {
    let id = request.id.clone();
    let mut incoming = transport.request(request).await?;
    while let Some(message) = incoming.next().await {
        match message? {
            Incoming::Response(response) if response.id == id => return Ok(response.outcome),
            Incoming::ErrorWithoutId(error) => return Ok(Outcome::Error(error)),
            // Answered at once: the server may wait for it before it responds.
            Incoming::Request(request) => {
                let response = match &*request.method {
                    "ping" => Response::result(request.id, RawJson::EMPTY_OBJECT),
                    method => {
                        let why = format!(
                            "{method} is not possible: it comes with a request that no caller has made"
                        );
                        Response::error(request.id, ErrorObject::new(code::INVALID_REQUEST, why))
                    }
                };
                transport.send(OneWayMessage::Response(response)).await?;
            }
            other => {
                tracing::debug!(other = ?PrintableFmt(&other), "ignored a message that came with a request of the session");
            }
        }
    }
    Err(CallError::broken("the answer ended without a response").into())
}
