//! Connections, and how requests are sent on them.
//!
//! An HTTP/1.1 connection serves one call at a time, so that call drives it: reads and writes
//! happen in the caller's task, and no other task has to be woken for them. Nobody drives an idle
//! connection. Whether it was closed in the meantime is found out when the next request is sent:
//! hyper reads before it writes, so that the request comes back unsent.
//!
//! This, and the [pool](super::pool), are written by hand because `hyper_util::client::legacy`
//! drives each connection in a task of its own, which costs two task switches per call.

use super::request::RequestBody;
use super::stream::HttpStream;
use carryall_proto::PrintableFmt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

pub(super) struct Http1Connection {
    sender: http1::SendRequest<RequestBody>,
    /// `None` once it is closed.
    connection: Option<http1::Connection<TokioIo<HttpStream>, RequestBody>>,
}

/// An HTTP/2 connection, driven by a task of its own.
#[derive(Clone)]
pub(super) struct Http2Connection {
    sender: http2::SendRequest<RequestBody>,
}

/// Why a request got no response.
pub(super) struct SendError {
    /// The request, if none of it was sent.
    pub(super) unsent: Option<Request<RequestBody>>,
    pub(super) error: hyper::Error,
}

impl From<TrySendError<Request<RequestBody>>> for SendError {
    fn from(mut failed: TrySendError<Request<RequestBody>>) -> Self {
        Self {
            unsent: failed.take_message(),
            error: failed.into_error(),
        }
    }
}

impl Http1Connection {
    pub(super) fn new(
        sender: http1::SendRequest<RequestBody>,
        connection: http1::Connection<TokioIo<HttpStream>, RequestBody>,
    ) -> Self {
        Self {
            sender,
            connection: Some(connection),
        }
    }

    /// Reads and writes what can be read and written now.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
        {
            if let Err(error) = ended {
                tracing::debug!(error = %PrintableFmt(&error), "connection ended");
            }
            self.connection = None;
        }
    }

    /// Drives the connection and returns whether it can take a request. After a complete exchange
    /// it can, unless the server has closed it.
    pub(super) fn poll_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        self.connection.is_some() && matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(())))
    }

    /// Returns whether the connection could take a request when it was last driven.
    pub(super) fn was_usable(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendError> {
        let mut response = pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        poll_fn(|cx| {
            if let Some(driven) = connection.as_mut()
                && Pin::new(driven).poll(cx).is_ready()
            {
                *connection = None;
            }
            response.as_mut().poll(cx).map_err(SendError::from)
        })
        .await
    }
}

impl Http2Connection {
    pub(super) fn new(sender: http2::SendRequest<RequestBody>) -> Self {
        Self { sender }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendError> {
        self.sender
            .try_send_request(request)
            .await
            .map_err(SendError::from)
    }
}
