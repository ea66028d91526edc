//! Server-initiated requests (elicitation, sampling, roots) that wait for the client's response.

use crate::message::LegacyRequest;
use carryall_proto::sync::Mutex;
use carryall_proto::{Outcome, Response};
use carryall_types::{RawJson, RequestId};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The prefix of the ids of all server-initiated requests.
const ID_PREFIX: &str = "q-";
/// The length of these ids, in bytes.
const ID_BYTES: usize = ID_PREFIX.len() + 16;

/// Maximum number of pending requests, over all calls of one client.
const MAX_PENDING: usize = 1024;

/// The pending server-initiated requests to one client. Cheap to clone; clones are one table.
#[derive(Clone, Default)]
pub(crate) struct ServerRequests(Arc<Mutex<HashMap<String, oneshot::Sender<Outcome>>>>);

impl ServerRequests {
    /// Creates a request to send, and the handle that receives its response. `None` if too many are
    /// pending.
    pub(crate) fn open(
        &self,
        method: &str,
        params: RawJson,
    ) -> Option<(LegacyRequest, PendingServerRequest)> {
        // Ids are unique across replicas, so that a response finds its request wherever it arrives.
        let mut random = [0; 8];
        getrandom::fill(&mut random).ok()?;
        let id = format!("{ID_PREFIX}{:016x}", u64::from_le_bytes(random));
        let (sender, response) = oneshot::channel();
        let mut pending = self.0.lock();
        if pending.len() >= MAX_PENDING {
            return None;
        }
        pending.insert(id.clone(), sender);
        let request = LegacyRequest {
            id: RequestId::String(id.as_str().into()),
            method: method.to_owned(),
            params,
        };
        Some((
            request,
            PendingServerRequest {
                id,
                response,
                requests: self.clone(),
            },
        ))
    }

    /// Returns whether `id` has the form of the ids made here, on this replica or on another.
    pub(crate) fn is_id(id: &RequestId) -> bool {
        matches!(id, RequestId::String(id) if id.len() == ID_BYTES && id.starts_with(ID_PREFIX))
    }

    /// Delivers a response. Returns `false` if no request with its id is pending here.
    pub(crate) fn respond(&self, response: Response) -> bool {
        let RequestId::String(id) = &response.id else {
            return false;
        };
        let waiting = self.0.lock().remove(&**id);
        waiting.is_some_and(|waiting| waiting.send(response.outcome).is_ok())
    }

    /// Returns whether a request with this id is pending.
    pub(crate) fn is_pending(&self, id: &RequestId) -> bool {
        matches!(id, RequestId::String(id) if self.0.lock().contains_key(&**id))
    }
}

/// One pending request. Dropping it withdraws the request: a later response is not delivered.
pub(crate) struct PendingServerRequest {
    id: String,
    response: oneshot::Receiver<Outcome>,
    requests: ServerRequests,
}

impl PendingServerRequest {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Waits for the response; `None` if there will be none. Cancel safe.
    pub(crate) async fn response(&mut self) -> Option<Outcome> {
        (&mut self.response).await.ok()
    }
}

impl Drop for PendingServerRequest {
    fn drop(&mut self) {
        self.requests.0.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_response_is_delivered_once() {
        let requests = ServerRequests::default();
        let (request, mut pending) = requests.open("roots/list", RawJson::EMPTY_OBJECT).unwrap();
        assert!(ServerRequests::is_id(&request.id));
        let response = Response::result(request.id.clone(), RawJson::EMPTY_OBJECT);
        assert!(requests.respond(response.clone()));
        assert!(!requests.respond(response));
        assert_eq!(
            pending.response().await,
            Some(Outcome::Result(RawJson::EMPTY_OBJECT))
        );
    }

    #[test]
    fn a_dropped_request_is_withdrawn() {
        let requests = ServerRequests::default();
        let (request, pending) = requests.open("roots/list", RawJson::EMPTY_OBJECT).unwrap();
        drop(pending);
        assert!(!requests.respond(Response::result(request.id, RawJson::EMPTY_OBJECT)));
        assert!(!requests.respond(Response::result(1.into(), RawJson::EMPTY_OBJECT)));
        assert!(
            !ServerRequests::is_id(&1.into())
                && !ServerRequests::is_id(&RequestId::String("q-1".into()))
        );
    }

    #[test]
    fn pending_requests_are_bounded() {
        let requests = ServerRequests::default();
        let open: Vec<_> = (0..MAX_PENDING)
            .map(|_| requests.open("roots/list", RawJson::EMPTY_OBJECT).unwrap())
            .collect();
        assert!(requests.open("roots/list", RawJson::EMPTY_OBJECT).is_none());
        drop(open);
        assert!(requests.open("roots/list", RawJson::EMPTY_OBJECT).is_some());
    }
}
