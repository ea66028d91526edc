//! A real server on real sockets, and a legacy client that sends exactly the bytes it is given.
#![allow(
    dead_code,
    unreachable_pub,
    deprecated,
    reason = "each test binary uses its own part"
)]

pub mod bus;

use carryall_legacy::serve::{LegacyEndpoint, LegacyOptions, StreamControl};
use carryall_proto::seal::{Keyring, SealingKey};
use carryall_proto::{Call, CallSource, Principal, Response, SharedService};
use carryall_server::{Ctx, HandlerError, Resource, Server, Tool};
use carryall_transport::http::{Endpoint, HttpServer};
use carryall_types::{
    ElicitRequestFormParams, ElicitResult, InputRequest, InputRequests, InputRequiredResult,
    LoggingLevel, RawJson,
};
use http::Request;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tower_service::Service;

/// What the tools have done, and a signal for them.
#[derive(Default)]
pub struct Seen {
    pub started: AtomicUsize,
    pub dropped: AtomicUsize,
    pub finished: AtomicUsize,
    /// Lets `wait` and `large_on_signal` go on.
    pub go: Notify,
}

struct OnDrop(Arc<Seen>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

fn question() -> InputRequiredResult {
    let schema =
        json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let form =
        ElicitRequestFormParams::new("Who are you?", serde_json::from_value(schema).unwrap());
    let requests: InputRequests = [("who", InputRequest::from(form))].into_iter().collect();
    InputRequiredResult::new().with_input_requests(requests)
}

pub fn server(seen: &Arc<Seen>) -> Server {
    let (wait, hang, large) = (Arc::clone(seen), Arc::clone(seen), Arc::clone(seen));
    Server::new("wire", "1")
        .with_logging()
        .tool(Tool::new("hello", async |ctx: Ctx| {
            format!(
                "hello {}",
                ctx.principal()
                    .map_or("nobody", |principal| &principal.subject)
            )
        }))
        .tool(Tool::new("slow", async || {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "slow"
        }))
        .tool(Tool::new("large", async || "x".repeat(300_000)))
        .tool(Tool::new("large_on_signal", move || {
            let seen = Arc::clone(&large);
            async move {
                seen.go.notified().await;
                "x".repeat(300_000)
            }
        }))
        .tool(Tool::new("panic", async |ctx: Ctx| -> String {
            // Makes the response a stream.
            ctx.progress(1.0).await;
            panic!("secret detail")
        }))
        .tool(Tool::new("log", async |ctx: Ctx| {
            ctx.log(LoggingLevel::Info, None, "a log message").await;
            "logged"
        }))
        .tool(Tool::new("wait", move |ctx: Ctx| {
            let seen = Arc::clone(&wait);
            async move {
                seen.started.fetch_add(1, SeqCst);
                ctx.progress(1.0).of(2.0).await;
                seen.go.notified().await;
                ctx.progress(2.0).of(2.0).await;
                seen.finished.fetch_add(1, SeqCst);
                "waited"
            }
        }))
        .tool(Tool::new("hang", move || {
            let seen = Arc::clone(&hang);
            async move {
                seen.started.fetch_add(1, SeqCst);
                let _guard = OnDrop(seen);
                std::future::pending::<String>().await
            }
        }))
        .tool(Tool::new("flood", async |ctx: Ctx| {
            for n in 0..1000 {
                ctx.log(
                    LoggingLevel::Error,
                    None,
                    json!({"n": n, "x": "x".repeat(100)}),
                )
                .await;
            }
            "flooded"
        }))
        .tool(Tool::new("poll", async |ctx: Ctx| {
            if let Some(stream) = ctx.extensions().get::<StreamControl>() {
                stream.pause().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            "polled"
        }))
        .tool(Tool::new("greet", async |ctx: Ctx| {
            match ctx.input_responses()?.get_as::<ElicitResult>("who") {
                Some(answer) => {
                    let content = answer?.content.unwrap_or_default();
                    Ok(format!(
                        "hello {}",
                        content
                            .get("name")
                            .map(ToString::to_string)
                            .unwrap_or_default()
                    ))
                }
                None => Err(HandlerError::input_required(question())),
            }
        }))
        .resource(Resource::new("x:first", "first", async || "text"))
        .build()
        .unwrap()
}

pub fn keyring() -> Keyring {
    Keyring::new(SealingKey::new(1, [7; 32]))
}

pub fn options() -> LegacyOptions {
    LegacyOptions::default().keyring(keyring())
}

/// One replica of the server.
pub struct Replica {
    pub address: SocketAddr,
    pub server: Server,
    pub seen: Arc<Seen>,
    pub endpoint: LegacyEndpoint,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Replica {
    pub async fn start(options: LegacyOptions) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), options)
    }

    pub fn start_on(listener: TcpListener, options: LegacyOptions) -> Self {
        let seen = Arc::new(Seen::default());
        let server = server(&seen);
        let http = HttpServer::from_listener(listener).drain_timeout(Duration::ZERO);
        let address = http.local_addr().unwrap();
        let service = with_source(server.clone());
        let endpoint = LegacyEndpoint::new(service.clone(), options);
        let http_endpoint = Endpoint::new(service)
            .fallback(Arc::new(endpoint.clone()))
            .path("/mcp");
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            http.run_http(WithUser(http_endpoint), stopped)
                .await
                .unwrap();
        });
        Self {
            address,
            server,
            seen,
            endpoint,
            stop: Some(stop),
            running,
        }
    }

    /// Stops the replica with its connections and calls in flight.
    pub async fn kill(mut self) -> SocketAddr {
        drop(self.stop.take());
        let address = self.address;
        let _ = (&mut self.running).await;
        address
    }
}

/// Returns the server with a tool `source` that returns the source of its call.
fn with_source(server: Server) -> SharedService {
    let server = SharedService::new(server);
    SharedService::from_fn(move |call: Call| {
        if call.params().string("name").as_deref() != Some("source") {
            return server.answer(call);
        }
        let text = format!("{:?}", call.source());
        let result = json!({"resultType": "complete", "content": [{"type": "text", "text": text}]});
        let response = Response::result(call.id().clone(), RawJson::from(&result));
        Box::pin(std::future::ready(Ok(response.into())))
    })
}

/// Takes the principal from a header, as an authorization layer does from a token.
#[derive(Clone)]
struct WithUser(Endpoint);

impl<B> Service<Request<B>> for WithUser
where
    B: http_body::Body,
    B::Error: std::fmt::Display,
{
    type Response = <Endpoint as Service<Request<B>>>::Response;
    type Error = Infallible;
    type Future = <Endpoint as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(user) = request
            .headers()
            .get("x-user")
            .and_then(|user| user.to_str().ok())
        {
            let principal = Principal {
                issuer: "https://issuer.example".into(),
                subject: user.into(),
                client: None,
                scopes: Vec::new(),
            };
            request.extensions_mut().insert(Arc::new(principal));
        }
        let address = request
            .headers()
            .get("x-address")
            .and_then(|address| address.to_str().ok());
        if let Some(address) = address.map(|address| address.parse().unwrap()) {
            request
                .extensions_mut()
                .insert(CallSource::new(None, Some(address)));
        }
        self.0.call(request)
    }
}

pub const POST_HEADERS: &str =
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";

/// Returns the text of an HTTP/1.1 request.
pub fn http(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn initialize(version: &str) -> String {
    let capabilities = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    let client = json!({"name": "old", "version": "1"});
    let params =
        json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": client});
    request(0, "initialize", params)
}

pub fn request(id: impl Into<Value>, method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params}).to_string()
}

pub fn tool(id: impl Into<Value>, name: &str) -> String {
    request(
        id,
        "tools/call",
        json!({"name": name, "arguments": {}, "_meta": {"progressToken": "p"}}),
    )
}

/// A client with a session.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub id: String,
    pub version: String,
    /// Additional header lines of each request.
    pub headers: String,
}

impl Client {
    pub async fn open(address: SocketAddr, version: &str) -> Self {
        Self::open_as(address, version, "").await
    }

    pub async fn open_as(address: SocketAddr, version: &str, headers: &str) -> Self {
        let answer = send(
            address,
            &http(
                "POST",
                "/mcp",
                &format!("{POST_HEADERS}{headers}"),
                &initialize(version),
            ),
        )
        .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer
            .header("mcp-session-id")
            .expect("a session id")
            .to_owned();
        let version = answer.json()["result"]["protocolVersion"]
            .as_str()
            .unwrap()
            .to_owned();
        let client = Self {
            address,
            id,
            version,
            headers: headers.to_owned(),
        };
        let initialized =
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
        assert_eq!(client.post(&initialized).await.status, 202);
        client
    }

    /// Returns the same client with another replica for its requests.
    pub fn at(&self, replica: &Replica) -> Self {
        Self {
            address: replica.address,
            ..self.clone()
        }
    }

    fn head(&self) -> String {
        format!(
            "Mcp-Session-Id: {}\r\nMCP-Protocol-Version: {}\r\n{}",
            self.id, self.version, self.headers
        )
    }

    pub fn posting(&self, body: &str) -> String {
        http(
            "POST",
            "/mcp",
            &format!("{POST_HEADERS}{}", self.head()),
            body,
        )
    }

    pub async fn post(&self, body: &str) -> Answer {
        send(self.address, &self.posting(body)).await
    }

    /// POSTs, and reads the answer as a stream.
    pub async fn stream(&self, body: &str) -> Events {
        Events::open(self.address, &self.posting(body)).await
    }

    pub fn getting(&self, last: Option<&str>) -> String {
        let last = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        http(
            "GET",
            "/mcp",
            &format!("Accept: text/event-stream\r\n{}{last}", self.head()),
            "",
        )
    }

    pub async fn get(&self, last: Option<&str>) -> Events {
        Events::open(self.address, &self.getting(last)).await
    }

    pub async fn delete(&self) -> u16 {
        send(self.address, &http("DELETE", "/mcp", &self.head(), ""))
            .await
            .status
    }

    /// Returns the text that a tool returns.
    pub async fn call(&self, name: &str) -> Value {
        let answer = self.post(&tool(1, name)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["result"]["content"][0]["text"].clone()
    }

    pub async fn log_level(&self, level: &str) {
        let set = self
            .post(&request(
                "level",
                "logging/setLevel",
                json!({"level": level}),
            ))
            .await;
        assert_eq!(set.json()["result"], json!({}), "{set:?}");
    }

    pub async fn answer(&self, question: &Value, name: &str) -> u16 {
        let result = json!({"action": "accept", "content": {"name": name}});
        self.post(&json!({"jsonrpc": "2.0", "id": question["id"], "result": result}).to_string())
            .await
            .status
    }
}

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends one request on a connection of its own and reads the whole response.
pub async fn send(address: SocketAddr, request: &str) -> Answer {
    let mut events = Events::open(address, request).await;
    while events.read().await {}
    let body = String::from_utf8(events.raw.concat()).unwrap();
    Answer {
        status: events.status,
        head: events.head,
        body,
    }
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub id: Option<String>,
    pub kind: Option<String>,
    pub retry: Option<u64>,
    pub data: Option<String>,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(self.data.as_deref().expect("data")).unwrap()
    }
}

/// A response that is read event by event.
pub struct Events {
    pub status: u16,
    pub head: String,
    stream: TcpStream,
    chunked: bool,
    to_come: usize,
    received: Vec<u8>,
    ended: bool,
    raw: Vec<Vec<u8>>,
    text: String,
    ready: VecDeque<Event>,
    /// Comments seen.
    pub comments: usize,
}

impl Events {
    pub async fn open(address: SocketAddr, request: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let end = loop {
            if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            assert!(
                fill(&mut stream, &mut received).await,
                "closed after {:?}",
                String::from_utf8_lossy(&received)
            );
        };
        let head = String::from_utf8(received[..end].to_vec()).unwrap();
        received.drain(..end + 4);
        let lower = head.to_ascii_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        Self {
            status: head[9..12].parse().unwrap(),
            chunked: lower.contains("transfer-encoding: chunked"),
            head,
            stream,
            to_come: length.unwrap_or(0),
            received,
            ended: false,
            raw: Vec::new(),
            text: String::new(),
            ready: VecDeque::new(),
            comments: 0,
        }
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let answer = Answer {
            status: self.status,
            head: self.head.clone(),
            body: String::new(),
        };
        answer.header(name).map(str::to_owned)
    }

    /// Reads a piece of the body into `raw`. Returns `false` at its end, or if the connection
    /// broke.
    async fn read(&mut self) -> bool {
        loop {
            if self.ended {
                return false;
            }
            if !self.chunked {
                if self.to_come == 0 {
                    self.ended = true;
                } else if self.received.is_empty() {
                    self.ended = !fill(&mut self.stream, &mut self.received).await;
                } else {
                    let count = self.to_come.min(self.received.len());
                    self.to_come -= count;
                    self.raw.push(self.received.drain(..count).collect());
                    return true;
                }
                continue;
            }
            let line = self.received.windows(2).position(|two| two == b"\r\n");
            let chunk = line.and_then(|line| {
                let size = usize::from_str_radix(
                    std::str::from_utf8(&self.received[..line]).unwrap().trim(),
                    16,
                )
                .unwrap();
                (self.received.len() >= line + 4 + size).then_some((line + 2, size))
            });
            match chunk {
                Some((_, 0)) => self.ended = true,
                Some((start, size)) => {
                    self.raw.push(self.received[start..start + size].to_vec());
                    self.received.drain(..start + size + 2);
                    return true;
                }
                None => self.ended = !fill(&mut self.stream, &mut self.received).await,
            }
        }
    }

    /// Returns the next event, including those without data; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let from = self.raw.len();
            if !within(self.read()).await {
                return None;
            }
            for piece in &self.raw[from..] {
                self.text.push_str(std::str::from_utf8(piece).unwrap());
            }
            while let Some(end) = self.text.find("\n\n") {
                let text: String = self.text.drain(..end + 2).collect();
                let mut event = Event::default();
                for line in text.lines() {
                    match line.split_once(": ").or_else(|| line.split_once(':')) {
                        Some(("id", id)) => event.id = Some(id.into()),
                        Some(("event", kind)) => event.kind = Some(kind.into()),
                        Some(("retry", retry)) => event.retry = Some(retry.parse().unwrap()),
                        Some(("data", data)) => event.data = Some(data.into()),
                        Some(("", _)) => self.comments += 1,
                        other => assert!(line.is_empty(), "{other:?}"),
                    }
                }
                if event != Event::default() {
                    self.ready.push_back(event);
                }
            }
        }
    }

    /// Returns the next event with data.
    pub async fn message(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("an event");
            if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
                return event;
            }
        }
    }

    /// Returns all messages up to the end, as JSON.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(event) = self.next().await {
            if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
                messages.push(event.json());
            }
        }
        messages
    }

    /// Returns whether no event arrives for a while.
    pub async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(200), self.next())
            .await
            .is_err()
    }
}

async fn fill(stream: &mut TcpStream, received: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 * 1024];
    match within(stream.read(&mut buffer)).await {
        Ok(0) | Err(_) => false,
        Ok(count) => {
            received.extend_from_slice(&buffer[..count]);
            true
        }
    }
}

/// Fails a test that hangs.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it hangs")
}

/// Waits until a condition holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
