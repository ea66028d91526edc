//! Answers one request of a client.

use super::client_session::{ClientSession, SettingChange};
use super::discover::discover;
use super::exchange::{Exchange, Outgoing, RequestContext};
use super::forward::{self, Forward};
use super::tasks;
use super::translate::errors;
use crate::generate::{self, Emitter};
use crate::message::LegacyRequest;
use carryall_proto::{Outcome, Params, Response};
use carryall_types::{ErrorObject, LoggingLevel, Method, RawJson, code};
use futures_util::future::{AbortHandle, Abortable};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Answers one request.
pub(crate) fn answer(
    session: &Arc<ClientSession>,
    request: LegacyRequest,
    context: RequestContext,
) -> Exchange {
    let (abort, registration) = AbortHandle::new_pair();
    let limit = session.options.max_in_flight;
    let in_flight = match session.requests.insert(&request.id, abort, limit) {
        Ok(in_flight) => in_flight,
        Err(error) => {
            let refusal = Outgoing::Response(Response::error(request.id, error));
            return Box::pin(futures_util::stream::iter([refusal]));
        }
    };
    let session = Arc::clone(session);
    let exchange = generate::stream(move |out| async move {
        let outcome = match dispatch(&session, &request, context, &out).await {
            Ok(result) => Outcome::Result(result),
            Err(error) => Outcome::Error(error),
        };
        // The client may reuse the id as soon as it has the response.
        drop(in_flight);
        out.emit(Outgoing::Response(Response {
            id: request.id,
            outcome,
        }))
        .await;
    });
    Box::pin(Abortable::new(exchange, registration))
}

async fn dispatch(
    session: &Arc<ClientSession>,
    request: &LegacyRequest,
    context: RequestContext,
    out: &Emitter<Outgoing>,
) -> Result<RawJson, ErrorObject> {
    let empty = |()| RawJson::EMPTY_OBJECT;
    match request.method.as_str() {
        "ping" => Ok(RawJson::EMPTY_OBJECT),
        "initialize" => Err(ErrorObject::new(
            code::INVALID_REQUEST,
            "Invalid request: this session is already initialized",
        )),
        "logging/setLevel" => set_log_level(session, request).map(empty),
        "resources/subscribe" => subscribe(session, request, &context).await.map(empty),
        "resources/unsubscribe" => {
            let uri = uri_param(request)?;
            session.apply(SettingChange::Unsubscribed(uri));
            Ok(RawJson::EMPTY_OBJECT)
        }
        method if tasks::is_task_method(method) => tasks::answer(session, request, out).await,
        // Methods of 2026-07-28 alone.
        "server/discover" | "subscriptions/listen" => {
            Err(ErrorObject::method_not_found(&request.method))
        }
        method => {
            // The one parse of the parameters: whatever follows works on its ranges.
            let params = Params::parse(request.params.clone())
                .map_err(|error| ErrorObject::invalid_params(format!("Invalid params: {error}")))?;
            if tasks::is_requested(session, method, &params) {
                return tasks::start(session, request, context);
            }
            let forward = Forward {
                session,
                id: &request.id,
                method: Method::from(method),
                context: &context,
                out,
            };
            forward::run(&forward, params)
                .await
                .map_err(|error| errors::for_client(method, error))
        }
    }
}

fn set_log_level(session: &ClientSession, request: &LegacyRequest) -> Result<(), ErrorObject> {
    #[derive(Deserialize)]
    struct LevelParams {
        level: LoggingLevel,
    }
    let LevelParams { level } = decode_params(request)?;
    session.apply(SettingChange::LogLevel(level));
    Ok(())
}

async fn subscribe(
    session: &ClientSession,
    request: &LegacyRequest,
    context: &RequestContext,
) -> Result<(), ErrorObject> {
    let uri = uri_param(request)?;
    let found = discover(&session.service, session.meta.clone(), context).await?;
    let resources = found.capabilities.resources;
    if resources.and_then(|resources| resources.subscribe) != Some(true) {
        return Err(ErrorObject::method_not_found(&request.method));
    }
    session
        .subscriptions
        .add(uri)
        .map_err(|refused| refused.to_error())
}

fn uri_param(request: &LegacyRequest) -> Result<String, ErrorObject> {
    #[derive(Deserialize)]
    struct UriParams {
        uri: String,
    }
    let UriParams { uri } = decode_params(request)?;
    if uri.is_empty() {
        return Err(ErrorObject::invalid_params(
            "Invalid params: the uri is empty",
        ));
    }
    Ok(uri)
}

fn decode_params<T: DeserializeOwned>(request: &LegacyRequest) -> Result<T, ErrorObject> {
    let method = &request.method;
    request.params.decode().map_err(|error| {
        ErrorObject::invalid_params(format!("Invalid params of {method}: {error}"))
    })
}
