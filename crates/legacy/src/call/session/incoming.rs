//! Messages of the server that are not responses.

use super::LegacySession;
use super::router::{QuestionTarget, ServerEvent};
use crate::call::translate;
use crate::call::transport::OneWayMessage;
use crate::message::{Incoming, LegacyRequest};
use carryall_proto::{CallError, Notification, Params, Printable, PrintableFmt, Response};
use carryall_types::{
    ErrorObject, InputRequest, LoggingLevel, ProgressToken, RawJson, RequestId, code, notification,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How much of the name of an unknown method is repeated in logs and errors.
const MAX_METHOD_SHOWN: usize = 100;

impl LegacySession {
    /// Starts to receive messages that belong to no request. Further calls do nothing.
    pub(crate) fn listen(self: &Arc<Self>) {
        if self.is_listening.swap(true, Ordering::Relaxed) {
            return;
        }
        // Weak, because the session owns the transport.
        let session = Arc::downgrade(self);
        self.transport().on_unsolicited(Arc::new(move |incoming| {
            if let Some(session) = session.upgrade() {
                session.receive(incoming);
            }
        }));
    }

    fn receive(&self, incoming: Result<Incoming, CallError>) {
        match incoming {
            Ok(Incoming::Notification(notification)) => self.receive_notification(notification),
            Ok(Incoming::Request(request)) => self.receive_request(request),
            Ok(Incoming::Response(response)) => self.receive_late_response(&response.id),
            Ok(Incoming::ErrorWithoutId(error)) => {
                tracing::warn!(%error, "the server could not read a message");
            }
            Err(error) if self.transport().is_multiplexed() => self.fail(error),
            Err(error) => {
                tracing::debug!(%error, "the stream of changes has ended");
                self.subscriptions.close();
            }
        }
    }

    fn receive_late_response(&self, id: &RequestId) {
        let abandoned =
            matches!(id, RequestId::Number(id) if self.router.lock().abandoned_call_ended(*id));
        tracing::debug!(%id, abandoned, "ignored a response that no call waits for");
    }

    /// Handles a notification that came on the stream of call `id`. Returns it if it is for the
    /// caller.
    pub(crate) fn notification_of_call(
        &self,
        id: i64,
        mut notification: Notification,
    ) -> Option<Notification> {
        match &*notification.method {
            notification::PROGRESS => {
                let token = self.router.lock().get(id)?.progress_token()?.clone();
                notification
                    .set_progress_token(&token)
                    .then_some(notification)
            }
            notification::MESSAGE => {
                let level = log_level(&notification)?;
                let router = self.router.lock();
                router.get(id)?.wants_log(level).then_some(notification)
            }
            _ => {
                self.subscriptions.publish(&notification);
                None
            }
        }
    }

    /// Handles a notification that came on no stream of a call. It names its call or is for all.
    fn receive_notification(&self, mut notification: Notification) {
        let events = &self.budgets.events;
        match &*notification.method {
            notification::PROGRESS => {
                let Some(id) = call_of_progress(&notification) else {
                    return tracing::debug!("ignored progress of an unknown call");
                };
                let router = self.router.lock();
                let Some(route) = router.get(id) else { return };
                let token = route.progress_token();
                if token.is_some_and(|token| notification.set_progress_token(token)) {
                    let _ = route.offer(ServerEvent::Notification(notification), events);
                }
            }
            notification::MESSAGE => {
                let Some(level) = log_level(&notification) else {
                    return;
                };
                let subscribers = self.subscriptions.callers();
                for route in self.router.lock().log_targets(level, &subscribers) {
                    let _ = route.offer(ServerEvent::Notification(notification.clone()), events);
                }
            }
            _ => self.subscriptions.publish(&notification),
        }
    }

    /// Handles a request that came on the stream of call `id`. Returns a question for the caller.
    pub(crate) fn request_of_call(
        &self,
        id: i64,
        request: LegacyRequest,
    ) -> Option<(LegacyRequest, Box<InputRequest>)> {
        let question = self.handle_request(&request)?;
        let accepts = self
            .router
            .lock()
            .get(id)
            .is_some_and(|route| route.accepts(&question));
        if accepts {
            return Some((request, Box::new(question)));
        }
        self.refuse(&request);
        None
    }

    /// Handles a request that came on no stream of a call.
    fn receive_request(&self, request: LegacyRequest) {
        let Some(question) = self.handle_request(&request) else {
            return;
        };
        let router = self.router.lock();
        let (route, abandoned) = match router.question_target(&question) {
            QuestionTarget::Call(route) => (Some(route), None),
            QuestionTarget::Ambiguous { abandoned } => (None, Some(abandoned)),
            QuestionTarget::Nobody => (None, None),
        };
        let event = ServerEvent::Question(request, Box::new(question));
        let undelivered = match route {
            Some(route) => route.offer(event, &self.budgets.events).err(),
            None => Some(event),
        };
        drop(router);
        match (undelivered, abandoned) {
            (Some(ServerEvent::Question(request, _)), None) => self.refuse(&request),
            (Some(ServerEvent::Question(request, _)), Some(abandoned)) => {
                self.refuse_ambiguous(&request, abandoned);
            }
            _ => {}
        }
    }

    /// Answers a request, or hands it to the input handler. Returns a question that the caller has
    /// to answer.
    fn handle_request(&self, request: &LegacyRequest) -> Option<InputRequest> {
        let id = request.id.clone();
        if request.method == "ping" {
            self.respond(Response::result(id, RawJson::EMPTY_OBJECT));
            return None;
        }
        let question = match translate::question(request) {
            Some(Ok(question)) => question,
            Some(Err(error)) => {
                self.respond(Response::error(id, error));
                return None;
            }
            None => {
                let method = shown_method(request);
                self.respond(Response::error(id, ErrorObject::method_not_found(&method)));
                return None;
            }
        };
        let Some(answer) = self
            .input_handler
            .as_ref()
            .and_then(|handler| handler(question.clone()))
        else {
            return Some(question);
        };
        let (transport, asked) = (Arc::clone(self.transport()), id.clone());
        let handling = self.handled_questions.spawn(2 * request.size(), async move {
            let response = match answer.await {
                Ok(answer) => Response::result(asked, answer),
                Err(error) => Response::error(asked, error),
            };
            if let Err(error) = transport.send(OneWayMessage::Response(response)).await {
                tracing::debug!(error = ?PrintableFmt(&error), "an answer did not reach the server");
            }
        });
        if handling.is_err() {
            let why = "too many questions of this server wait for their answers already";
            let error = ErrorObject::new(code::INTERNAL_ERROR, why);
            self.respond(Response::error(id, error));
        }
        None
    }

    /// Refuses a question that no caller accepts.
    pub(crate) fn refuse(&self, request: &LegacyRequest) {
        let why = format!(
            "{} is not possible: this client does not support it, or no call is in flight",
            shown_method(request)
        );
        let error = ErrorObject::new(code::METHOD_NOT_FOUND, why);
        self.respond(Response::error(request.id.clone(), error));
    }

    /// Refuses a question that may be about a call of any of several callers.
    fn refuse_ambiguous(&self, request: &LegacyRequest, abandoned: bool) {
        if abandoned {
            // This may not change for the rest of the session.
            self.is_retired.store(true, Ordering::Relaxed);
        }
        let method = shown_method(request);
        if self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(method = %Printable(&method), "refused a question that may be for any of several callers");
        } else {
            tracing::warn!(
                method = %Printable(&method),
                "refused a question of the server: it names no call and may be for any of several \
                 callers. Further ones will be refused too; with sessions per client or per call \
                 such a server can ask"
            );
        }
        let why = format!(
            "{method} is not possible: calls of several callers are in flight in this session, and \
             the request does not say which of them it belongs to"
        );
        let error = ErrorObject::new(code::INVALID_REQUEST, why);
        self.respond(Response::error(request.id.clone(), error));
    }
}

fn shown_method(request: &LegacyRequest) -> String {
    Printable(&request.method)
        .clipped(MAX_METHOD_SHOWN)
        .to_string()
}

/// The call whose progress this is.
fn call_of_progress(notification: &Notification) -> Option<i64> {
    match notification.progress_token()? {
        ProgressToken::String(token) => translate::call_of_progress_token(&token),
        ProgressToken::Number(_) => None,
    }
}

fn log_level(notification: &Notification) -> Option<LoggingLevel> {
    let params = Params::parse(notification.params.clone()?).ok()?;
    params.get("level")?.decode().ok()
}
