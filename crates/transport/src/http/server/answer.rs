//! One request on its way to a response. All of it is this one future: no task, no channel.

use super::body::Events;
use super::collect::BodyReader;
use super::refuse::{JSON, not_found};
use super::{FallbackProtocol, Options, ReplyBody, Shared, cors, door};
use crate::{guard, known};
use bytes::Bytes;
use carryall_proto::decode::{ClientMessage, decode_http_cached, names_protocol_version};
use carryall_proto::validate::Rejection;
use carryall_proto::{BoxFuture, CallError, CallSource, Outcome, Principal, Reply, Response, wire};
use carryall_types::{ErrorObject, RequestId};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body::Body;
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;

type HttpResponse = http::Response<ReplyBody>;

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pin_project_lite::pin_project! {
    /// The future of a response. Dropping it cancels the call.
    pub struct EndpointFuture<B> {
        #[pin]
        body: Option<B>,
        shared: Arc<Shared>,
        origin: Option<HeaderValue>,
        source: CallSource,
        step: Step,
    }
}

enum Step {
    /// Settled by the head of the request alone.
    Settled(Box<HttpResponse>),
    Reading(Reading),
    Calling(Calling),
    /// Answered by the other protocol behind this door.
    Elsewhere(BoxFuture<HttpResponse>),
    Done,
}

struct Reading {
    headers: HeaderMap,
    extensions: http::Extensions,
    collector: BodyReader,
    /// The other protocol behind this door, if the body may be for it.
    undecided: Option<Box<Undecided>>,
}

struct Undecided {
    alternate: Arc<dyn FallbackProtocol>,
    uri: Uri,
    /// The path is its own, whatever the body says.
    decided: bool,
}

struct Calling {
    id: RequestId,
    future: BoxFuture<Result<Reply, CallError>>,
    /// Made when the call turns out not to be immediate.
    sse_after: Option<Pin<Box<Sleep>>>,
}

impl<B> EndpointFuture<B>
where
    B: Body,
    B::Error: Display,
{
    pub(super) fn new(shared: &Arc<Shared>, source: CallSource, request: http::Request<B>) -> Self {
        let options = &shared.options;
        let (mut parts, body) = request.into_parts();
        let source = parts
            .extensions
            .get::<CallSource>()
            .copied()
            .unwrap_or(source);
        let settled = |response, origin| {
            let step = Step::Settled(Box::new(response));
            Self {
                body: None,
                shared: Arc::clone(shared),
                origin,
                source,
                step,
            }
        };
        let owned = shared
            .alternate
            .as_deref()
            .is_some_and(|alternate| alternate.owns(parts.uri.path()));
        if let Some(path) = options
            .path
            .as_deref()
            .filter(|path| *path != parts.uri.path() && !owned)
        {
            return settled(not_found(parts.uri.path(), path), None);
        }
        let heads = door::CheckedHeaders::of(&parts.headers);
        let origin = match door::admit_caller(options, &parts, &heads, &shared.refusals) {
            Ok(origin) => origin,
            Err(refusal) => return settled(refusal.response(), None),
        };
        if parts.method == Method::OPTIONS {
            return settled(
                cors::preflight(&parts.headers, origin, shared.alternate.is_some()),
                None,
            );
        }
        if let Some(alternate) = shared
            .alternate
            .as_deref()
            .filter(|_| parts.method != Method::POST)
        {
            name_source(&mut parts.extensions, source);
            let answering = alternate.answer(Request::from_parts(parts, Bytes::new()));
            return Self {
                body: None,
                shared: Arc::clone(shared),
                origin,
                source,
                step: Step::Elsewhere(answering),
            };
        }
        if let Err(refusal) = door::admit_message(options, &parts, &heads, &body.size_hint()) {
            return settled(refusal.response(), origin);
        }
        let collector = BodyReader::new(options);
        let alternate = shared
            .alternate
            .as_ref()
            .filter(|_| owned || !heads.is_modern());
        let Parts {
            headers,
            extensions,
            uri,
            ..
        } = parts;
        let undecided = alternate.map(|alternate| {
            Box::new(Undecided {
                alternate: Arc::clone(alternate),
                uri,
                decided: owned,
            })
        });
        let reading = Reading {
            headers,
            extensions,
            collector,
            undecided,
        };
        Self {
            body: Some(body),
            shared: Arc::clone(shared),
            origin,
            source,
            step: Step::Reading(reading),
        }
    }
}

impl<B> Future for EndpointFuture<B>
where
    B: Body,
    B::Error: Display,
{
    type Output = Result<HttpResponse, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut response = loop {
            match this.step {
                Step::Reading(reading) => {
                    let read = match this.body.as_mut().as_pin_mut() {
                        Some(body) => ready!(reading.collector.poll(
                            body,
                            cx,
                            &this.shared.bodies,
                            *this.source
                        )),
                        None => Ok(Bytes::new()),
                    };
                    this.body.set(None);
                    match read {
                        Ok(text) => *this.step = reading.admit(this.shared, *this.source, text),
                        Err(refusal) => {
                            *this.step = Step::Done;
                            break refusal.response();
                        }
                    }
                }
                Step::Calling(calling) => {
                    let answered = ready!(calling.poll(&this.shared.options, cx));
                    let Step::Calling(calling) = std::mem::replace(this.step, Step::Done) else {
                        continue;
                    };
                    break calling.respond(&this.shared.options, answered);
                }
                Step::Elsewhere(answering) => {
                    let response = ready!(answering.as_mut().poll(cx));
                    *this.step = Step::Done;
                    break response;
                }
                Step::Settled(_) | Step::Done => {
                    let Step::Settled(response) = std::mem::replace(this.step, Step::Done) else {
                        panic!("polled after completion")
                    };
                    break *response;
                }
            }
        };
        if let Some(origin) = this.origin.take() {
            cors::name_origin(response.headers_mut(), origin);
        }
        Poll::Ready(Ok(response))
    }
}

impl Reading {
    /// Takes what it needs out of `self`, which is done with.
    fn admit(&mut self, shared: &Shared, source: CallSource, text: Bytes) -> Step {
        let settled = |response| Step::Settled(Box::new(response));
        let headers = std::mem::take(&mut self.headers);
        let mut extensions = std::mem::take(&mut self.extensions);
        if let Some(undecided) = self.undecided.take()
            && let Undecided {
                alternate,
                uri,
                decided,
            } = *undecided
            && (decided || (!names_protocol_version(&text) && alternate.takes(&headers, &text)))
        {
            name_source(&mut extensions, source);
            let mut request = Request::new(text);
            *request.method_mut() = Method::POST;
            *request.uri_mut() = uri;
            *request.headers_mut() = headers;
            *request.extensions_mut() = extensions;
            return Step::Elsewhere(alternate.answer(request));
        }
        match known::decode_cached(|cache| decode_http_cached(headers, text, cache)) {
            Ok(ClientMessage::Call(mut call)) => {
                call.set_principal(Principal::from_extensions(&extensions));
                call.set_source(source);
                *call.extensions_mut() = extensions;
                let id = call.id().clone();
                let future = shared.service.answer(call);
                Step::Calling(Calling {
                    id,
                    future,
                    sse_after: None,
                })
            }
            // This binding defines no notifications from clients: closing the stream cancels
            // (`#sending-messages`).
            Ok(ClientMessage::Notification(notification)) => {
                tracing::debug!(method = %carryall_proto::Printable(&notification.method), "notification over HTTP ignored");
                let mut response = HttpResponse::new(ReplyBody::empty());
                *response.status_mut() = StatusCode::ACCEPTED;
                settled(response)
            }
            Err(rejection) => settled(rejected(&rejection)),
        }
    }
}

/// Says where a request came from to a protocol that gets it whole. What a layer put there stays.
fn name_source(extensions: &mut http::Extensions, source: CallSource) {
    if source != CallSource::default() {
        extensions.get_or_insert(source);
    }
}

impl Calling {
    /// `None` when the call has been silent for too long.
    fn poll(
        &mut self,
        options: &Options,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Reply, CallError>>> {
        if let Poll::Ready(reply) = guard::poll_call(&mut self.future, cx) {
            return Poll::Ready(Some(reply));
        }
        let delay = options.sse_after;
        self.sse_after
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(delay)))
            .as_mut()
            .poll(cx)
            .map(|()| None)
    }

    fn respond(
        self,
        options: &Options,
        answered: Option<Result<Reply, CallError>>,
    ) -> HttpResponse {
        let keep_alive = options.keep_alive;
        match answered {
            Some(Ok(Reply::Once(response))) => once(&response),
            Some(Ok(Reply::Stream(stream))) => {
                event_stream(Events::streaming(stream, self.id, keep_alive))
            }
            Some(Err(error)) => once(&failed(self.id, &error)),
            None => event_stream(Events::waiting(self.future, self.id, keep_alive)),
        }
    }
}

/// The answer for a call that has none. What went wrong is for the log.
pub(super) fn failed(id: RequestId, error: &CallError) -> Response {
    tracing::error!(%id, %error, "no answer from the service");
    Response::error(id, ErrorObject::internal())
}

fn once(reply: &Response) -> HttpResponse {
    let mut response = HttpResponse::new(ReplyBody::once(reply.encode()));
    if let Outcome::Error(error) = &reply.outcome {
        *response.status_mut() = wire::http_status(error.code);
    }
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn rejected(rejection: &Rejection) -> HttpResponse {
    let mut response = HttpResponse::new(ReplyBody::once(rejection.encode()));
    *response.status_mut() = rejection.status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn event_stream(events: Events) -> HttpResponse {
    let mut response = HttpResponse::new(ReplyBody::events(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Without it a proxy may hold events back until its buffer is full (`#receiving-messages`).
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
