//! The body of a response, which drives its connection and returns it to the pool.

use super::connection::Http1Connection;
use super::pool::ConnectionPool;
use crate::http::body_buffer::BodyBuffer;
use bytes::{Buf as _, Bytes};
use carryall_proto::CallError;
use http_body::Body as _;
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

pub(super) struct ResponseBody {
    body: Incoming,
    /// The connection to drive; `None` for HTTP/2, and once the body has ended.
    connection: Option<Box<Http1Connection>>,
    pool: Arc<ConnectionPool>,
}

/// Data of a body, up to a limit.
pub(super) struct Collected {
    pub(super) data: Bytes,
    /// Whether the body ended within the limit.
    pub(super) is_complete: bool,
}

impl ResponseBody {
    pub(super) fn new(
        body: Incoming,
        connection: Option<Box<Http1Connection>>,
        pool: Arc<ConnectionPool>,
    ) -> Self {
        Self {
            body,
            connection,
            pool,
        }
    }

    /// Returns how many more bytes are announced, at least.
    pub(super) fn remaining(&self) -> u64 {
        self.body.size_hint().lower()
    }

    /// Returns the next chunk. At the end the connection goes back to the pool.
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
                    self.connection = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    self.release_connection();
                    return Poll::Ready(None);
                }
                Poll::Pending if driven => return Poll::Pending,
                Poll::Pending => {
                    driven = true;
                    if let Some(connection) = &mut self.connection {
                        connection.drive(cx);
                    }
                }
            }
        }
    }

    /// Reads up to `max` bytes.
    pub(super) async fn collect(&mut self, max: usize) -> Result<Collected, CallError> {
        let mut buffer = BodyBuffer::default();
        poll_fn(|cx| {
            let is_complete = loop {
                let Some(data) = ready!(self.poll_data(cx)) else {
                    break true;
                };
                let data = data.map_err(CallError::broken)?;
                if buffer.len() + data.remaining() > max {
                    buffer.push(data.slice(..max - buffer.len()), 0);
                    break false;
                }
                buffer.push(data, self.remaining());
            };
            Poll::Ready(Ok(Collected {
                data: buffer.take(),
                is_complete,
            }))
        })
        .await
    }

    fn release_connection(&mut self) {
        // An idle connection must not keep the waker of the task that has finished with it: that
        // task would be woken by the next request that it sends on the connection itself.
        let mut cx = Context::from_waker(Waker::noop());
        if let Some(mut connection) = self.connection.take()
            && connection.poll_usable(&mut cx)
        {
            self.pool.put(connection);
        }
    }
}
