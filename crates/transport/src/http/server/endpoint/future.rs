//! One request on its way to a response, as one future: no task is spawned and no channel opened.

use super::body_reader::BodyReader;
use super::response::{self, EndpointResponse};
use super::sse_body::SseBody;
use super::validate::{self, CheckedHeaders};
use super::{EndpointConnection, EndpointInner, EndpointOptions, FallbackProtocol, cors};
use crate::catch_panic;
use crate::internal_error::internal_error;
use bytes::Bytes;
use carryall_proto::decode::{
    ClientMessage, decode_http, decode_http_cached, names_protocol_version,
};
use carryall_proto::validate::Rejection;
use carryall_proto::{BoxFuture, CallError, CallSource, Principal, Printable, Reply};
use carryall_types::RequestId;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body::{Body, SizeHint};
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;

pin_project_lite::pin_project! {
    /// The response future of an [`Endpoint`](super::Endpoint). Dropping it cancels the call.
    pub struct EndpointFuture<B> {
        #[pin]
        body: Option<B>,
        connection: Arc<EndpointConnection>,
        // The origin to name in the response.
        origin: Option<HeaderValue>,
        source: CallSource,
        state: ResponseState,
    }
}

enum ResponseState {
    /// Decided by the head of the request.
    Ready(Box<EndpointResponse>),
    Reading(ReadingBody),
    Calling(ServiceCall),
    /// The fallback protocol answers.
    Fallback(BoxFuture<EndpointResponse>),
    Done,
}

struct ReadingBody {
    headers: HeaderMap,
    extensions: http::Extensions,
    reader: BodyReader,
    /// Set if the fallback protocol may answer.
    candidate: Option<Box<FallbackCandidate>>,
}

struct FallbackCandidate {
    fallback: Arc<dyn FallbackProtocol>,
    uri: Uri,
    /// The fallback protocol owns the path, whatever the body is.
    owned: bool,
}

struct ServiceCall {
    id: RequestId,
    future: BoxFuture<Result<Reply, CallError>>,
    /// Set once the call turns out not to be immediate.
    sse_after: Option<Pin<Box<Sleep>>>,
}

impl<B> EndpointFuture<B>
where
    B: Body,
    B::Error: Display,
{
    pub(super) fn new(connection: &Arc<EndpointConnection>, request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let source = parts.extensions.get::<CallSource>().copied();
        let source = source.unwrap_or(connection.source);
        let mut origin = None;
        let state = begin(
            &connection.inner,
            source,
            parts,
            &body.size_hint(),
            &mut origin,
        );
        Self {
            body: matches!(state, ResponseState::Reading(_)).then_some(body),
            connection: Arc::clone(connection),
            origin,
            source,
            state,
        }
    }
}

/// Checks the head of a request. Sets `origin` to the origin to name in the response.
fn begin(
    inner: &EndpointInner,
    source: CallSource,
    mut parts: Parts,
    body: &SizeHint,
    origin: &mut Option<HeaderValue>,
) -> ResponseState {
    let EndpointInner {
        options, fallback, ..
    } = inner;
    let path = parts.uri.path();
    let owned = fallback
        .as_deref()
        .is_some_and(|fallback| fallback.owns(path));
    if let Some(own) = options.path.as_deref()
        && own != path
        && !owned
    {
        return ResponseState::ready(response::not_found(path, own));
    }
    let headers = CheckedHeaders::of(&parts.headers);
    *origin = match validate::check_caller(options, &parts, &headers, &inner.rejection_log) {
        Ok(origin) => origin,
        Err(rejection) => return ResponseState::ready(rejection.into_response()),
    };
    if parts.method == Method::OPTIONS {
        let preflight = cors::preflight(&parts.headers, origin.take(), fallback.is_some());
        return ResponseState::ready(preflight);
    }
    if let Some(fallback) = fallback
        && parts.method != Method::POST
    {
        insert_source(&mut parts.extensions, source);
        let request = Request::from_parts(parts, Bytes::new());
        return ResponseState::Fallback(fallback.answer(request));
    }
    if let Err(rejection) = validate::check_message(options, &parts, &headers, body) {
        return ResponseState::ready(rejection.into_response());
    }
    let fallback = fallback.as_ref().filter(|_| owned || !headers.is_modern());
    let Parts {
        headers,
        extensions,
        uri,
        ..
    } = parts;
    ResponseState::Reading(ReadingBody {
        headers,
        extensions,
        reader: BodyReader::new(options),
        candidate: fallback.map(|fallback| {
            Box::new(FallbackCandidate {
                fallback: Arc::clone(fallback),
                uri,
                owned,
            })
        }),
    })
}

impl<B> Future for EndpointFuture<B>
where
    B: Body,
    B::Error: Display,
{
    type Output = Result<EndpointResponse, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inner = &this.connection.inner;
        let mut response = loop {
            match this.state {
                ResponseState::Reading(reading) => {
                    let body = match this.body.as_mut().as_pin_mut() {
                        Some(body) => ready!(reading.reader.poll(
                            body,
                            cx,
                            &inner.body_budget,
                            *this.source
                        )),
                        None => Ok(Bytes::new()),
                    };
                    this.body.set(None);
                    match body {
                        Ok(body) => {
                            *this.state = reading.decode(this.connection, *this.source, body);
                        }
                        Err(rejection) => {
                            *this.state = ResponseState::Done;
                            break rejection.into_response();
                        }
                    }
                }
                ResponseState::Calling(call) => {
                    let reply = ready!(call.poll(&inner.options, cx));
                    let state = std::mem::replace(this.state, ResponseState::Done);
                    if let ResponseState::Calling(call) = state {
                        break call.respond(&inner.options, reply);
                    }
                }
                ResponseState::Fallback(future) => {
                    let response = ready!(future.as_mut().poll(cx));
                    *this.state = ResponseState::Done;
                    break response;
                }
                ResponseState::Ready(_) | ResponseState::Done => {
                    let state = std::mem::replace(this.state, ResponseState::Done);
                    let ResponseState::Ready(response) = state else {
                        panic!("polled after completion")
                    };
                    break *response;
                }
            }
        };
        if let Some(origin) = this.origin.take() {
            cors::allow_origin(response.headers_mut(), origin);
        }
        Poll::Ready(Ok(response))
    }
}

impl ResponseState {
    fn ready(response: EndpointResponse) -> Self {
        Self::Ready(Box::new(response))
    }
}

impl ReadingBody {
    /// Hands the request to the service or the fallback protocol. Moves the parts of the request
    /// out of `self`, which must not be used again.
    fn decode(
        &mut self,
        connection: &EndpointConnection,
        source: CallSource,
        body: Bytes,
    ) -> ResponseState {
        let headers = std::mem::take(&mut self.headers);
        let mut extensions = std::mem::take(&mut self.extensions);
        if let Some(candidate) = self.candidate.take()
            && candidate.takes(&headers, &body)
        {
            insert_source(&mut extensions, source);
            let mut request = Request::new(body);
            *request.method_mut() = Method::POST;
            *request.uri_mut() = candidate.uri;
            *request.headers_mut() = headers;
            *request.extensions_mut() = extensions;
            return ResponseState::Fallback(candidate.fallback.answer(request));
        }
        match connection.decode(headers, body) {
            Ok(ClientMessage::Call(mut call)) => {
                call.set_principal(Principal::from_extensions(&extensions));
                call.set_source(source);
                *call.extensions_mut() = extensions;
                ResponseState::Calling(ServiceCall {
                    id: call.id().clone(),
                    future: connection.inner.service.answer(call),
                    sse_after: None,
                })
            }
            // Over HTTP, clients send no notifications: closing the stream cancels
            // (`#sending-messages`).
            Ok(ClientMessage::Notification(notification)) => {
                let method = Printable(&notification.method);
                tracing::debug!(%method, "notification over HTTP ignored");
                ResponseState::ready(response::accepted())
            }
            Err(rejection) => ResponseState::ready(response::rejected(&rejection)),
        }
    }
}

impl FallbackCandidate {
    fn takes(&self, headers: &HeaderMap, body: &Bytes) -> bool {
        self.owned || (!names_protocol_version(body) && self.fallback.takes(headers, body))
    }
}

impl EndpointConnection {
    fn decode(&self, headers: HeaderMap, body: Bytes) -> Result<ClientMessage, Rejection> {
        match self.meta_cache.try_lock() {
            Some(mut cache) => decode_http_cached(headers, body, &mut cache),
            None => decode_http(headers, body),
        }
    }
}

/// Inserts the source of a request into its extensions, unless a layer has inserted one.
fn insert_source(extensions: &mut http::Extensions, source: CallSource) {
    if source != CallSource::default() {
        extensions.get_or_insert(source);
    }
}

impl ServiceCall {
    /// Returns `None` when the call has been silent for too long.
    fn poll(
        &mut self,
        options: &EndpointOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Reply, CallError>>> {
        if let Poll::Ready(reply) = catch_panic::poll_call(&mut self.future, cx) {
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
        options: &EndpointOptions,
        reply: Option<Result<Reply, CallError>>,
    ) -> EndpointResponse {
        let keep_alive = options.keep_alive;
        match reply {
            Some(Ok(Reply::Once(reply))) => response::single(&reply),
            Some(Ok(Reply::Stream(stream))) => {
                response::event_stream(SseBody::streaming(stream, self.id, keep_alive))
            }
            Some(Err(error)) => response::single(&internal_error(self.id, &error)),
            None => response::event_stream(SseBody::waiting(self.future, self.id, keep_alive)),
        }
    }
}
