//! One client of an earlier revision, as this process knows it.

use super::changes::{self, Change, Subscriptions};
use super::forward::{self, Forward};
use super::negotiated::{self, Negotiated};
use super::options::Options;
use super::questions::ServerRequests;
use super::quotas::ServerQuotas;
use super::shutdown::Shutdown;
use super::tasks::{self, SessionTasks};
use super::translate::errors;
use crate::generate;
use crate::message::Request;
use bytes::Bytes;
use carryall_proto::sync::Mutex;
use carryall_proto::{
    CallSource, Caller, Notification, Outcome, Principal, Response, SharedService,
};
use carryall_types::{ErrorObject, LoggingLevel, Method, RawJson, RequestId, code};
use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use serde::Deserialize;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};

/// What goes to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Notification(Notification),
    /// A question.
    Request(Request),
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

/// All that goes to the client for one request; the response comes last. It ends without one if the
/// client cancelled the request. Dropping it cancels the call.
pub(crate) type Exchange = Pin<Box<dyn Stream<Item = Outgoing> + Send>>;

/// Where a request came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestContext {
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) extensions: http::Extensions,
    pub(crate) source: CallSource,
}

impl RequestContext {
    /// Whose quotas the request counts against.
    pub(crate) fn caller(&self) -> Caller {
        Caller::accountable_for(self.principal.as_deref(), self.source)
    }
}

/// What all clients of a server are served with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ServerContext {
    pub(crate) service: SharedService,
    pub(crate) options: Arc<Options>,
    pub(crate) quotas: Arc<ServerQuotas>,
    pub(crate) shutdown: Shutdown,
}

impl ServerContext {
    pub(crate) fn new(service: SharedService, options: Options) -> Self {
        let quotas = Arc::new(ServerQuotas::new(&options));
        Self {
            service,
            options: Arc::new(options),
            quotas,
            shutdown: Shutdown::default(),
        }
    }
}

/// One client, for as long as this process knows it.
pub(crate) struct ClientSession {
    pub(crate) service: SharedService,
    pub(crate) options: Arc<Options>,
    pub(crate) negotiated: Negotiated,
    pub(crate) questions: ServerRequests,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) tasks: SessionTasks,
    pub(crate) quotas: Arc<ServerQuotas>,
    pub(crate) shutdown: Shutdown,
    /// Whose quotas count what is held for it.
    pub(crate) caller: Caller,
    log_level: Mutex<Option<LoggingLevel>>,
    in_work: Mutex<RequestTable>,
}

/// The requests in flight.
#[derive(Default)]
struct RequestTable {
    requests: HashMap<RequestId, Entry>,
    /// How many there have been. A client may use an id again as soon as its request is answered or
    /// cancelled.
    admitted: u64,
}

struct Entry {
    number: u64,
    abort: AbortHandle,
}

impl ClientSession {
    /// Answers `initialize`.
    pub(crate) async fn initialize(
        service: &SharedService,
        options: &Options,
        params: &RawJson,
        origin: &RequestContext,
    ) -> Result<(Negotiated, RawJson), ErrorObject> {
        negotiated::initialize(service, options, params, origin).await
    }

    pub(crate) fn new(server: &ServerContext, negotiated: Negotiated, caller: Caller) -> Arc<Self> {
        let ServerContext {
            service,
            options,
            quotas,
            shutdown,
        } = server.clone();
        Arc::new(Self {
            subscriptions: Subscriptions::new(
                options.max_subscriptions,
                quotas.subscriptions.clone(),
                caller.clone(),
            ),
            service,
            options,
            negotiated,
            questions: ServerRequests::default(),
            tasks: SessionTasks::default(),
            quotas,
            shutdown,
            caller,
            log_level: Mutex::default(),
            in_work: Mutex::default(),
        })
    }

    /// Answers one request.
    pub(crate) fn answer(self: &Arc<Self>, request: Request, origin: RequestContext) -> Exchange {
        let (abort, registration) = AbortHandle::new_pair();
        let id = request.id.clone();
        let place = match self.enter(&id, abort) {
            Ok(place) => place,
            Err(error) => return once(Response::error(id, error)),
        };
        let this = Arc::clone(self);
        let exchange = generate::stream(move |out| async move {
            let place = place;
            let outcome = this.outcome(&request, origin, &out).await;
            // The id is free again once its client can know.
            drop(place);
            out.emit(Outgoing::Response(Response {
                id: request.id,
                outcome,
            }))
            .await;
        });
        Box::pin(Abortable::new(exchange, registration))
    }

    async fn outcome(
        self: &Arc<Self>,
        request: &Request,
        origin: RequestContext,
        out: &generate::Emitter<Outgoing>,
    ) -> Outcome {
        let done = |result: Result<(), ErrorObject>| match result {
            Ok(()) => Outcome::Result(RawJson::EMPTY_OBJECT),
            Err(error) => Outcome::Error(error),
        };
        match request.method.as_str() {
            "ping" => Outcome::Result(RawJson::EMPTY_OBJECT),
            "initialize" => Outcome::Error(ErrorObject::new(
                code::INVALID_REQUEST,
                "Invalid request: this session is initialized already",
            )),
            "logging/setLevel" => done(self.set_level(request)),
            "resources/subscribe" => done(self.subscribe(request, &origin).await),
            "resources/unsubscribe" => {
                done(uri_of(request).map(|uri| self.apply(Change::Unsubscribed(uri))))
            }
            method if tasks::owns(method) => tasks::answer(self, request, out)
                .await
                .unwrap_or_else(Outcome::Error),
            _ if tasks::is_wanted(self, request) => match tasks::begin(self, request, origin) {
                Ok(begun) => Outcome::Result(begun),
                Err(error) => Outcome::Error(error),
            },
            // Methods of this revision alone.
            "server/discover" | "subscriptions/listen" => {
                Outcome::Error(ErrorObject::method_not_found(&request.method))
            }
            _ => {
                let method = Method::from(request.method.as_str());
                match forward::run(Forward {
                    conversation: self,
                    request,
                    method,
                    origin: &origin,
                    out,
                })
                .await
                {
                    Ok(result) => Outcome::Result(result),
                    Err(error) => Outcome::Error(errors::for_client(request, error)),
                }
            }
        }
    }

    /// Takes a notification in. `false` for the cancellation of a request that is not in work here.
    pub(crate) fn notification(&self, notification: &Notification) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cancelled {
            request_id: RequestId,
        }
        if notification.method != "notifications/cancelled" {
            tracing::debug!(method = %carryall_proto::Printable(&notification.method), "notification of a legacy client");
            return true;
        }
        let Some(Ok(Cancelled { request_id })) = notification.params.as_ref().map(RawJson::decode)
        else {
            return true;
        };
        match self.in_work().requests.remove(&request_id) {
            Some(Entry { abort, .. }) => {
                tracing::debug!(id = %request_id, "cancelled by the client");
                abort.abort();
                true
            }
            None => false,
        }
    }

    /// Takes the answer to a question in. `false` when it was not asked here, or nobody waits for
    /// it any more.
    pub(crate) fn response(&self, response: Response) -> bool {
        self.questions.answer(response)
    }

    /// What changes, for as long as somebody listens, until the server shuts down.
    pub(crate) fn changes(
        self: &Arc<Self>,
        origin: RequestContext,
    ) -> Pin<Box<dyn Stream<Item = Notification> + Send>> {
        Box::pin(
            changes::stream(Arc::clone(self), origin).take_until(Box::pin(self.shutdown.begun())),
        )
    }

    /// Applies a change of what the client wants to hear.
    pub(crate) fn apply(&self, change: Change) {
        match change {
            Change::LogLevel(level) => {
                *self.log_level.lock() = Some(level);
            }
            Change::Subscribed(uri) => {
                if let Err(error) = self.subscriptions.add(uri) {
                    tracing::debug!(%error, "a subscription made at another replica is not adopted");
                }
            }
            Change::Unsubscribed(uri) => self.subscriptions.remove(&uri),
        }
    }

    pub(crate) fn log_level(&self) -> Option<LoggingLevel> {
        *self.log_level.lock()
    }

    fn set_level(&self, request: &Request) -> Result<(), ErrorObject> {
        #[derive(Deserialize)]
        struct Params {
            level: LoggingLevel,
        }
        let Params { level } = decode(request)?;
        self.apply(Change::LogLevel(level));
        Ok(())
    }

    async fn subscribe(
        &self,
        request: &Request,
        origin: &RequestContext,
    ) -> Result<(), ErrorObject> {
        let uri = uri_of(request)?;
        let found = negotiated::discover(&self.service, &self.negotiated, origin).await?;
        if found
            .capabilities
            .resources
            .and_then(|resources| resources.subscribe)
            != Some(true)
        {
            return Err(ErrorObject::method_not_found(&request.method));
        }
        self.subscriptions
            .add(uri)
            .map_err(|refused| refused.to_error())
    }

    fn enter(
        self: &Arc<Self>,
        id: &RequestId,
        abort: AbortHandle,
    ) -> Result<InFlightGuard, ErrorObject> {
        let refuse = |why: String| {
            Err(ErrorObject::new(
                code::INVALID_REQUEST,
                format!("Invalid request: {why}"),
            ))
        };
        let mut in_work = self.in_work();
        if in_work.requests.contains_key(id) {
            return refuse(format!("a request with the id {id} is in work already"));
        }
        if in_work.requests.len() >= self.options.max_in_flight {
            return refuse(format!(
                "{} requests are in work already",
                in_work.requests.len()
            ));
        }
        in_work.admitted += 1;
        let number = in_work.admitted;
        in_work.requests.insert(id.clone(), Entry { number, abort });
        Ok(InFlightGuard {
            conversation: Arc::clone(self),
            id: id.clone(),
            number,
        })
    }

    fn in_work(&self) -> MutexGuard<'_, RequestTable> {
        self.in_work.lock()
    }
}

/// A request in work. It is not any more when this is dropped.
struct InFlightGuard {
    conversation: Arc<ClientSession>,
    id: RequestId,
    number: u64,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut in_work = self.conversation.in_work();
        // A cancelled exchange may be dropped later than its id is used again.
        if in_work
            .requests
            .get(&self.id)
            .is_some_and(|entry| entry.number == self.number)
        {
            in_work.requests.remove(&self.id);
        }
    }
}

fn once(response: Response) -> Exchange {
    Box::pin(futures_util::stream::iter([Outgoing::Response(response)]))
}

fn uri_of(request: &Request) -> Result<String, ErrorObject> {
    #[derive(Deserialize)]
    struct Params {
        uri: String,
    }
    let Params { uri } = decode(request)?;
    if uri.is_empty() {
        Err(ErrorObject::invalid_params(
            "Invalid params: the uri is empty",
        ))
    } else {
        Ok(uri)
    }
}

fn decode<T: serde::de::DeserializeOwned>(request: &Request) -> Result<T, ErrorObject> {
    let method = &request.method;
    request.params.decode().map_err(|error| {
        ErrorObject::invalid_params(format!("Invalid params of {method}: {error}"))
    })
}
