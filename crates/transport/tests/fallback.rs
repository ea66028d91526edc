//! Another protocol at the same endpoint and on the same channel.

mod common;

use bytes::Bytes;
use carryall_proto::BoxFuture;
use carryall_transport::http::{self as binding, Endpoint, ReplyBody};
use carryall_transport::lines::{FallbackChannel, FallbackChannels, LineOptions, serve_lines_with};
use common::{HEADERS, META, Tools, http, post_tool, send, serve, tool_call, within};
use http::{HeaderMap, Request, Response};
use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

/// Records the bodies that it was offered.
#[derive(Debug, Default)]
struct Other {
    offered: Mutex<Vec<String>>,
}

impl binding::FallbackProtocol for Other {
    fn owns(&self, path: &str) -> bool {
        path == "/other"
    }

    fn takes(&self, _: &HeaderMap, body: &Bytes) -> bool {
        let body = String::from_utf8_lossy(body).into_owned();
        let takes = body.contains("initialize");
        self.offered.lock().unwrap().push(body);
        takes
    }

    fn answer(&self, request: Request<Bytes>) -> BoxFuture<Response<ReplyBody>> {
        let text = format!(
            "{} {} {}",
            request.method(),
            request.uri().path(),
            request.body().len()
        );
        Box::pin(async move {
            Response::new(ReplyBody::stream(futures_util::stream::iter([
                Bytes::from(text),
            ])))
        })
    }
}

const PLAIN: &str =
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;

async fn both() -> (std::net::SocketAddr, Arc<Other>) {
    let other = Arc::new(Other::default());
    let endpoint = Endpoint::new(Tools::default())
        .max_body(10_000)
        .path("/mcp")
        .fallback(Arc::clone(&other) as _);
    (serve(endpoint).await, other)
}

// spec: versioning-08
#[tokio::test]
async fn requests_with_a_modern_version_are_not_offered_to_the_fallback() {
    let (address, other) = both().await;
    assert_eq!(
        send(address, &post_tool("hello")).await.json()["result"]["text"],
        "hello"
    );
    // An unknown version in the header belongs to this era. So does a version in the body, in case a
    // proxy has removed the headers.
    let unknown = PLAIN.to_owned() + "MCP-Protocol-Version: 2099-01-01\r\n";
    assert_eq!(
        send(address, &http("POST", &unknown, INITIALIZE))
            .await
            .json()["error"]["code"],
        -32022
    );
    let stripped = send(address, &http("POST", PLAIN, &tool_call("1", "initialize"))).await;
    assert_eq!(stripped.json()["error"]["code"], -32020);
    assert!(other.offered.lock().unwrap().is_empty());
}

// spec: versioning-08, versioning-09
#[tokio::test]
async fn the_fallback_answers_what_it_takes_and_the_endpoint_the_rest() {
    let (address, other) = both().await;
    let answer = send(address, &http("POST", PLAIN, INITIALIZE)).await;
    assert_eq!(answer.body, format!("POST /mcp {}", INITIALIZE.len()));
    let legacy = PLAIN.to_owned() + "MCP-Protocol-Version: 2025-06-18\r\n";
    assert_eq!(
        send(address, &http("POST", &legacy, INITIALIZE))
            .await
            .status,
        200
    );
    let left = send(
        address,
        &http(
            "POST",
            PLAIN,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        ),
    )
    .await;
    assert_eq!(
        (left.status, &left.json()["error"]["code"]),
        (400, &(-32020).into())
    );
    assert_eq!(other.offered.lock().unwrap().len(), 3);
    for method in ["GET", "DELETE"] {
        assert_eq!(
            send(address, &http(method, "", "")).await.body,
            format!("{method} /mcp 0")
        );
    }
    let own = http("POST", HEADERS, "{}").replace("/mcp", "/other");
    assert_eq!(send(address, &own).await.body, "POST /other 2");
}

// spec: http-security-02
#[tokio::test]
async fn host_origin_and_body_are_checked_for_both() {
    let (address, other) = both().await;
    let foreign = PLAIN.to_owned() + "Origin: https://evil.example\r\n";
    for request in [
        http("POST", &foreign, INITIALIZE),
        http("GET", "Origin: https://evil.example\r\n", ""),
    ] {
        assert_eq!(send(address, &request).await.status, 403);
    }
    let large = http(
        "POST",
        PLAIN,
        &format!("{}{}", " ".repeat(10_000), INITIALIZE),
    );
    assert_eq!(send(address, &large).await.status, 413);
    let text = PLAIN.replace("Content-Type: application/json", "Content-Type: text/plain");
    assert_eq!(
        send(address, &http("POST", &text, INITIALIZE)).await.status,
        415
    );
    assert_eq!(
        send(
            address,
            &http("POST", PLAIN, INITIALIZE).replace("/mcp", "/elsewhere")
        )
        .await
        .status,
        404
    );
    assert!(other.offered.lock().unwrap().is_empty());
    let preflight = "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: DELETE\r\n";
    let allowed = send(address, &http("OPTIONS", preflight, "")).await;
    assert_eq!(
        allowed.header("access-control-allow-methods"),
        Some("GET, POST, DELETE, OPTIONS")
    );
    let exposed = allowed
        .header("access-control-expose-headers")
        .unwrap_or_default()
        .to_owned();
    assert!(exposed.contains("mcp-session-id"), "{exposed}");
    for header in [
        "mcp-session-id",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
    ] {
        assert!(
            allowed
                .header("access-control-allow-headers")
                .unwrap()
                .contains(header),
            "{header}"
        );
    }
}

/// Takes lines with `loud` and repeats them in capitals.
#[derive(Default)]
struct Loud {
    out: VecDeque<Bytes>,
    closed: Arc<Mutex<bool>>,
    waker: Option<Waker>,
}

impl FallbackChannel for Loud {
    fn take(&mut self, line: &Bytes) -> bool {
        let line = String::from_utf8_lossy(line).into_owned();
        if !line.contains("loud") {
            return false;
        }
        self.out.push_back(line.to_uppercase().into());
        self.waker.take().into_iter().for_each(Waker::wake);
        true
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        self.waker = Some(cx.waker().clone());
        self.out.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn close(&mut self) {
        *self.closed.lock().unwrap() = true;
        self.out.push_back("\"CLOSED\"".into());
    }

    fn is_idle(&self) -> bool {
        self.out.is_empty()
    }
}

// spec: versioning-09
#[tokio::test]
async fn two_protocols_share_a_channel() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (reader, writer) = tokio::io::split(far);
    let closed = Arc::new(Mutex::new(false));
    let told = Arc::clone(&closed);
    let alternates = FallbackChannels::new(move |_| {
        Box::new(Loud {
            closed: Arc::clone(&told),
            ..Loud::default()
        })
    });
    let serving = async move {
        serve_lines_with(
            reader,
            writer,
            Tools::default(),
            LineOptions::default(),
            Some(&alternates),
            pending(),
        )
        .await
    };
    let served = tokio::spawn(serving);
    let (reader, mut writer) = tokio::io::split(near);
    let mut lines = BufReader::new(reader).lines();
    let said = |line: Option<String>| line.expect("closed");
    for (line, wanted) in [
        (r#"{"jsonrpc":"2.0","id":"loud"}"#.to_owned(), r#""LOUD""#),
        (tool_call("1", "loud"), r#""text":"loud""#),
        (
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}"#.to_owned(),
            "-32602",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/loud"}"#.to_owned(),
            "NOTIFICATIONS/LOUD",
        ),
        (
            format!(
                r#"{{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{{"name":"quiet",{META}}}}}"#
            ),
            "quiet",
        ),
    ] {
        writer
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        let answer = said(within(lines.next_line()).await.unwrap());
        assert!(answer.contains(wanted), "{line}: {answer}");
    }
    writer.shutdown().await.unwrap();
    assert_eq!(said(within(lines.next_line()).await.unwrap()), "\"CLOSED\"");
    assert!(within(lines.next_line()).await.unwrap().is_none());
    within(served).await.unwrap().unwrap();
    assert!(*closed.lock().unwrap());
}
