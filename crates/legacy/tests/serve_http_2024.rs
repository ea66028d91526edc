//! HTTP+SSE of 2024-11-05: one stream for all messages to the client, one URL to POST to.

mod serve_http_common;

use carryall_legacy::serve::HttpBus;
use serde_json::{Value, json};
use serve_http_common::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::net::TcpListener;

struct SseClient {
    stream: Events,
    address: SocketAddr,
    path: String,
    headers: &'static str,
}

impl SseClient {
    async fn connect(address: SocketAddr, headers: &'static str) -> Self {
        let head = format!("Accept: text/event-stream\r\n{headers}");
        let mut stream = Events::open(address, &http("GET", "/sse", &head, "")).await;
        assert_eq!(
            (stream.status, stream.header("content-type")),
            (200, Some("text/event-stream".into()))
        );
        let endpoint = stream.next().await.unwrap();
        assert_eq!(endpoint.kind.as_deref(), Some("endpoint"));
        Self {
            stream,
            address,
            path: endpoint.data.unwrap(),
            headers,
        }
    }

    async fn open(address: SocketAddr, headers: &'static str) -> Self {
        let mut old = Self::connect(address, headers).await;
        assert_eq!(old.post(&initialize("2024-11-05")).await, 202);
        let opened = old.next().await;
        assert_eq!(
            (&opened["id"], &opened["result"]["protocolVersion"]),
            (&json!(0), &json!("2024-11-05"))
        );
        let initialized =
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
        assert_eq!(old.post(&initialized).await, 202);
        old
    }

    async fn post(&self, body: &str) -> u16 {
        self.post_to(self.address, self.headers, body).await
    }

    async fn post_to(&self, address: SocketAddr, headers: &str, body: &str) -> u16 {
        let headers = format!("Content-Type: application/json\r\n{headers}");
        send(address, &http("POST", &self.path, &headers, body))
            .await
            .status
    }

    async fn next(&mut self) -> Value {
        let event = self.stream.message().await;
        assert_eq!(
            (event.kind.as_deref(), event.id.as_deref()),
            (Some("message"), None)
        );
        event.json()
    }

    async fn call(&mut self, name: &str) -> Value {
        assert_eq!(self.post(&tool(1, name)).await, 202);
        self.next().await["result"]["content"][0]["text"].clone()
    }
}

// spec: http-headers-51
#[tokio::test]
async fn it_is_only_served_if_enabled() {
    let replica = Replica::start(options()).await;
    for (method, path) in [("GET", "/sse"), ("POST", "/messages")] {
        assert_eq!(
            send(replica.address, &http(method, path, POST_HEADERS, ""))
                .await
                .status,
            404
        );
    }
    let replica = Replica::start(options().http_sse_2024(true)).await;
    for (method, path, status) in [
        ("POST", "/sse", 405),
        ("GET", "/messages", 405),
        ("DELETE", "/sse", 405),
        ("GET", "/other", 404),
        ("GET", "/sse/", 404),
    ] {
        assert_eq!(
            send(replica.address, &http(method, path, POST_HEADERS, ""))
                .await
                .status,
            status,
            "{method} {path}"
        );
    }
    let json = http("GET", "/sse", "Accept: application/json\r\n", "");
    assert_eq!(send(replica.address, &json).await.status, 406);
    // Host and origin are checked as at the endpoint.
    let evil = http(
        "GET",
        "/sse",
        "Accept: text/event-stream\r\nOrigin: http://evil.example\r\n",
        "",
    );
    assert_eq!(send(replica.address, &evil).await.status, 403);
}

#[tokio::test]
async fn all_answers_are_sent_on_the_stream() {
    let replica = Replica::start(options().http_sse_2024(true)).await;
    let mut old = SseClient::open(replica.address, "x-user: alice\r\n").await;
    assert!(old.path.starts_with("/messages?session="), "{}", old.path);
    assert_eq!(old.call("hello").await, "hello alice");
    assert_eq!(old.post(&request(2, "ping", json!({}))).await, 202);
    assert_eq!(
        old.next().await,
        json!({"jsonrpc": "2.0", "id": 2, "result": {}})
    );
    // Streamable HTTP is served by the same process.
    assert_eq!(
        Client::open(replica.address, "2025-11-25")
            .await
            .call("hello")
            .await,
        "hello nobody"
    );
    // Progress, changes and answers of several requests share the stream.
    assert_eq!(old.post(&tool("long", "wait")).await, 202);
    assert_eq!(old.next().await["params"]["progress"], 1.0);
    assert_eq!(
        old.post(&request(
            3,
            "resources/subscribe",
            json!({"uri": "x:first"})
        ))
        .await,
        202
    );
    assert_eq!(old.next().await["id"], 3);
    tokio::time::sleep(Duration::from_millis(100)).await;
    replica.server.resource_updated("x:first");
    assert_eq!(
        old.next().await["method"],
        "notifications/resources/updated"
    );
    replica.seen.go.notify_one();
    assert_eq!(old.next().await["params"]["progress"], 2.0);
    assert_eq!(old.next().await["id"], "long");
}

#[tokio::test]
async fn the_first_request_must_be_initialize() {
    let replica = Replica::start(options().http_sse_2024(true)).await;
    let mut old = SseClient::connect(replica.address, "").await;
    assert_eq!(old.post(&tool(1, "hello")).await, 202);
    assert_eq!(old.next().await["error"]["code"], -32600);
    assert_eq!(old.post(&request(2, "initialize", json!({}))).await, 202);
    assert_eq!(old.next().await["error"]["code"], -32602);
    assert_eq!(old.post(&initialize("2024-11-05")).await, 202);
    assert_eq!(old.next().await["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(old.call("hello").await, "hello nobody");
    assert_eq!(old.post("{").await, 400);
    assert_eq!(old.post(&format!("[{}]", tool(1, "hello"))).await, 202);
    assert_eq!(
        old.next().await["error"]["code"],
        -32600,
        "no batches in 2024-11-05"
    );
}

#[tokio::test]
async fn a_stream_belongs_to_its_principal_and_ends_with_its_connection() {
    let replica = Replica::start(options().http_sse_2024(true)).await;
    let old = SseClient::open(replica.address, "x-user: alice\r\n").await;
    for thief in ["", "x-user: bob\r\n"] {
        assert_eq!(
            old.post_to(replica.address, thief, &tool(1, "hello")).await,
            404,
            "{thief}"
        );
    }
    let made_up = http(
        "POST",
        "/messages?session=made-up",
        POST_HEADERS,
        &tool(1, "hello"),
    );
    assert_eq!(send(replica.address, &made_up).await.status, 404);
    let session = Client::open_as(replica.address, "2025-11-25", "x-user: alice\r\n").await;
    let other_kind = http(
        "POST",
        &format!("/messages?session={}", session.id),
        POST_HEADERS,
        &tool(1, "hello"),
    );
    assert_eq!(send(replica.address, &other_kind).await.status, 404);
    assert_eq!(old.post(&tool(1, "hang")).await, 202);
    eventually("the call has started", || {
        replica.seen.started.load(SeqCst) == 1
    })
    .await;
    let SseClient { stream, path, .. } = old;
    drop(stream);
    eventually("the call has ended", || {
        replica.seen.dropped.load(SeqCst) == 1
    })
    .await;
    let gone = http(
        "POST",
        &path,
        &format!("{POST_HEADERS}x-user: alice\r\n"),
        &tool(1, "hello"),
    );
    assert_eq!(send(replica.address, &gone).await.status, 404);
}

#[tokio::test]
async fn a_cancelled_request_is_dropped() {
    let replica = Replica::start(options().http_sse_2024(true)).await;
    let mut old = SseClient::open(replica.address, "").await;
    assert_eq!(old.post(&tool(1, "hang")).await, 202);
    eventually("the call has started", || {
        replica.seen.started.load(SeqCst) == 1
    })
    .await;
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(old.post(&cancelled.to_string()).await, 202);
    eventually("the call has ended", || {
        replica.seen.dropped.load(SeqCst) == 1
    })
    .await;
    assert_eq!(
        old.call("hello").await,
        "hello nobody",
        "the cancelled request is not answered"
    );
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive() {
    let options = options()
        .http_sse_2024(true)
        .keep_alive(Duration::from_millis(20));
    let replica = Replica::start(options).await;
    let mut old = SseClient::open(replica.address, "").await;
    assert!(old.stream.is_quiet().await);
    assert!(old.stream.comments >= 3, "{}", old.stream.comments);
}

#[tokio::test]
async fn messages_reach_their_stream_from_any_replica() {
    let (one, two) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let urls =
        [&one, &two].map(|listener| format!("http://{}/mcp", listener.local_addr().unwrap()));
    let [a, b] = [one, two].map(|listener| {
        let bus = HttpBus::new(urls.iter().map(String::as_str), keyring()).unwrap();
        Replica::start_on(
            listener,
            options().http_sse_2024(true).session_bus(Arc::new(bus)),
        )
    });
    let mut old = SseClient::connect(a.address, "x-user: alice\r\n").await;
    old.address = b.address;
    assert_eq!(old.post(&initialize("2024-11-05")).await, 202);
    assert_eq!(old.next().await["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(old.call("hello").await, "hello alice");
    assert_eq!(
        old.post_to(b.address, "x-user: bob\r\n", &tool(1, "hello"))
            .await,
        404
    );
    let mut newer = SseClient::connect(a.address, "").await;
    newer.address = b.address;
    assert_eq!(newer.post(&initialize("2025-06-18")).await, 202);
    assert_eq!(
        newer.next().await["result"]["protocolVersion"],
        "2025-06-18"
    );
    assert_eq!(newer.post(&tool(5, "greet")).await, 202);
    let question = newer.next().await;
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "Ada"}}});
    assert_eq!(newer.post(&answer.to_string()).await, 202);
    assert_eq!(
        newer.next().await["result"]["content"][0]["text"],
        "hello \"Ada\""
    );
}
