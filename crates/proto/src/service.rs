//! The seam: whatever answers calls.
//!
//! Server, client transport, upstream and gateway are all
//! `tower_service::Service<Call, Response = Reply>`. Services on this seam are cheap to clone, and
//! a clone that is ready answers one call.

use crate::{Call, CallError, Reply};
use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tower_service::Service;

/// A boxed future that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Any service on the seam, its type erased, callable through a shared reference.
#[derive(Clone)]
pub struct SharedService(Arc<dyn Answer>);

impl SharedService {
    /// Erases the type of `service`.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        // What is erased already needs no second wrapping.
        if let Some(shared) = (&service as &dyn Any).downcast_ref::<Self>() {
            return shared.clone();
        }
        Self(Arc::new(service))
    }

    /// A service that is ready at any time and can be called through a shared reference. `answer`
    /// begins the call at once, so it must not panic.
    pub fn from_fn(
        answer: impl Fn(Call) -> BoxFuture<Result<Reply, CallError>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Direct(answer)))
    }

    /// As [`new`](Self::new), for a service whose futures are boxed already: they need no second
    /// box.
    pub fn new_boxed<S>(service: S) -> Self
    where
        S: Service<
                Call,
                Response = Reply,
                Error = CallError,
                Future = BoxFuture<Result<Reply, CallError>>,
            >,
        S: Clone + Send + Sync + 'static,
    {
        Self(Arc::new(Boxed(service)))
    }

    /// Answers one call. Dropping the future cancels the call.
    #[must_use]
    pub fn answer(&self, call: Call) -> BoxFuture<Result<Reply, CallError>> {
        self.0.answer(call)
    }
}

impl fmt::Debug for SharedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedService")
    }
}

impl Service<Call> for SharedService {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.answer(call)
    }
}

trait Answer: Send + Sync {
    fn answer(&self, call: Call) -> BoxFuture<Result<Reply, CallError>>;
}

impl<S> Answer for S
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    fn answer(&self, call: Call) -> BoxFuture<Result<Reply, CallError>> {
        Box::pin(Asked::Waiting {
            service: self.clone(),
            call: Some(call),
        })
    }
}

pin_project_lite::pin_project! {
    /// A call to a service. What the service does, it does where this is polled, and whoever polls
    /// guards against it.
    #[project = AskedProjection]
    enum Asked<S: Service<Call>> {
        Waiting { service: S, call: Option<Call> },
        Running { #[pin] future: S::Future },
    }
}

impl<S> Future for Asked<S>
where
    S: Service<Call, Response = Reply>,
    S::Error: Into<CallError>,
{
    type Output = Result<Reply, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                AskedProjection::Waiting { service, call } => {
                    ready!(service.poll_ready(cx)).map_err(Into::into)?;
                    service.call(call.take().expect("polled again after its end"))
                }
                AskedProjection::Running { future } => return future.poll(cx).map_err(Into::into),
            };
            self.set(Self::Running { future });
        }
    }
}

/// A service that needs no state of its own to be called.
struct Direct<F>(F);

impl<F> Answer for Direct<F>
where
    F: Fn(Call) -> BoxFuture<Result<Reply, CallError>> + Send + Sync,
{
    fn answer(&self, call: Call) -> BoxFuture<Result<Reply, CallError>> {
        (self.0)(call)
    }
}

/// A service whose futures are boxed by itself.
struct Boxed<S>(S);

impl<S> Answer for Boxed<S>
where
    S: Service<
            Call,
            Response = Reply,
            Error = CallError,
            Future = BoxFuture<Result<Reply, CallError>>,
        >,
    S: Clone + Send + Sync + 'static,
{
    fn answer(&self, call: Call) -> BoxFuture<Result<Reply, CallError>> {
        let mut service = self.0.clone();
        // Nearly always it is ready, and nobody has to be woken to find out.
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => service.call(call),
            Poll::Ready(Err(error)) => Box::pin(std::future::ready(Err(error))),
            Poll::Pending => Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(call).await
            }),
        }
    }
}
