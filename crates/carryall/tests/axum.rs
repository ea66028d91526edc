//! The endpoint in an axum application: replicas that share a store, and a graceful shutdown.

use axum::Router;
use carryall::proto::seal::{Keyring, SealingKey};
use carryall::server::{HandlerError, Resource, Tool};
use carryall::store::{BoxFuture, Changes, Memory, Row, Store, StoreResult};
use carryall::types::{ElicitRequestFormParams, RequestedSchema};
use carryall::{Ctx, Server};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Fails a test that hangs; generous, for slow machines.
const LIMIT: Duration = Duration::from_secs(30);
const VERSION: &str = "2025-11-25";

/// A store in memory for all replicas of this process.
#[derive(Clone, Debug, Default)]
struct Shared(Memory);

impl Store for Shared {
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>> {
        self.0.insert(row, now)
    }

    fn get<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        now: u64,
    ) -> BoxFuture<'a, StoreResult<Option<Row>>> {
        self.0.get(kind, key, now)
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        self.0.replace(row)
    }

    fn reschedule<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
        due_at: Option<u64>,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        self.0.reschedule(kind, key, version, due_at)
    }

    fn remove<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        version: u64,
    ) -> BoxFuture<'a, StoreResult<bool>> {
        self.0.remove(kind, key, version)
    }

    fn due(
        &self,
        kind: &'static str,
        now: u64,
        limit: usize,
    ) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        self.0.due(kind, now, limit)
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        self.0.expire(now, limit)
    }

    fn changes(&self, kind: &'static str) -> Changes {
        self.0.changes(kind)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

async fn greet(ctx: Ctx) -> Result<String, HandlerError> {
    let form = ElicitRequestFormParams::new(
        "Your name?",
        RequestedSchema::new()
            .string("name", |name| name)
            .required(),
    );
    let answer = ctx.ask(form).await?.accepted().unwrap_or_default();
    Ok(format!(
        "hello {}",
        answer["name"].as_str().unwrap_or_default()
    ))
}

/// A replica of the server in an axum application.
struct Replica {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Replica {
    async fn start(store: &Shared) -> Self {
        Self::start_as("greeter", store).await
    }

    async fn start_as(name: &str, store: &Shared) -> Self {
        let server = Server::new(name, "1")
            .tool(Tool::new("greet", greet))
            .resource(Resource::new("x:a", "a", async || "text"))
            .keyring(Keyring::new(SealingKey::new(1, [7; 32])))
            .store(store.clone())
            .replicated()
            .build()
            .unwrap();
        tokio::spawn(server.maintain());
        let endpoint =
            carryall::endpoint_with(server, |legacy| legacy.http_sse_2024(true)).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = endpoint.close_on(async { drop(stopped.await) });
        let app = Router::new()
            .route_service("/mcp", endpoint.clone())
            .route_service("/sse", endpoint);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            axum::serve(listener, app)
                .with_graceful_shutdown(shutdown)
                .await
        });
        Self {
            address,
            stop: Some(stop),
            serving,
        }
    }

    async fn shut_down(mut self) {
        drop(self.stop.take());
        timeout(LIMIT, self.serving)
            .await
            .expect("the shutdown waits for a client")
            .unwrap()
            .unwrap();
    }
}

/// A response that is read as it comes.
struct Reply {
    stream: TcpStream,
    text: String,
}

impl Reply {
    async fn to(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Self {
            stream,
            text: String::new(),
        }
    }

    /// Reads until there is `what`, and returns all that was read.
    async fn until(&mut self, what: &str) -> String {
        let mut buffer = [0; 4096];
        while !self.text.contains(what) {
            let count = timeout(LIMIT, self.stream.read(&mut buffer))
                .await
                .expect("it hangs")
                .unwrap();
            assert!(count > 0, "ended without {what:?}: {}", self.text);
            self.text
                .push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        self.text.clone()
    }

    async fn end(mut self) -> String {
        let mut rest = Vec::new();
        timeout(LIMIT, self.stream.read_to_end(&mut rest))
            .await
            .expect("it hangs")
            .unwrap();
        self.text + std::str::from_utf8(&rest).unwrap()
    }
}

/// Opens a session and returns the header lines that name it.
async fn open(address: SocketAddr) -> String {
    let client = json!({"name": "old", "version": "1"});
    let params = json!({"protocolVersion": VERSION, "capabilities": {"elicitation": {}}, "clientInfo": client});
    let body =
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string();
    let head = Reply::to(address, "POST", "/mcp", "", &body)
        .await
        .until("\"serverInfo\"")
        .await;
    let id = head
        .lines()
        .find_map(|line| line.strip_prefix("mcp-session-id: "))
        .expect("a session id");
    format!("Mcp-Session-Id: {id}\r\nMCP-Protocol-Version: {VERSION}\r\n")
}

#[tokio::test]
async fn any_replica_serves_legacy_clients() {
    let store = Shared::default();
    let (a, b) = (Replica::start(&store).await, Replica::start(&store).await);
    let session = open(a.address).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "greet", "arguments": {}}});
    let mut asking = Reply::to(b.address, "POST", "/mcp", &session, &call.to_string()).await;
    let asked = asking.until("elicitation/create").await;
    let question = asked
        .lines()
        .find_map(|line| line.strip_prefix("data: {").map(|rest| format!("{{{rest}")));
    let question: Value = serde_json::from_str(&question.expect("a question")).unwrap();
    let result = json!({"action": "accept", "content": {"name": "Ada"}});
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result}).to_string();
    let taken = Reply::to(a.address, "POST", "/mcp", &session, &answer)
        .await
        .until("\r\n\r\n")
        .await;
    assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");
    asking.until("hello Ada").await;
    a.shut_down().await;
    b.shut_down().await;
}

#[tokio::test]
async fn a_session_is_of_use_at_the_server_that_it_was_opened_with_alone() {
    let store = Shared::default();
    let (greeter, other) = (
        Replica::start(&store).await,
        Replica::start_as("other", &store).await,
    );
    let session = open(greeter.address).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for (replica, status) in [(&greeter, "HTTP/1.1 200"), (&other, "HTTP/1.1 404")] {
        let response = Reply::to(replica.address, "POST", "/mcp", &session, &ping)
            .await
            .until("\r\n\r\n")
            .await;
        assert!(response.starts_with(status), "{response}");
    }
    greeter.shut_down().await;
    other.shut_down().await;
}

#[tokio::test]
async fn an_open_listener_does_not_hold_up_a_graceful_shutdown() {
    let replica = Replica::start(&Shared::default()).await;
    let session = open(replica.address).await;
    let mut changes = Reply::to(replica.address, "GET", "/mcp", &session, "").await;
    changes.until("id: ").await;
    let mut sse = Reply::to(replica.address, "GET", "/sse", "", "").await;
    sse.until("event: endpoint").await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"notifications": {"toolsListChanged": true, "resourcesListChanged": true}, "_meta": meta});
    let listen =
        json!({"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": params})
            .to_string();
    let modern = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n";
    let mut listening = Reply::to(replica.address, "POST", "/mcp", modern, &listen).await;
    listening.until("acknowledged").await;
    replica.shut_down().await;
    assert!(
        listening.end().await.contains("\"result\""),
        "it ends with its closing result"
    );
    changes.end().await;
    sse.end().await;
}

#[tokio::test]
async fn an_invalid_server_has_no_endpoint() {
    let builder = Server::new("twice", "1")
        .tool(Tool::new("same", async || "a"))
        .tool(Tool::new("same", async || "b"));
    assert!(carryall::endpoint(builder).is_err());
    assert!(carryall::endpoint(Server::new("replicated without keys", "1").replicated()).is_err());
}
