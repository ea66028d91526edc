//! A graceful shutdown does not wait for streams that have no end of their own.

mod serve_http_common;

use carryall_legacy::serve::LegacyEndpoint;
use carryall_server::Server;
use carryall_transport::http::{Endpoint, HttpServer};
use serde_json::json;
use serve_http_common::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const VERSION: &str = "2025-11-25";
/// A shutdown that takes this long has waited for a client.
const DRAIN: Duration = Duration::from_secs(60);

/// After this time a call becomes a stream, so that its client knows that it has started.
const SSE_AFTER: Duration = Duration::from_millis(50);

struct RunningServer {
    address: SocketAddr,
    server: Server,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl RunningServer {
    async fn start() -> Self {
        let seen = Arc::new(Seen::default());
        let server = server(&seen);
        let http = HttpServer::bind("127.0.0.1:0")
            .await
            .unwrap()
            .drain_timeout(DRAIN);
        let address = http.local_addr().unwrap();
        let legacy = LegacyEndpoint::new(
            server.clone(),
            options().http_sse_2024(true).sse_after(SSE_AFTER),
        );
        let ending = server.clone();
        let endpoint = Endpoint::new(server.clone())
            .fallback(Arc::new(legacy))
            .on_close(move || ending.close_subscriptions());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(http.run_endpoint(endpoint, async { drop(stopped.await) }));
        Self {
            address,
            server,
            seen,
            stop: Some(stop),
            serving,
        }
    }

    fn stop(&mut self) {
        drop(self.stop.take());
    }

    async fn ended(self) {
        timeout(DRAIN / 2, self.serving)
            .await
            .expect("it waits for a client")
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn streams_without_an_end_of_their_own_are_ended() {
    let mut running = RunningServer::start().await;
    let client = Client::open(running.address, VERSION).await;
    let mut changes = client.get(None).await;
    changes.next().await.unwrap();
    let mut sse = Events::open(
        running.address,
        &http("GET", "/sse", "Accept: text/event-stream\r\n", ""),
    )
    .await;
    let endpoint = sse.next().await.unwrap().data.unwrap();
    let opening = http(
        "POST",
        &endpoint,
        "Content-Type: application/json\r\n",
        &initialize("2024-11-05"),
    );
    assert_eq!(send(running.address, &opening).await.status, 202);
    assert_eq!(
        sse.message().await.json()["result"]["protocolVersion"],
        "2024-11-05"
    );
    let mut fresh = Events::open(
        running.address,
        &http("GET", "/sse", "Accept: text/event-stream\r\n", ""),
    )
    .await;
    fresh.next().await.unwrap();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let listen = json!({
        "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen",
        "params": {"notifications": {"resourcesListChanged": true, "toolsListChanged": true}, "_meta": meta},
    });
    let modern = format!(
        "{POST_HEADERS}MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n"
    );
    let mut listening = Events::open(
        running.address,
        &http("POST", "/mcp", &modern, &listen.to_string()),
    )
    .await;
    listening.message().await;
    eventually("both listen", || running.server.subscriptions() >= 1).await;
    running.stop();
    let ends = async {
        for stream in [&mut changes, &mut sse, &mut fresh] {
            assert_eq!(stream.rest().await, [json!(null); 0]);
        }
        assert_eq!(
            listening.rest().await.last().unwrap()["id"],
            1,
            "with its closing result"
        );
    };
    timeout(DRAIN / 4, ends)
        .await
        .expect("a stream is still open");
    running.ended().await;
}

#[tokio::test]
async fn calls_that_wait_for_their_client_fail_and_other_calls_finish() {
    let mut running = RunningServer::start().await;
    let client = Client::open(running.address, VERSION).await;
    let mut asking = client.stream(&tool(1, "greet")).await;
    assert_eq!(
        asking.message().await.json()["method"],
        "elicitation/create"
    );
    let mut working = client.stream(&tool(2, "wait")).await;
    working.message().await;
    let task = json!({"name": "hang", "arguments": {}, "task": {}});
    let begun = client.post(&request(3, "tools/call", task)).await.json();
    let result = request(
        4,
        "tasks/result",
        json!({"taskId": begun["result"]["task"]["taskId"]}),
    );
    let mut waiting = client.stream(&result).await;
    eventually("the task runs", || running.seen.started.load(SeqCst) == 2).await;
    running.stop();
    let failed = asking.rest().await;
    assert!(
        failed.last().unwrap()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("shutting down"),
        "{failed:?}"
    );
    let waited = waiting.rest().await;
    assert!(
        waited.last().unwrap()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("shutting down"),
        "{waited:?}"
    );
    running.seen.go.notify_one();
    assert_eq!(bus::text(working.rest().await.last().unwrap()), "waited");
    running.ended().await;
}

#[tokio::test]
async fn no_streams_are_opened_during_the_shutdown() {
    let server = Replica::start(options().http_sse_2024(true)).await;
    let client = Client::open(server.address, VERSION).await;
    carryall_transport::http::server::FallbackProtocol::close(&server.endpoint);
    assert_eq!(client.get(None).await.status, 503);
    let sse = http("GET", "/sse", "Accept: text/event-stream\r\n", "");
    assert_ne!(send(server.address, &sse).await.status, 200);
    assert_eq!(
        client.call("hello").await,
        "hello nobody",
        "calls are still answered"
    );
}
