//! HTTP requests of the caller's own making.

use super::HttpClient;
use super::exchange::{check_encoding, send};
use super::request::raw_request;
use super::response_body::ResponseBody;
use bytes::Bytes;
use carryall_proto::CallError;
use futures_core::Stream;
use http::{Request, Response};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// For transports of other protocols, which share connections and credentials with this one.
impl HttpClient {
    /// Sends a request to the origin of the endpoint and returns the response once its head has
    /// arrived. The headers that are the same for all requests of this client (host, user agent,
    /// credentials) are added, unless the request has them; method and path are the caller's.
    /// Redirects are not followed. Dropping the future or the body aborts the exchange.
    ///
    /// # Errors
    /// [`CallError::Refused`] when the URI of the request names an authority,
    /// [`CallError::Unreachable`] when nothing was sent, [`CallError::Broken`] when the connection
    /// was lost after that, [`CallError::Malformed`] when the response is compressed.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<RawBody>, CallError> {
        let request = raw_request(&self.inner, request)?;
        let response = send(&self.inner, request).await?;
        check_encoding(&response)?;
        Ok(response.map(|body| RawBody { body }))
    }

    /// Returns path and query of the endpoint.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.inner.url.path
    }

    /// Returns path and query of `location`, a URL or an absolute path, if it is on the endpoint's
    /// origin.
    #[must_use]
    pub fn path_on_origin(&self, location: &str) -> Option<Box<str>> {
        self.inner.url.path_on_origin(location)
    }

    /// Returns the maximum size of a message, in bytes.
    #[must_use]
    pub fn max_response(&self) -> usize {
        self.inner.max_response
    }
}

/// The body of a response, as a stream of chunks. Once it is read to its end, its connection is
/// kept for the next request; dropping it before closes the connection.
pub struct RawBody {
    body: ResponseBody,
}

impl RawBody {
    /// Reads the whole body.
    ///
    /// # Errors
    /// [`CallError::TooLarge`] when it is longer than `max` bytes, [`CallError::Broken`] when the
    /// connection was lost.
    pub async fn collect(mut self, max: usize) -> Result<Bytes, CallError> {
        let collected = self.body.collect(max).await?;
        if collected.is_complete {
            Ok(collected.data)
        } else {
            Err(CallError::TooLarge(max))
        }
    }
}

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
