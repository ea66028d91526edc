//! Middleware as functions, and a time limit for whole calls.

use carryall_proto::{
    BoxFuture, Call, CallError, Message, MessageStream, Reply, Response, SharedService,
};
use carryall_types::{ErrorObject, Method, RequestId, code};
use futures_core::Stream;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tower_layer::Layer;
use tower_service::Service;

/// Makes a `tower` layer of an async function, which gets each call and what is behind the layer.
///
/// ```
/// use carryall_proto::{CallEnd, OutcomeStatus};
/// use carryall_server::{Server, Tool, layer_fn};
/// use std::time::Instant;
///
/// let timing = layer_fn(async |call, next| {
///     let name = call.log_name().map(|name| name.into_owned());
///     let started = Instant::now();
///     let reply = next.run(call).await?;
///     Ok(reply.on_end(move |end| {
///         let failed = match end {
///             CallEnd::Response(response) => response.outcome.status() != OutcomeStatus::Complete,
///             _ => true,
///         };
///         println!("{name:?} took {:?}, failed: {failed}", started.elapsed());
///     }))
/// });
/// Server::new("timed", "1.0.0")
///     .tool(Tool::new("ping", async || "pong"))
///     .layer(timing)
///     .build()
///     .unwrap();
/// ```
///
/// What the function captures is cloned with it for each call. An error of the function is logged,
/// and answered with `-32603`; to answer with an error of its own, it returns a
/// [`Response`].
pub fn layer_fn<F, Fut>(function: F) -> FnLayer<F>
where
    F: Fn(Call, Next) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply, CallError>> + Send + 'static,
{
    FnLayer(function)
}

/// A layer that is a function; see [`layer_fn`].
#[derive(Clone)]
pub struct FnLayer<F>(F);

impl<F> fmt::Debug for FnLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FnLayer")
    }
}

impl<S, F> Layer<S> for FnLayer<F>
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
    F: Clone,
{
    type Service = FnMiddleware<F>;

    fn layer(&self, inner: S) -> FnMiddleware<F> {
        FnMiddleware {
            function: self.0.clone(),
            next: Next(SharedService::new(inner)),
        }
    }
}

/// The service of a [`FnLayer`].
#[derive(Clone)]
pub struct FnMiddleware<F> {
    function: F,
    next: Next,
}

impl<F> fmt::Debug for FnMiddleware<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FnMiddleware")
    }
}

impl<F, Fut> Service<Call> for FnMiddleware<F>
where
    F: Fn(Call, Next) -> Fut,
    Fut: Future<Output = Result<Reply, CallError>> + Send + 'static,
{
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin((self.function)(call, self.next.clone()))
    }
}

/// What is behind a layer.
#[derive(Clone, Debug)]
pub struct Next(SharedService);

impl Next {
    /// Answers the call. Cancel safe: dropping the future cancels the call.
    ///
    /// # Errors
    /// When what is behind the layer cannot answer at all. An answer that is an error is not one.
    pub async fn run(&self, call: Call) -> Result<Reply, CallError> {
        self.0.answer(call).await
    }
}

/// A layer that limits how long a call may take, until the end of its stream.
///
/// What takes longer is dropped, which cancels it, and answered with `-32603`. Subscriptions
/// (`subscriptions/listen`) have no limit. Handlers have a limit of their own
/// ([`ServerBuilder::timeout`](crate::ServerBuilder::timeout)), which does not count the time in
/// layers.
///
/// ```
/// use carryall_server::{Server, Timeout};
/// use std::time::Duration;
///
/// Server::new("quick", "1.0.0").layer(Timeout::new(Duration::from_secs(10))).build().unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timeout(Duration);

impl Timeout {
    /// Limits calls to this time.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self(limit)
    }
}

impl<S> Layer<S> for Timeout {
    type Service = TimeoutService<S>;

    fn layer(&self, inner: S) -> TimeoutService<S> {
        TimeoutService {
            inner,
            limit: self.0,
        }
    }
}

/// The service of a [`Timeout`].
#[derive(Clone, Debug)]
pub struct TimeoutService<S> {
    inner: S,
    limit: Duration,
}

impl<S> Service<Call> for TimeoutService<S>
where
    S: Service<Call, Response = Reply>,
    S::Error: Into<CallError>,
    S::Future: Send + 'static,
{
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (limit, id) = (self.limit, call.id().clone());
        let has_limit = *call.method() != Method::SubscriptionsListen;
        let answer = self.inner.call(call);
        Box::pin(async move {
            if !has_limit {
                return answer.await.map_err(Into::into);
            }
            let deadline = Instant::now() + limit;
            match tokio::time::timeout_at(deadline, answer).await {
                Err(_) => Ok(timed_out(id, limit).into()),
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(Reply::Stream(stream))) => Ok(Reply::Stream(Box::pin(TimedStream {
                    stream: Some(stream),
                    sleep: Box::pin(tokio::time::sleep_until(deadline)),
                    id,
                    limit,
                }))),
                Ok(Ok(reply)) => Ok(reply),
            }
        })
    }
}

fn timed_out(id: RequestId, limit: Duration) -> Response {
    tracing::warn!(?limit, "call timed out");
    let message = format!("Not finished within {limit:?}");
    Response::error(id, ErrorObject::new(code::INTERNAL_ERROR, message))
}

/// The rest of a call, until its deadline.
struct TimedStream {
    /// `None` when the call has ended.
    stream: Option<MessageStream>,
    sleep: Pin<Box<Sleep>>,
    id: RequestId,
    limit: Duration,
}

impl Stream for TimedStream {
    type Item = Result<Message, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(None);
        };
        // The deadline comes first: a stream that is always ready must not outrun it.
        if this.sleep.as_mut().poll(cx).is_ready() {
            this.stream = None;
            let response = timed_out(this.id.clone(), this.limit);
            return Poll::Ready(Some(Ok(Message::Response(response))));
        }
        stream.as_mut().poll_next(cx)
    }
}
