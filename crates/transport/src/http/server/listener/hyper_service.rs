//! Makes a tower service one that hyper can call.

use super::watchdog::{Activity, RequestGuard};
use carryall_proto::CallSource;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tower_service::Service;

/// Adds the source of a connection to the extensions of its requests.
#[derive(Clone, Debug)]
pub(super) struct AddSource<S> {
    pub(super) service: S,
    pub(super) source: CallSource,
}

impl<S, B> Service<Request<B>> for AddSource<S>
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

/// Calls a tower service, counts its requests in flight, and wraps the bodies of its responses with
/// `W`.
///
/// Written by hand, because `hyper_util::service::TowerToHyperService` clones the service for each
/// request.
pub(super) struct HyperService<S, W> {
    /// Borrowed by the connection's task only.
    service: RefCell<S>,
    activity: Arc<Activity>,
    wrap: W,
}

impl<S, W> HyperService<S, W> {
    pub(super) fn new(service: S, activity: &Arc<Activity>, wrap: W) -> Self {
        Self {
            service: RefCell::new(service),
            activity: Arc::clone(activity),
            wrap,
        }
    }
}

impl<S, W, B, T> hyper::service::Service<Request<Incoming>> for HyperService<S, W>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    W: Fn(CountedBody<B>) -> T + Copy,
{
    type Response = Response<T>;
    type Error = S::Error;
    type Future = HyperFuture<S, W>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let guard = Some(self.activity.begin());
        let mut service = self.service.borrow_mut();
        // Nearly every service is ready at once. Then it need not be cloned.
        let state = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => HyperState::Responding {
                future: service.call(request),
            },
            // The clone reports the error, if there is one.
            Poll::Ready(Err(_)) | Poll::Pending => HyperState::Waiting {
                service: service.clone(),
                request: Some(request),
            },
        };
        HyperFuture {
            state,
            guard,
            wrap: self.wrap,
        }
    }
}

pin_project_lite::pin_project! {
    /// The response future of a [`HyperService`].
    pub(super) struct HyperFuture<S: Service<Request<Incoming>>, W> {
        #[pin]
        state: HyperState<S, S::Future>,
        guard: Option<RequestGuard>,
        wrap: W,
    }
}

pin_project_lite::pin_project! {
    #[project = HyperStateProjection]
    enum HyperState<S, F> {
        /// Waits for the service to be ready.
        Waiting { service: S, request: Option<Request<Incoming>> },
        Responding { #[pin] future: F },
    }
}

impl<S, W, B, T> Future for HyperFuture<S, W>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    W: Fn(CountedBody<B>) -> T,
{
    type Output = Result<Response<T>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let future = match this.state.as_mut().project() {
                HyperStateProjection::Waiting { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    service.call(request.take().expect("polled after completion"))
                }
                HyperStateProjection::Responding { future } => {
                    let response = ready!(future.poll(cx))?;
                    let guard = this.guard.take();
                    return Poll::Ready(Ok(response.map(|body| {
                        (this.wrap)(CountedBody {
                            body,
                            _guard: guard,
                        })
                    })));
                }
            };
            this.state.set(HyperState::Responding { future });
        }
    }
}

pin_project_lite::pin_project! {
    /// A response body whose request counts as in flight until it is dropped.
    pub(super) struct CountedBody<B> {
        #[pin]
        body: B,
        _guard: Option<RequestGuard>,
    }
}

impl<B: Body> Body for CountedBody<B> {
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
