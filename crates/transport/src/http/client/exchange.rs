//! One call: request out, response in.

use super::Shared;
use super::answer::answer;
use super::connect::Connected;
use super::link::{Http2, Link, NoResponse, Receiving};
use super::request::{Text, for_http2, request};
use carryall_proto::{Call, CallError, Printable, Reply};
use http::header::{CONTENT_ENCODING, LOCATION};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;

/// How many redirects within the origin are followed, such as `/mcp` to `/mcp/`.
const MAX_REDIRECTS: u32 = 3;

pub(super) async fn exchange(shared: Arc<Shared>, call: Call) -> Result<Reply, CallError> {
    let mut uri = shared.target.uri.clone();
    let mut redirects = 0;
    loop {
        let request = request(&shared, uri, &call)?;
        let (link, response) = send(&shared, request).await?;
        if let Some(next) = redirect(&shared, &response).filter(|_| redirects < MAX_REDIRECTS) {
            redirects += 1;
            uri = next.parse().map_err(|_| {
                CallError::Malformed(format!("a redirect to {next:?}, which is no path"))
            })?;
            continue;
        }
        check_encoding(&response)?;
        let (head, body) = response.into_parts();
        let receiving = Receiving::new(link, body, Arc::clone(&shared));
        return answer(&shared, call.id().clone(), &head, receiving).await;
    }
}

/// Requests ask for `identity`, and nothing else can be read.
pub(super) fn check_encoding(response: &Response<Incoming>) -> Result<(), CallError> {
    for value in response.headers().get_all(CONTENT_ENCODING) {
        if !value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"identity")
        {
            let coding = String::from_utf8_lossy(value.as_bytes());
            return Err(CallError::Malformed(format!(
                "the response has Content-Encoding \"{}\" although the request accepts `identity` alone; see whether a \
                 proxy on the way compresses it (HTTP {})",
                Printable(&coding).clipped(60),
                response.status().as_u16()
            )));
        }
    }
    Ok(())
}

/// 307 and 308 keep method and body. Others turn a POST into a GET, which is not what was asked.
fn redirect(shared: &Shared, response: &Response<Incoming>) -> Option<Box<str>> {
    if !matches!(
        response.status(),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    ) {
        return None;
    }
    shared
        .target
        .follow(response.headers().get(LOCATION)?.to_str().ok()?)
}

/// Sends on a kept connection if there is one. If that was closed before anything went out, the
/// next one is tried, and a new one at last.
pub(super) async fn send(
    shared: &Shared,
    mut request: Request<Text>,
) -> Result<(Link, Response<Incoming>), CallError> {
    while let Some(mut connection) = shared.pool.take() {
        match connection.send(request).await {
            Ok(response) => return Ok((Link::Http1(connection), response)),
            Err(NoResponse {
                unsent: Some(unsent),
                ..
            }) => request = unsent,
            Err(NoResponse { error, .. }) => return Err(CallError::broken(error)),
        }
    }
    if let Some(connection) = shared.pool.http2() {
        for_http2(&shared.target, &mut request);
        match send_http2(connection, request).await {
            Ok(answered) => return Ok(answered),
            Err(NoResponse {
                unsent: Some(unsent),
                ..
            }) => request = unsent,
            Err(NoResponse { error, .. }) => return Err(CallError::broken(error)),
        }
    }
    let sent = match shared.connector.connect(&shared.target).await? {
        Connected::Http1(mut connection) => connection
            .send(request)
            .await
            .map(|response| (Link::Http1(connection), response)),
        Connected::Http2(connection) => {
            shared.pool.put_http2(connection.clone());
            for_http2(&shared.target, &mut request);
            send_http2(connection, request).await
        }
    };
    sent.map_err(|failed| match failed.unsent {
        Some(_) => CallError::unreachable(failed.error),
        None => CallError::broken(failed.error),
    })
}

async fn send_http2(
    mut connection: Http2,
    request: Request<Text>,
) -> Result<(Link, Response<Incoming>), NoResponse> {
    connection
        .send(request)
        .await
        .map(|response| (Link::Http2, response))
}
