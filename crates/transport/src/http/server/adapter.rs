//! Between hyper and the service of a connection.

use super::streams::Chunked;
use super::watch::{Activity, Busy};
use carryall_proto::{BoxError, CallSource};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tower_service::Service;

/// Puts the source of a connection into the extensions of its requests, for services that hold the
/// endpoint somewhere inside.
#[derive(Clone, Debug)]
pub(super) struct WithSource<S> {
    pub(super) service: S,
    pub(super) source: CallSource,
}

impl<S, B> Service<Request<B>> for WithSource<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.source);
        self.service.call(request)
    }
}

/// A tower service as hyper wants it, counting the requests in flight.
pub(super) struct Adapter<S> {
    /// Called from the task of the connection alone.
    service: RefCell<S>,
    activity: Arc<Activity>,
}

impl<S> Adapter<S> {
    pub(super) fn new(service: S, activity: &Arc<Activity>) -> Self {
        Self {
            service: RefCell::new(service),
            activity: Arc::clone(activity),
        }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Adapter<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Response<Counted<B>>;
    type Error = BoxError;
    type Future = Counting<S>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = Some(self.activity.begin());
        let mut service = self.service.borrow_mut();
        // Nearly always the service is ready, and then the request has to move once less.
        let step = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Step::EndpointFuture {
                future: service.call(request),
            },
            Poll::Ready(Err(error)) => Step::Failed {
                error: Some(error.into()),
            },
            Poll::Pending => Step::Ready {
                service: service.clone(),
                request: Some(request),
            },
        };
        Counting { step, busy }
    }
}

/// The same over HTTP/2, where the bodies of responses share a connection.
pub(super) struct Multiplexed<S>(pub(super) Adapter<S>);

impl<S, B> hyper::service::Service<Request<Incoming>> for Multiplexed<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = Response<Chunked<Counted<B>>>;
    type Error = BoxError;
    type Future = MultiplexedFuture<S>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        MultiplexedFuture {
            counting: self.0.call(request),
        }
    }
}

pin_project_lite::pin_project! {
    pub(super) struct MultiplexedFuture<S: Service<Request<Incoming>>> {
        #[pin]
        counting: Counting<S>,
    }
}

impl<S, B> Future for MultiplexedFuture<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Output = Result<Response<Chunked<Counted<B>>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project()
            .counting
            .poll(cx)
            .map_ok(|response| response.map(Chunked::new))
    }
}

pin_project_lite::pin_project! {
    pub(super) struct Counting<S: Service<Request<Incoming>>> {
        #[pin]
        step: Step<S, S::Future>,
        busy: Option<Busy>,
    }
}

pin_project_lite::pin_project! {
    #[project = StepProjection]
    enum Step<S, F> {
        /// The service has to be waited for.
        Ready { service: S, request: Option<Request<Incoming>> },
        Failed { error: Option<BoxError> },
        EndpointFuture { #[pin] future: F },
    }
}

impl<S, B> Future for Counting<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<Counted<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let future = match this.step.as_mut().project() {
                StepProjection::Ready { service, request } => {
                    ready!(service.poll_ready(cx)).map_err(Into::into)?;
                    let Some(request) = request.take() else {
                        panic!("polled after completion")
                    };
                    service.call(request)
                }
                StepProjection::Failed { error } => {
                    let Some(error) = error.take() else {
                        panic!("polled after completion")
                    };
                    return Poll::Ready(Err(error));
                }
                StepProjection::EndpointFuture { future } => {
                    let response = ready!(future.poll(cx)).map_err(Into::into)?;
                    let busy = this.busy.take();
                    return Poll::Ready(Ok(response.map(|body| Counted { body, _busy: busy })));
                }
            };
            this.step.set(Step::EndpointFuture { future });
        }
    }
}

pin_project_lite::pin_project! {
    /// A body; its request counts as in work until it is gone.
    pub(super) struct Counted<B> {
        #[pin]
        body: B,
        _busy: Option<Busy>,
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
