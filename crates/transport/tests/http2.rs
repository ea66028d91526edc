//! HTTP/2 clients that open streams and do not read them.

mod common;

use carryall_transport::http::{Endpoint, HttpServer};
use common::{Seen, Tools, eventually, tool_call, within};
use h2::client::{ResponseFuture, SendRequest};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

async fn serve(stalled: Duration) -> (SocketAddr, Arc<Seen>) {
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let endpoint = Endpoint::new(Tools(Arc::clone(&seen))).keep_alive(Duration::from_millis(50));
    // The socket is always read; only the streams stall.
    tokio::spawn(
        server
            .connection_timeouts(Duration::from_secs(20), stalled)
            .run_endpoint(endpoint, pending()),
    );
    (address, seen)
}

/// Connects with a flow-control window of `window` bytes per stream.
async fn connect(address: SocketAddr, window: u32) -> SendRequest<bytes::Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window);
    let (sender, connection) = within(builder.handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    within(sender.ready()).await.unwrap()
}

fn ask(sender: &mut SendRequest<bytes::Bytes>, name: &str) -> ResponseFuture {
    let request = http::Request::post("http://localhost/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", name);
    let (response, mut body) = sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    body.send_data(tool_call("1", name).into(), true).unwrap();
    response
}

/// Reads a whole response. The error is the reason of a reset.
async fn read(response: ResponseFuture) -> Result<Vec<u8>, h2::Reason> {
    let mut body = within(response).await.unwrap().into_body();
    let mut read = Vec::new();
    while let Some(chunk) = within(body.data()).await {
        let chunk = chunk.map_err(|error| error.reason().unwrap_or(h2::Reason::INTERNAL_ERROR))?;
        body.flow_control().release_capacity(chunk.len()).unwrap();
        read.extend_from_slice(&chunk);
    }
    Ok(read)
}

/// Reads only what the initial window allows, until the stream ends.
async fn starve(response: ResponseFuture) -> Option<h2::Reason> {
    let mut body = within(response).await.unwrap().into_body();
    while let Some(chunk) = within(body.data()).await {
        if let Err(error) = chunk {
            return error.reason();
        }
    }
    None
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_reset_and_its_call_cancelled() {
    let (address, seen) = serve(Duration::from_millis(200)).await;
    for window in [0, 1] {
        let mut sender = connect(address, window).await;
        let (before, streams) = (seen.dropped(), 20);
        let listening: Vec<_> = (0..streams).map(|_| ask(&mut sender, "listen")).collect();
        for response in listening {
            assert_eq!(
                starve(response).await,
                Some(h2::Reason::CANCEL),
                "window {window}"
            );
        }
        eventually("the calls are cancelled", || {
            seen.dropped() == before + streams
        })
        .await;
    }
}

#[tokio::test]
async fn a_reset_drops_the_rest_of_the_response() {
    let (address, _) = serve(Duration::from_millis(200)).await;
    for (name, window) in [
        ("large", 0),
        ("large", 1),
        ("large", 40_000),
        ("large-stream", 1),
    ] {
        let mut sender = connect(address, window).await;
        assert_eq!(
            starve(ask(&mut sender, name)).await,
            Some(h2::Reason::CANCEL),
            "{name}, window {window}"
        );
    }
}

#[tokio::test]
async fn a_reset_drops_a_body_in_one_piece() {
    // A chunk that was handed to the connection stays there when the stream is reset.
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let gone = Arc::new(());
    let kept = Arc::clone(&gone);
    let respond = move |request: axum::extract::Request| {
        let length = request.headers()["mcp-name"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let body = bytes::Bytes::from_owner(Owned {
            bytes: vec![b'x'; length],
            _kept: Arc::clone(&kept),
        });
        async move { axum::body::Body::from(body) }
    };
    let app = axum::Router::new().route("/mcp", axum::routing::post(respond));
    let stalled = Duration::from_millis(200);
    tokio::spawn(
        server
            .connection_timeouts(Duration::from_secs(20), stalled)
            .run_http(app, pending()),
    );
    for length in ["2000", "10000", "300000"] {
        for window in [0, 1] {
            let mut sender = connect(address, window).await;
            assert_eq!(
                starve(ask(&mut sender, length)).await,
                Some(h2::Reason::CANCEL),
                "{length}, window {window}"
            );
            eventually("the body is dropped", || Arc::strong_count(&gone) == 2).await;
        }
    }
}

/// Data that tells when it is dropped.
struct Owned {
    bytes: Vec<u8>,
    _kept: Arc<()>,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[tokio::test]
async fn streams_that_are_read_continue_beside_one_that_is_not() {
    let (address, _) = serve(Duration::from_secs(3)).await;
    let mut sender = connect(address, 20_000).await;
    let starved = tokio::spawn(starve(ask(&mut sender, "large")));
    for _ in 0..3 {
        for (name, length) in [("large", 300_000), ("large-stream", 300_000), ("hello", 5)] {
            let body = String::from_utf8(read(ask(&mut sender, name)).await.unwrap()).unwrap();
            assert!(
                body.len() > length && body.contains(r#""text":"#),
                "{name}: {}",
                body.len()
            );
        }
    }
    assert_eq!(within(starved).await.unwrap(), Some(h2::Reason::CANCEL));
    assert!(
        read(ask(&mut sender, "hello")).await.is_ok(),
        "the connection stays usable"
    );
}

#[tokio::test]
async fn a_response_arrives_whole_at_any_length() {
    let (address, _) = serve(Duration::from_secs(20)).await;
    let mut sender = connect(address, 65_535).await;
    for length in [
        1, 500, 1020, 1024, 1030, 10_000, 16_300, 16_384, 16_400, 32_768, 50_000,
    ] {
        let name = "y".repeat(length);
        let body = read(ask(&mut sender, &name)).await.unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["result"]["text"].as_str().map(str::len), Some(length));
    }
}
