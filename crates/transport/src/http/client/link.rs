//! A connection in use.
//!
//! An HTTP/1.1 connection serves one call at a time, so that call drives it: what is written and
//! read happens in the caller's own task, and no other has to be woken for it. Nobody drives an
//! idle connection; what happened to it in the meantime is found out when the next request is sent
//! on it: the connection looks for the end of its input before it writes anything, so that the
//! request comes back unsent.

use super::connect::Stream;
use super::pool::Pool;
use super::request::Text;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// An HTTP/1.1 connection.
pub(super) struct Http1 {
    sender: http1::SendRequest<Text>,
    /// `None` once it is closed.
    connection: Option<http1::Connection<TokioIo<Stream>, Text>>,
}

/// An HTTP/2 connection, driven by a task of its own.
#[derive(Clone)]
pub(super) struct Http2 {
    pub(super) sender: http2::SendRequest<Text>,
}

/// What a call is answered on.
pub(super) enum Link {
    Http1(Box<Http1>),
    Http2,
}

/// Why there is no response.
pub(super) struct NoResponse {
    /// The request, if none of it went out.
    pub(super) unsent: Option<Request<Text>>,
    pub(super) error: hyper::Error,
}

impl From<hyper::client::conn::TrySendError<Request<Text>>> for NoResponse {
    fn from(mut failed: hyper::client::conn::TrySendError<Request<Text>>) -> Self {
        Self {
            unsent: failed.take_message(),
            error: failed.into_error(),
        }
    }
}

impl Http1 {
    pub(super) fn new(
        sender: http1::SendRequest<Text>,
        connection: http1::Connection<TokioIo<Stream>, Text>,
    ) -> Self {
        Self {
            sender,
            connection: Some(connection),
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
        {
            if let Err(error) = ended {
                tracing::debug!(error = %carryall_proto::PrintableFmt(&error), "connection ended");
            }
            self.connection = None;
        }
    }

    /// Whether the connection can take a request right now. After a complete exchange it can,
    /// unless the server has closed it.
    pub(super) fn poll_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        self.connection.is_some() && matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(())))
    }

    /// Whether the connection, when it was last driven, could take a request.
    pub(super) fn was_usable(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Text>,
    ) -> Result<Response<Incoming>, NoResponse> {
        let mut response = pin!(self.sender.try_send_request(request));
        let (connection, mut done) = (&mut self.connection, false);
        poll_fn(|cx| {
            if !done
                && let Some(connection) = connection.as_mut()
                && Pin::new(connection).poll(cx).is_ready()
            {
                done = true;
            }
            if done {
                *connection = None;
            }
            response.as_mut().poll(cx).map_err(NoResponse::from)
        })
        .await
    }
}

impl Http2 {
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Text>,
    ) -> Result<Response<Incoming>, NoResponse> {
        self.sender
            .try_send_request(request)
            .await
            .map_err(NoResponse::from)
    }
}

/// A response body together with what it comes on.
pub(super) struct Receiving {
    link: Option<Link>,
    body: Incoming,
    pool: Arc<super::Shared>,
}

impl Receiving {
    pub(super) fn new(link: Link, body: Incoming, shared: Arc<super::Shared>) -> Self {
        Self {
            link: Some(link),
            body,
            pool: shared,
        }
    }

    /// Bytes that the head of the response announced and that have not come yet.
    pub(super) fn to_come(&self) -> u64 {
        self.body.size_hint().lower()
    }

    /// The next piece. At the end the connection goes back to the pool.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
        let mut driven = false;
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.link = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    self.give_back();
                    return Poll::Ready(None);
                }
                Poll::Pending if driven => return Poll::Pending,
                Poll::Pending => {
                    driven = true;
                    if let Some(Link::Http1(connection)) = &mut self.link {
                        connection.drive(cx);
                    }
                }
            }
        }
    }

    fn give_back(&mut self) {
        // Nobody is to be woken for an idle connection, least of all the task that is done with it,
        // which would be by the next request that it sends on this connection itself.
        let mut nobody = Context::from_waker(Waker::noop());
        if let Some(Link::Http1(mut connection)) = self.link.take()
            && connection.poll_usable(&mut nobody)
        {
            Pool::put(&self.pool, connection);
        }
    }
}
