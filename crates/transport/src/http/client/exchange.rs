//! Sends a request and receives its response.

use super::HttpClientInner;
use super::connect::NewConnection;
use super::connection::{Http2Connection, SendError};
use super::request::{RequestBody, into_http2, request};
use super::response::read_reply;
use super::response_body::ResponseBody;
use carryall_proto::{Call, CallError, Printable, Reply};
use http::header::{CONTENT_ENCODING, LOCATION};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;

/// Limit on redirects that are followed, such as from `/mcp` to `/mcp/`.
const MAX_REDIRECTS: u32 = 3;
/// Limit on what is shown of an unsupported coding, in characters.
const MAX_SHOWN: usize = 60;

/// Sends a call, following redirects within the origin.
pub(super) async fn call(client: Arc<HttpClientInner>, call: Call) -> Result<Reply, CallError> {
    let mut uri = client.url.uri.clone();
    let mut redirects = 0;
    loop {
        let request = request(&client, uri, &call)?;
        let response = send(&client, request).await?;
        if redirects < MAX_REDIRECTS
            && let Some(path) = redirect(&client, &response)
        {
            redirects += 1;
            uri = path.parse().map_err(|_| {
                CallError::Malformed(format!("a redirect to {path:?}, which is not a valid path"))
            })?;
            continue;
        }
        check_encoding(&response)?;
        return read_reply(&client, call.id().clone(), response).await;
    }
}

/// Checks that the body is not compressed: requests ask for `identity`, and nothing else is
/// decoded.
pub(super) fn check_encoding<B>(response: &Response<B>) -> Result<(), CallError> {
    for value in response.headers().get_all(CONTENT_ENCODING) {
        let coding = value.as_bytes().trim_ascii();
        if !coding.eq_ignore_ascii_case(b"identity") {
            return Err(CallError::Malformed(format!(
                "the response has Content-Encoding \"{}\" although the request accepts only \
                 `identity`; check whether a proxy on the way compresses it (HTTP {})",
                Printable(&String::from_utf8_lossy(value.as_bytes())).clipped(MAX_SHOWN),
                response.status().as_u16()
            )));
        }
    }
    Ok(())
}

/// Returns the path that a response redirects to. 307 and 308 keep method and body; other redirects
/// would turn the POST into a GET.
fn redirect<B>(client: &HttpClientInner, response: &Response<B>) -> Option<Box<str>> {
    let (StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) = response.status()
    else {
        return None;
    };
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    client.url.path_on_origin(location)
}

/// Sends a request on a kept connection, or else on a new one. When a kept connection turns out to
/// be closed before any of the request was sent, the request is sent on the next one.
pub(super) async fn send(
    client: &HttpClientInner,
    mut request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, CallError> {
    let with_body = |response: Response<Incoming>, connection| {
        response.map(|body| ResponseBody::new(body, connection, Arc::clone(&client.pool)))
    };
    while let Some(mut connection) = client.pool.take() {
        match connection.send(request).await {
            Ok(response) => return Ok(with_body(response, Some(connection))),
            Err(error) => request = error.into_unsent()?,
        }
    }
    if let Some(connection) = client.pool.http2() {
        match send_http2(client, connection, request).await {
            Ok(response) => return Ok(with_body(response, None)),
            Err(error) => request = error.into_unsent()?,
        }
    }
    let sent = match client.connector.connect(&client.url).await? {
        NewConnection::Http1(mut connection) => {
            let sent = connection.send(request).await;
            sent.map(|response| with_body(response, Some(connection)))
        }
        NewConnection::Http2(connection) => {
            client.pool.put_http2(connection.clone());
            let sent = send_http2(client, connection, request).await;
            sent.map(|response| with_body(response, None))
        }
    };
    sent.map_err(|failed| match failed.unsent {
        Some(_) => CallError::unreachable(failed.error),
        None => CallError::broken(failed.error),
    })
}

async fn send_http2(
    client: &HttpClientInner,
    mut connection: Http2Connection,
    mut request: Request<RequestBody>,
) -> Result<Response<Incoming>, SendError> {
    into_http2(&client.url, &mut request);
    connection.send(request).await
}

impl SendError {
    /// Returns the request if none of it was sent.
    fn into_unsent(self) -> Result<Request<RequestBody>, CallError> {
        self.unsent.ok_or_else(|| CallError::broken(self.error))
    }
}
