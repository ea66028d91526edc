//! One call of the service, and the requests that it makes of the client.

use crate::generate::Emitter;
use crate::serve::client_session::{CANCELLED, ClientSession};
use crate::serve::exchange::{Outgoing, RequestContext};
use crate::serve::translate::input_requests;
use carryall_proto::deprecated::DeprecatedFeature;
use carryall_proto::{Call, CallError, Notification, Outcome};
use carryall_types::{
    ErrorObject, InputRequest, InputRequests, JsonObject, JsonValue, Method, RawJson, RequestId,
    code,
};
use std::sync::Arc;
use tokio::time::timeout;

/// The request that is forwarded, and where its messages go.
pub(crate) struct Forward<'a> {
    pub(crate) session: &'a Arc<ClientSession>,
    pub(crate) id: &'a RequestId,
    pub(crate) method: Method,
    pub(crate) context: &'a RequestContext,
    pub(crate) out: &'a Emitter<Outgoing>,
}

/// Elicitations by URL that the user has accepted (2025-11-25
/// `client/elicitation#url-mode-elicitation-requests`).
#[derive(Default)]
pub(super) struct UrlElicitations {
    /// Sent when the service goes on, which means that the interaction out of band is complete.
    completions: Vec<Notification>,
}

impl Forward<'_> {
    /// Calls the service once. The notifications before its response go to the client.
    pub(super) async fn call_service(&self, call: Call) -> Result<Outcome, ErrorObject> {
        let failed = |error: CallError| {
            tracing::error!(%error, "no answer from the service");
            ErrorObject::internal()
        };
        let reply = self.session.service.answer(call).await.map_err(failed)?;
        let emit = |notification| self.out.emit(Outgoing::Notification(notification));
        let response = reply.into_response_with(emit).await.map_err(failed)?;
        Ok(response.outcome)
    }

    /// Sends the client all requests of a round at once, and waits for all responses. Returns the
    /// `inputResponses` of the next round.
    pub(super) async fn ask_client(
        &self,
        requests: InputRequests,
        elicitations: &mut UrlElicitations,
    ) -> Result<RawJson, ErrorObject> {
        let session = self.session;
        let mut open = Vec::new();
        for (key, request) in requests {
            warn_if_deprecated(&request);
            let (params, elicitation) =
                input_requests::params(session.negotiated.version, &request)?;
            let (message, pending) = session
                .server_requests
                .open(request.method(), params)
                .ok_or_else(|| {
                    ErrorObject::new(
                        code::INTERNAL_ERROR,
                        "Too many requests to this client are pending",
                    )
                })?;
            self.out.emit(Outgoing::Request(message)).await;
            open.push((key, request.method(), pending, elicitation));
        }
        let mut responses = JsonObject::new();
        for (key, method, mut pending, elicitation) in open {
            let limit = session.options.input_timeout;
            let response = tokio::select! {
                biased;
                response = timeout(limit, pending.response()) => response.map_err(|_| {
                    format!("The client did not answer {method} within {limit:?}")
                }),
                // A response could no longer reach this process.
                () = session.shutdown.begun() => {
                    Err("The server is shutting down; send the request again".into())
                }
            };
            match response {
                Ok(Some(Outcome::Result(response))) => {
                    let response: JsonValue =
                        response.decode().map_err(|_| ErrorObject::internal())?;
                    let accepted = response
                        .get("action")
                        .is_some_and(|action| action == "accept");
                    elicitations.completions.extend(
                        elicitation
                            .filter(|_| accepted)
                            .map(input_requests::completed),
                    );
                    responses.insert(key, response);
                }
                Ok(Some(Outcome::Error(error))) => {
                    let why = format!(
                        "The client did not answer {method}: {} ({})",
                        error.message, error.code
                    );
                    return Err(ErrorObject::new(code::INTERNAL_ERROR, why));
                }
                Ok(None) => return Err(ErrorObject::internal()),
                Err(why) => {
                    self.cancel_server_request(pending.id()).await;
                    return Err(ErrorObject::new(code::INTERNAL_ERROR, why));
                }
            }
        }
        RawJson::from_value(&responses).map_err(|_| ErrorObject::internal())
    }

    /// Tells the client that the accepted elicitations by URL are complete.
    pub(super) async fn announce_completed(&self, elicitations: &mut UrlElicitations) {
        for completed in elicitations.completions.drain(..) {
            self.out.emit(Outgoing::Notification(completed)).await;
        }
    }

    async fn cancel_server_request(&self, id: &str) {
        let params = serde_json::json!({"requestId": id, "reason": "The server no longer waits"});
        let cancelled = Notification::new(CANCELLED, RawJson::from(&params));
        self.out.emit(Outgoing::Notification(cancelled)).await;
    }
}

/// Warns the operator, once per process, that the server relies on a deprecated feature.
fn warn_if_deprecated(request: &InputRequest) {
    let feature = match request {
        InputRequest::Elicit(_) => return,
        InputRequest::CreateMessage(_) => DeprecatedFeature::Sampling,
        InputRequest::ListRoots(_) => DeprecatedFeature::Roots,
    };
    if feature.is_first_use() {
        tracing::warn!("a legacy client is asked for input: {}", feature.notice());
    }
}
