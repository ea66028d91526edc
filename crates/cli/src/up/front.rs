//! What stands before the endpoint: the paths that probes ask, and `/mcp/` for `/mcp`.

use super::edge::ENDPOINT;
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
use tokio::sync::watch;
use tower_service::Service;

/// The endpoint with its probes. Those are plain GET requests, answered whatever `Host` and
/// `Origin` say: an orchestrator asks by address, and they tell nothing but whether to send
/// requests here.
#[derive(Clone)]
pub(super) struct EdgeService {
    pub(super) endpoint: Endpoint,
    pub(super) gateway: Gateway,
    /// How often this process was asked to stop.
    pub(super) stopping: watch::Receiver<u32>,
}

impl EdgeService {
    fn probe(&self, path: &str) -> Option<Response<ReplyBody>> {
        match path {
            "/health" => Some(plain(StatusCode::OK, "ok\n")),
            "/ready" => Some(match self.unready() {
                None => plain(StatusCode::OK, "ready\n"),
                Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
            }),
            _ => None,
        }
    }

    /// Why requests are better sent elsewhere.
    fn unready(&self) -> Option<&'static str> {
        if *self.stopping.borrow() > 0 {
            return Some("not ready: shutting down\n");
        }
        let answers = |upstream: &carryall::gateway::Upstream| {
            upstream
                .status()
                .iter()
                .any(|replica| replica.alive && replica.answered)
        };
        (!self.gateway.upstreams().iter().any(answers))
            .then_some("not ready: no server behind it answers\n")
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<ReplyBody> {
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

/// The same URI with the path of the endpoint.
fn endpoint_uri(uri: &Uri) -> Option<Uri> {
    let path = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{ENDPOINT}?{query}")).ok()?,
        None => PathAndQuery::from_static(ENDPOINT),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
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
        if path != ENDPOINT {
            if matches!(*request.method(), Method::GET | Method::HEAD)
                && let Some(answer) = self.probe(path)
            {
                return Either::Left(ready(Ok(answer)));
            }
            if path.strip_suffix('/') == Some(ENDPOINT)
                && let Some(uri) = endpoint_uri(request.uri())
            {
                *request.uri_mut() = uri;
            }
        }
        Either::Right(self.endpoint.call(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_ready_once_a_server_has_answered_and_until_it_stops() {
        let server = carryall::Server::new("x", "1").build().unwrap();
        let upstream = carryall::gateway::Upstream::new("x").unwrap();
        let upstream = upstream.with_replica("x", carryall::proto::SharedService::new(server));
        let gateway = Gateway::builder(carryall::types::Implementation::new("edge", "1"))
            .upstream(upstream.clone());
        let gateway = gateway.build().unwrap();
        let (stop, stopping) = watch::channel(0);
        let front = EdgeService {
            endpoint: Endpoint::new(gateway.clone()),
            gateway,
            stopping,
        };
        let ready = || front.probe("/ready").unwrap().status().as_u16();
        assert_eq!(ready(), 503, "nobody knows yet");
        upstream.check(std::time::Duration::from_secs(10)).await;
        assert_eq!(ready(), 200);
        stop.send_replace(1);
        assert_eq!(ready(), 503, "requests are better sent elsewhere");
        assert_eq!(front.probe("/health").unwrap().status().as_u16(), 200);
    }

    #[test]
    fn a_slash_at_the_end_changes_nothing_else() {
        for (uri, expected) in [
            ("/mcp/", "/mcp"),
            ("/mcp/?a=b", "/mcp?a=b"),
            ("http://x:1/mcp/?a", "http://x:1/mcp?a"),
        ] {
            assert_eq!(endpoint_uri(&uri.parse().unwrap()).unwrap(), expected);
        }
    }
}
