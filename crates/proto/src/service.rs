//! The service interface: `tower_service::Service<Call, Response = Reply>`.
//!
//! Servers, client transports, upstreams and gateways implement it. Such services are cheap to
//! clone, and a clone that is ready answers one call.

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

/// A type-erased service, callable through a shared reference.
#[derive(Clone)]
pub struct SharedService(Arc<dyn ErasedService>);

impl SharedService {
    /// Erases the type of a service.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<CallError>,
        S::Future: Send,
    {
        // An erased service is not wrapped again.
        if let Some(shared) = (&service as &dyn Any).downcast_ref::<Self>() {
            return shared.clone();
        }
        Self(Arc::new(service))
    }

    /// Creates a service from a function. The function is called right away, not when the future is
    /// polled, so it must not panic.
    pub fn from_fn(
        answer: impl Fn(Call) -> BoxFuture<Result<Reply, CallError>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(FnService(answer)))
    }

    /// As [`new`](Self::new), for a service whose futures are boxed already. They are not boxed
    /// again.
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
        Self(Arc::new(BoxedService(service)))
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

trait ErasedService: Send + Sync {
    fn answer(&self, call: Call) -> BoxFuture<Result<Reply, CallError>>;
}

impl<S> ErasedService for S
where
    S: Service<Call, Response = Reply> + Clone + Send + Sync + 'static,
    S::Error: Into<CallError>,
    S::Future: Send,
{
    fn answer(&self, call: Call) -> BoxFuture<Result<Reply, CallError>> {
        Box::pin(ReadyThenCall::Waiting {
            service: self.clone(),
            call: Some(call),
        })
    }
}

pin_project_lite::pin_project! {
    /// Waits until the service is ready, then calls it. The service is called where this is polled,
    /// so that the code that polls can catch its panics.
    #[project = ReadyThenCallProjection]
    enum ReadyThenCall<S: Service<Call>> {
        Waiting { service: S, call: Option<Call> },
        Running { #[pin] future: S::Future },
    }
}

impl<S> Future for ReadyThenCall<S>
where
    S: Service<Call, Response = Reply>,
    S::Error: Into<CallError>,
{
    type Output = Result<Reply, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                ReadyThenCallProjection::Waiting { service, call } => {
                    ready!(service.poll_ready(cx)).map_err(Into::into)?;
                    service.call(call.take().expect("polled again after its end"))
                }
                ReadyThenCallProjection::Running { future } => {
                    return future.poll(cx).map_err(Into::into);
                }
            };
            self.set(Self::Running { future });
        }
    }
}

/// A function as a service.
struct FnService<F>(F);

impl<F> ErasedService for FnService<F>
where
    F: Fn(Call) -> BoxFuture<Result<Reply, CallError>> + Send + Sync,
{
    fn answer(&self, call: Call) -> BoxFuture<Result<Reply, CallError>> {
        (self.0)(call)
    }
}

/// A service whose futures are boxed already.
struct BoxedService<S>(S);

impl<S> ErasedService for BoxedService<S>
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
        // Nearly always it is ready, and then no waker is needed.
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
