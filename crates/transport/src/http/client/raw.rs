//! HTTP exchanges of the caller's own making, for bindings of other revisions: the same connections
//! and credentials, another protocol on them.

use super::HttpClient;
use super::exchange::{check_encoding, send};
use super::link::Receiving;
use super::request::{Text, raw_request};
use crate::http::gather::BodyBuffer;
use bytes::Bytes;
use carryall_proto::CallError;
use futures_core::Stream;
use http::{Request, Response};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

impl HttpClient {
    /// Sends a request to the origin of the endpoint and gives the response once its head is there.
    /// What is the same on all requests of this client (host, user agent, credentials) is added;
    /// method, path and the other headers are the caller's. Redirects are not followed. Dropping
    /// the future or the body closes the exchange.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] when nothing was sent, [`CallError::Broken`] when the connection
    /// was lost after that.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<RawBody>, CallError> {
        let request: Request<Text> = raw_request(&self.shared, request)?;
        let (link, response) = send(&self.shared, request).await?;
        check_encoding(&response)?;
        Ok(response.map(|body| RawBody {
            body: Receiving::new(link, body, Arc::clone(&self.shared)),
        }))
    }

    /// Path and query of the endpoint.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.shared.target.path
    }

    /// Path and query of `location`, a URL or a path, if it lies on the endpoint's origin.
    #[must_use]
    pub fn path_on_origin(&self, location: &str) -> Option<Box<str>> {
        self.shared.target.follow(location)
    }

    /// The largest message accepted, in bytes.
    #[must_use]
    pub fn max_response(&self) -> usize {
        self.shared.max_response
    }
}

/// The body of a response. Read to its end, its connection is kept for the next request; dropped
/// before, it is closed.
pub struct RawBody {
    body: Receiving,
}

impl RawBody {
    /// All of it.
    ///
    /// # Errors
    /// [`CallError::TooLarge`] when it is longer than `max` bytes, [`CallError::Broken`] when the
    /// connection was lost.
    pub async fn collect(mut self, max: usize) -> Result<Bytes, CallError> {
        let mut gathered = BodyBuffer::default();
        poll_fn(|cx| {
            loop {
                match ready!(self.body.poll_data(cx)) {
                    None => return Poll::Ready(Ok(gathered.take())),
                    Some(Err(error)) => return Poll::Ready(Err(CallError::broken(error))),
                    Some(Ok(data)) if gathered.len() + data.len() > max => {
                        return Poll::Ready(Err(CallError::TooLarge(max)));
                    }
                    Some(Ok(data)) => gathered.add(data, self.body.to_come()),
                }
            }
        })
        .await
    }
}

/// Its pieces as they come.
impl Stream for RawBody {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.body
            .poll_data(cx)
            .map(|data| data.map(|data| data.map_err(CallError::broken)))
    }
}

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawBody")
    }
}
