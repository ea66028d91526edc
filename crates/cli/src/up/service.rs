//! The HTTP service of `carryall up`: `/mcp`, and `/health` and `/ready` for probes.

use super::shutdown::ShutdownSignals;
use carryall::gateway::Gateway;
use carryall::transport::http::{Endpoint, ReplyBody};
use futures_util::future::{Either, Ready, ready};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use std::convert::Infallible;
use std::fmt::Display;
use std::task::{Context, Poll};
use tower_service::Service;

/// The path of the MCP endpoint.
pub(super) const ENDPOINT_PATH: &str = "/mcp";

/// Routes requests to the MCP endpoint (`/mcp` or `/mcp/`) and answers health probes.
///
/// Probes are answered for any `Host` and `Origin`, because orchestrators address replicas by IP
/// address. That is safe, since the answers only say whether this replica takes requests.
#[derive(Clone)]
pub(super) struct EdgeService {
    pub(super) endpoint: Endpoint,
    pub(super) gateway: Gateway,
    pub(super) shutdown: ShutdownSignals,
}

impl<B> Service<Request<B>> for EdgeService
where
    B: Body,
    B::Error: Display,
{
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = Either<
        Ready<Result<Response<ReplyBody>, Infallible>>,
        <Endpoint as Service<Request<B>>>::Future,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        if path != ENDPOINT_PATH {
            if matches!(*request.method(), Method::GET | Method::HEAD)
                && let Some(response) = self.answer_probe(path)
            {
                return Either::Left(ready(Ok(response)));
            }
            if path.strip_suffix('/') == Some(ENDPOINT_PATH)
                && let Some(uri) = with_endpoint_path(request.uri())
            {
                *request.uri_mut() = uri;
            }
        }
        Either::Right(self.endpoint.call(request))
    }
}

impl EdgeService {
    /// Answers a GET or HEAD request to a probe path. `None` for any other path.
    fn answer_probe(&self, path: &str) -> Option<Response<ReplyBody>> {
        match path {
            "/health" => Some(plain_text(StatusCode::OK, "ok\n")),
            "/ready" => Some(match self.not_ready_reason() {
                None => plain_text(StatusCode::OK, "ready\n"),
                Some(reason) => plain_text(StatusCode::SERVICE_UNAVAILABLE, reason),
            }),
            _ => None,
        }
    }

    /// Returns why this replica should not receive requests, or `None` if it should.
    fn not_ready_reason(&self) -> Option<&'static str> {
        if self.shutdown.is_requested() {
            return Some("not ready: shutting down\n");
        }
        let answers = |upstream: &carryall::gateway::Upstream| {
            upstream
                .status()
                .iter()
                .any(|replica| replica.alive && replica.answered)
        };
        (!self.gateway.upstreams().iter().any(answers))
            .then_some("not ready: no upstream answers\n")
    }
}

fn plain_text(status: StatusCode, text: &'static str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns `uri` with its path replaced by [`ENDPOINT_PATH`].
fn with_endpoint_path(uri: &Uri) -> Option<Uri> {
    let path = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{ENDPOINT_PATH}?{query}")).ok()?,
        None => PathAndQuery::from_static(ENDPOINT_PATH),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_service_is_ready_from_the_first_answer_until_shutdown() {
        let server = carryall::Server::new("x", "1").build().unwrap();
        let upstream = carryall::gateway::Upstream::new("x").unwrap();
        let upstream = upstream.with_replica("x", carryall::proto::SharedService::new(server));
        let gateway = Gateway::builder(carryall::types::Implementation::new("edge", "1"))
            .upstream(upstream.clone());
        let gateway = gateway.build().unwrap();
        let (signals, shutdown) = ShutdownSignals::for_test();
        let service = EdgeService {
            endpoint: Endpoint::new(gateway.clone()),
            gateway,
            shutdown,
        };
        let ready = || service.answer_probe("/ready").unwrap().status().as_u16();
        assert_eq!(ready(), 503, "not probed yet");
        upstream.check(std::time::Duration::from_secs(10)).await;
        assert_eq!(ready(), 200);
        signals.send_replace(1);
        assert_eq!(ready(), 503, "shutting down");
        assert_eq!(
            service.answer_probe("/health").unwrap().status().as_u16(),
            200
        );
    }

    #[test]
    fn a_trailing_slash_is_removed_from_the_path() {
        for (uri, expected) in [
            ("/mcp/", "/mcp"),
            ("/mcp/?a=b", "/mcp?a=b"),
            ("http://x:1/mcp/?a", "http://x:1/mcp?a"),
        ] {
            assert_eq!(with_endpoint_path(&uri.parse().unwrap()).unwrap(), expected);
        }
    }
}
