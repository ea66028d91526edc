//! Small services, and a client that sends exactly the bytes it is given.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part"
)]

use carryall_proto::decode::{ClientMessage, decode_frame};
use carryall_proto::{BoxFuture, Call, CallError, Message, Notification, Reply, Response};
use carryall_transport::http::{Endpoint, HttpServer};
use carryall_types::{ErrorObject, RawJson, RequestId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_service::Service;

pub const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// What happened in the service.
#[derive(Debug, Default)]
pub struct Seen {
    pub started: AtomicUsize,
    pub dropped: AtomicUsize,
}

impl Seen {
    pub fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

/// Answers by the name of the tool: see `answer`.
#[derive(Clone, Debug, Default)]
pub struct Tools(pub Arc<Seen>);

struct OnDrop(Arc<Seen>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

pub fn json(text: impl Into<String>) -> RawJson {
    RawJson::parse(text.into()).unwrap()
}

pub fn progress(token: &str, n: u32) -> Message {
    Message::Notification(Notification::new(
        "notifications/progress",
        json(format!(r#"{{"progressToken":{token},"progress":{n}}}"#)),
    ))
}

fn done(id: RequestId, text: &str) -> Response {
    Response::result(
        id,
        json(format!(r#"{{"resultType":"complete","text":"{text}"}}"#)),
    )
}

async fn answer(call: Call, seen: Arc<Seen>) -> Result<Reply, CallError> {
    seen.started.fetch_add(1, Ordering::SeqCst);
    let guard = OnDrop(seen);
    let name = call.name().unwrap_or_default();
    let id = call.id().clone();
    let token = call
        .params()
        .get("_meta")
        .and_then(|meta| meta.decode::<serde_json::Value>().ok());
    let token = token
        .and_then(|meta| meta.get("progressToken").map(ToString::to_string))
        .unwrap_or("0".into());
    match name {
        "params" => Ok(Response::result(id, call.params().raw().clone()).into()),
        "who" => {
            let subject = call
                .principal()
                .map_or("nobody", |principal| principal.subject.as_str());
            Ok(done(id, subject).into())
        }
        "header" => {
            let headers = call.headers();
            let value = headers
                .and_then(|headers| headers.get("mcp-param-x"))
                .and_then(|value| value.to_str().ok());
            Ok(done(id, value.unwrap_or("none")).into())
        }
        "authorization" => {
            let value = call
                .headers()
                .as_ref()
                .and_then(|headers| headers.get("authorization"));
            Ok(done(
                id,
                value
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or("none"),
            )
            .into())
        }
        "slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(done(id, "slow").into())
        }
        "hang" => {
            let _guard = guard;
            std::future::pending().await
        }
        "stream" => {
            let items = vec![
                Ok(progress(&token, 1)),
                Ok(progress(&token, 2)),
                Ok(Message::Response(done(id, "streamed"))),
            ];
            Ok(Reply::Stream(Box::pin(futures_util::stream::iter(items))))
        }
        "after-response" => {
            let items = vec![
                Ok(Message::Response(done(id, "last"))),
                Ok(progress(&token, 9)),
            ];
            Ok(Reply::Stream(Box::pin(futures_util::stream::iter(items))))
        }
        "listen" => {
            let first = futures_util::stream::iter([Ok(progress(&token, 1))]);
            let rest = futures_util::stream::poll_fn(move |_| {
                let _ = &guard;
                Poll::<Option<Result<Message, CallError>>>::Pending
            });
            Ok(Reply::Stream(Box::pin(futures_util::StreamExt::chain(
                first, rest,
            ))))
        }
        "truncated" => Ok(Reply::Stream(Box::pin(futures_util::stream::iter([Ok(
            progress(&token, 1),
        )])))),
        "fail" => Err(CallError::Refused("secret detail".into())),
        "panic" => panic!("secret detail"),
        "pretty" => Ok(Response::result(id, json("{\n  \"resultType\": \"complete\"\r\n}")).into()),
        "pretty-stream" => {
            let response = Response::result(id, json("{\n  \"resultType\": \"complete\"\r\n}"));
            Ok(Reply::Stream(Box::pin(futures_util::stream::iter([Ok(
                Message::Response(response),
            )]))))
        }
        "large" => Ok(done(id, &"x".repeat(300_000)).into()),
        "large-stream" => {
            let response = done(id, &"x".repeat(300_000));
            Ok(Reply::Stream(Box::pin(futures_util::stream::iter([Ok(
                Message::Response(response),
            )]))))
        }
        "unknown" => Ok(Response::error(id, ErrorObject::method_not_found("unknown")).into()),
        other => Ok(done(id, other).into()),
    }
}

impl Service<Call> for Tools {
    type Response = Reply;
    type Error = CallError;
    type Future = BoxFuture<Result<Reply, CallError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(answer(call, Arc::clone(&self.0)))
    }
}

/// A `tools/call` as JSON.
pub fn tool_call(id: &str, name: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}",{META}}}}}"#
    )
}

/// A `tools/call` on the seam.
pub fn call(id: &str, name: &str) -> Call {
    match decode_frame(tool_call(id, name).into()) {
        Ok(ClientMessage::Call(call)) => call,
        other => panic!("{other:?}"),
    }
}

/// Serves an endpoint until the runtime ends.
pub async fn serve(endpoint: Endpoint) -> SocketAddr {
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run_endpoint(endpoint, std::future::pending()));
    address
}

pub const HEADERS: &str = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
    MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n";

/// An HTTP/1.1 request as text.
pub fn http(method: &str, headers: &str, body: &str) -> String {
    let host = if headers.lines().any(|line| line.starts_with("Host:")) {
        ""
    } else {
        "Host: localhost\r\n"
    };
    format!(
        "{method} /mcp HTTP/1.1\r\n{host}{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn post_tool(name: &str) -> String {
    http(
        "POST",
        &format!("{HEADERS}Mcp-Name: {name}\r\n"),
        &tool_call("1", name),
    )
}

/// A response that was read to its end.
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

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The messages of an event stream.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let mut decoder = carryall_proto::sse::SseDecoder::new(1 << 20);
        decoder.push(self.body.as_bytes());
        decoder
            .map(|event| serde_json::from_slice(&event.unwrap().data).unwrap())
            .collect()
    }
}

/// Sends one request on a connection of its own and reads the whole response.
pub async fn send(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    within(read_answer(&mut stream)).await
}

/// Reads one response.
pub async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut seen = Vec::new();
    loop {
        if let Some(answer) = parse(&seen) {
            return answer;
        }
        let mut buffer = [0; 16 * 1024];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(
            count > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend_from_slice(&buffer[..count]);
    }
}

fn parse(seen: &[u8]) -> Option<Answer> {
    let end = seen.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(seen[..end].to_vec()).unwrap();
    let status = head[9..12].parse().unwrap();
    let mut answer = Answer {
        status,
        head,
        body: String::new(),
    };
    let rest = &seen[end + 4..];
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunk(rest)?;
        return Some(answer);
    }
    let length = answer
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    answer.body = String::from_utf8(rest.get(..length)?.to_vec()).unwrap();
    Some(answer)
}

/// `None` until the last chunk is there.
fn unchunk(mut rest: &[u8]) -> Option<String> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap().trim(), 16).unwrap();
        rest = &rest[line + 2..];
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
        if size == 0 {
            return Some(String::from_utf8(body).unwrap());
        }
    }
}

/// Fails a test that hangs.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it hangs")
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Collects the events that are logged on this thread, with the fields as text.
#[derive(Clone, Default)]
pub struct Log(Arc<std::sync::Mutex<Vec<String>>>);

impl Log {
    /// Collects from now on, until the guard is dropped.
    pub fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let guard = tracing::subscriber::set_default(log.clone());
        (log, guard)
    }

    pub fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn having(&self, text: &str) -> Vec<String> {
        self.events()
            .into_iter()
            .filter(|event| event.contains(text))
            .collect()
    }
}

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        // A string that is recorded as it is reaches the log as it is.
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write as _;
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("carryall")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(format!("{} ", event.metadata().level()));
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
