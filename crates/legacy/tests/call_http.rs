//! Calls of HTTP servers of unknown era. The servers are fakes that record their requests.

use carryall_legacy::call::{DualEraHttp, DualEraOptions, Era, EraCache};
use carryall_legacy::serve::LegacyEndpoint;
use carryall_proto::{Call, CallError, Message, Outcome, Reply};
use carryall_server::{Ctx, Server, Tool};
use carryall_testkit as testkit;
use carryall_transport::HttpClient;
use carryall_transport::http::{Endpoint, HttpServer};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tower_service::Service as _;

/// One request as the server received it.
#[derive(Clone, Debug)]
struct ReceivedRequest {
    head: String,
    body: Value,
}

impl ReceivedRequest {
    fn is(&self, method: &str) -> bool {
        self.body["method"] == method
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// An answer: status, headers, body. After a body that ends with `...` the connection stays open.
/// Status 0 means no answer.
type FakeAnswer = (u16, &'static str, String);

struct FakeHttpServer {
    url: String,
    request: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl FakeHttpServer {
    async fn start(
        answer: impl Fn(&ReceivedRequest) -> FakeAnswer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let request: Arc<Mutex<Vec<ReceivedRequest>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&request), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    while let Some(request) = read(&mut stream, &mut seen).await {
                        kept.lock().unwrap().push(request.clone());
                        let (status, headers, body) = answer(&request);
                        if status == 0 {
                            return std::future::pending().await;
                        }
                        let open = body.strip_suffix("...").map(str::to_owned);
                        let length = if open.is_some() {
                            String::new()
                        } else {
                            format!("Content-Length: {}\r\n", body.len())
                        };
                        let head = format!("HTTP/1.1 {status} x\r\n{headers}{length}\r\n");
                        let body = open.as_deref().unwrap_or(&body);
                        if stream
                            .write_all(format!("{head}{body}").as_bytes())
                            .await
                            .is_err()
                        {
                            return;
                        }
                        if open.is_some() {
                            return std::future::pending().await;
                        }
                        if headers.contains("text/event-stream") {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, request }
    }

    fn client(&self, options: DualEraOptions) -> DualEraHttp {
        DualEraHttp::new(HttpClient::new(&self.url).unwrap(), options)
    }

    fn request(&self) -> Vec<ReceivedRequest> {
        self.request.lock().unwrap().clone()
    }

    /// The methods of the requests in order: of JSON-RPC, or of HTTP if there is no body.
    fn methods(&self) -> Vec<String> {
        let of = |request: &ReceivedRequest| match request.body["method"].as_str() {
            Some(method) => method.to_owned(),
            None => request
                .head
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        self.request().iter().map(of).collect()
    }
}

async fn read(stream: &mut tokio::net::TcpStream, seen: &mut Vec<u8>) -> Option<ReceivedRequest> {
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(|l| l.trim().parse().unwrap())
            });
            let whole = end + 4 + length.unwrap_or(0);
            if seen.len() >= whole {
                let body = serde_json::from_slice(&seen[end + 4..whole]).unwrap_or_default();
                seen.drain(..whole);
                return Some(ReceivedRequest { head, body });
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => seen.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

const JSON: &str = "Content-Type: application/json\r\n";
const EVENTS: &str = "Content-Type: text/event-stream\r\n";

fn result(request: &ReceivedRequest, result: Value) -> FakeAnswer {
    (
        200,
        JSON,
        json!({"jsonrpc": "2.0", "id": request.body["id"], "result": result}).to_string(),
    )
}

fn error(request: &ReceivedRequest, status: u16, code: i64) -> FakeAnswer {
    let error = json!({"code": code, "message": "no"});
    (
        status,
        JSON,
        json!({"jsonrpc": "2.0", "id": request.body["id"], "error": error}).to_string(),
    )
}

/// A server of 2025-06-18, except for its answer to the probe.
fn old(request: &ReceivedRequest) -> FakeAnswer {
    match request.body["method"].as_str() {
        Some("initialize") => {
            let (status, _, body) = result(
                request,
                json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "old", "version": "1"}}),
            );
            (
                status,
                "Content-Type: application/json\r\nMcp-Session-Id: s-1\r\n",
                body,
            )
        }
        Some("tools/call") => result(
            request,
            json!({"content": [{"type": "text", "text": "called"}]}),
        ),
        Some(_) => (202, "", String::new()),
        None => (405, "", String::new()),
    }
}

async fn answered(client: &DualEraHttp, call: Call) -> Result<Outcome, CallError> {
    let mut client = client.clone();
    let waiting = async {
        match client.call(call).await? {
            Reply::Once(response) => Ok(response.outcome),
            Reply::Stream(mut messages) => loop {
                match messages.next().await.expect("a response")? {
                    Message::Response(response) => return Ok(response.outcome),
                    Message::Notification(_) => {}
                }
            },
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("it hangs")
}

/// Answers of legacy servers to the probe.
type Trap = fn(&ReceivedRequest) -> FakeAnswer;

fn call() -> Call {
    testkit::call("tools/call", json!({"name": "t", "arguments": {}}))
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Result(result) => result.decode::<Value>().unwrap()["content"][0]["text"]
            .as_str()
            .unwrap_or("")
            .into(),
        Outcome::Error(error) => panic!("{error:?}"),
    }
}

// spec: versioning-10
#[tokio::test]
async fn any_answer_to_the_probe_that_is_not_modern_leads_to_the_handshake() {
    let traps: [(&str, Trap); 8] = [
        ("-32601", |request| error(request, 200, -32601)),
        ("-32602", |request| error(request, 200, -32602)),
        ("-32000", |request| error(request, 400, -32000)),
        ("a plain-text 400", |_| {
            (
                400,
                "Content-Type: text/plain\r\n",
                "Bad Request: no session".into(),
            )
        }),
        ("an empty 400", |_| (400, "", String::new())),
        ("a 404 with HTML", |_| {
            (
                404,
                "Content-Type: text/html\r\n",
                "<html>not here</html>".into(),
            )
        }),
        ("405", |_| (405, "", String::new())),
        ("a result that is none", |request| {
            result(request, json!({"ok": true}))
        }),
    ];
    for (name, probe) in traps {
        let server = FakeHttpServer::start(move |request| {
            if request.is("server/discover") {
                probe(request)
            } else {
                old(request)
            }
        })
        .await;
        let client = server.client(DualEraOptions::default());
        assert_eq!(
            text(&answered(&client, call()).await.unwrap()),
            "called",
            "{name}"
        );
        assert_eq!(
            text(&answered(&client, call()).await.unwrap()),
            "called",
            "{name}"
        );
        let wanted = [
            "server/discover",
            "initialize",
            "notifications/initialized",
            "tools/call",
            "tools/call",
        ];
        assert_eq!(
            server.methods(),
            wanted,
            "{name}: each call once, and none before it was found out"
        );
        let decision = client.decision().unwrap();
        assert_eq!(decision.version.as_str(), "2025-06-18", "{name}");
        assert!(decision.why.contains("server/discover"), "{decision}");
    }
}

#[tokio::test]
async fn a_legacy_server_sees_its_session_and_nothing_of_2026_07_28() {
    let server = FakeHttpServer::start(|request| {
        if request.is("server/discover") {
            error(request, 400, -32000)
        } else {
            old(request)
        }
    })
    .await;
    let client = server.client(DualEraOptions::default());
    answered(&client, call()).await.unwrap();
    client.shutdown().await;
    let request = server.request();
    let initialize = &request[1];
    assert_eq!(initialize.body["params"]["protocolVersion"], "2025-11-25");
    assert!(
        initialize.header("mcp-session-id").is_none() && initialize.header("mcp-method").is_none()
    );
    for later in &request[2..] {
        assert_eq!(later.header("mcp-session-id"), Some("s-1"), "{later:?}");
        assert_eq!(
            later.header("mcp-protocol-version"),
            Some("2025-06-18"),
            "{later:?}"
        );
        assert!(
            later.header("mcp-method").is_none() && later.header("mcp-name").is_none(),
            "{later:?}"
        );
        assert!(
            !later.body.to_string().contains("io.modelcontextprotocol"),
            "{later:?}"
        );
    }
    assert!(
        request.last().unwrap().head.starts_with("DELETE "),
        "the session is ended"
    );
}

// spec: stdio-19, versioning-02
#[tokio::test]
async fn modern_errors_and_minor_faults_do_not_cause_a_fallback() {
    let modern: [(&str, Trap); 3] = [
        ("no ttlMs", |request| {
            result(
                request,
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
            )
        }),
        ("serverInfo in the body", |request| {
            result(
                request,
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {}, "serverInfo": {"name": "x"}}),
            )
        }),
        ("-32022", |request| error(request, 400, -32022)),
    ];
    for (name, probe) in modern {
        let server = FakeHttpServer::start(move |request| match request.is("server/discover") {
            true => probe(request),
            false => result(
                request,
                json!({"resultType": "complete", "content": [{"type": "text", "text": "new"}]}),
            ),
        })
        .await;
        let client = server.client(DualEraOptions::default());
        assert_eq!(
            text(&answered(&client, call()).await.unwrap()),
            "new",
            "{name}"
        );
        assert_eq!(
            server.methods(),
            ["server/discover", "tools/call"],
            "{name}"
        );
        assert!(client.decision().unwrap().version.is_modern());
    }
    // A proxy that strips headers: the error of the server is the answer.
    let stripped = FakeHttpServer::start(|request| error(request, 400, -32020)).await;
    let client = stripped.client(DualEraOptions::default());
    let Outcome::Error(told) = answered(&client, call()).await.unwrap() else {
        panic!()
    };
    assert_eq!(told.code, -32020);
    assert!(
        !stripped.methods().contains(&"initialize".to_owned()),
        "{:?}",
        stripped.methods()
    );
}

#[tokio::test]
async fn failures_and_demands_for_credentials_do_not_decide_the_era() {
    for status in [401, 403, 429, 500, 503] {
        let server = FakeHttpServer::start(move |_| (status, "", "wait".into())).await;
        let client = server.client(DualEraOptions::default());
        let failed = answered(&client, call()).await.unwrap_err();
        assert!(
            matches!(failed, CallError::NotMcp { status: got, .. } if got == status),
            "{failed}"
        );
        assert_eq!(server.methods(), ["server/discover"]);
        assert!(client.decision().is_none());
    }
    let nobody = DualEraHttp::new(
        HttpClient::new("http://127.0.0.1:1/mcp").unwrap(),
        DualEraOptions::default(),
    );
    assert!(matches!(
        answered(&nobody, call()).await.unwrap_err(),
        CallError::Unreachable(_)
    ));
}

#[tokio::test]
async fn a_status_that_was_not_sent_is_not_reported() {
    // Speaks JSON-RPC, but not MCP.
    let other = FakeHttpServer::start(|request| error(request, 200, -32601)).await;
    let failed = answered(&other.client(DualEraOptions::default()), call())
        .await
        .unwrap_err();
    let said = failed.to_string();
    assert!(
        matches!(failed, CallError::Malformed(_)) && !said.contains("HTTP"),
        "{said}"
    );
    assert!(
        said.contains("server/discover was answered with -32601")
            && said.contains("initialize with"),
        "{said}"
    );
    // A status that was sent is reported.
    let page = FakeHttpServer::start(|_| (404, "", "no such page".into())).await;
    let failed = answered(&page.client(DualEraOptions::default()), call())
        .await
        .unwrap_err();
    assert!(
        matches!(&failed, CallError::NotMcp { status: 404, .. }),
        "{failed}"
    );
    assert_eq!(
        failed.to_string().matches("no such page").count(),
        1,
        "{failed}"
    );
}

#[tokio::test]
async fn a_refused_handshake_is_reported_as_the_servers_error() {
    let server = FakeHttpServer::start(|request| error(request, 200, -32603)).await;
    let refused = answered(
        &server.client(DualEraOptions::default().era(Era::Legacy)),
        call(),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&refused, CallError::HandshakeRefused(error) if error.code == -32603),
        "{refused:?}"
    );
}

/// Waits until the server has received `method` so many times.
async fn asked(server: &FakeHttpServer, method: &str, times: usize) {
    let so = async {
        while server
            .request()
            .iter()
            .filter(|request| request.is(method))
            .count()
            < times
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), so)
        .await
        .expect("the server was not asked");
}

#[tokio::test]
async fn detection_is_bounded_in_time() {
    // In turn the probe, the handshake and the end of the handshake are not answered.
    let silent = ["server/discover", "initialize", "notifications/initialized"];
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let server = FakeHttpServer::start(move |request| match request.body["method"].as_str() {
        Some(method) if silent.get(count.load(SeqCst)) == Some(&method) => (0, "", String::new()),
        Some("server/discover") => error(request, 200, -32601),
        _ => old(request),
    })
    .await;
    let client =
        server.client(DualEraOptions::default().handshake_timeout(Duration::from_millis(500)));
    for method in silent {
        let failed = answered(&client, call()).await.unwrap_err();
        assert!(failed.to_string().contains(method), "{method}: {failed}");
        tried.fetch_add(1, SeqCst);
    }
    assert_eq!(text(&answered(&client, call()).await.unwrap()), "called");
}

#[tokio::test]
async fn callers_share_one_detection_and_have_their_own_timeouts() {
    let server = FakeHttpServer::start(move |request| match request.is("server/discover") {
        true => (0, "", String::new()),
        false => old(request),
    })
    .await;
    let client = server.client(DualEraOptions::default());
    let give_up = |client: DualEraHttp| async move {
        tokio::time::timeout(Duration::from_millis(100), answered(&client, call()))
            .await
            .unwrap_err();
    };
    for _ in 0..2 {
        futures_util::future::join_all((0..8).map(|_| give_up(client.clone()))).await;
        asked(&server, "server/discover", 1).await;
    }
    assert_eq!(
        server.methods(),
        ["server/discover"],
        "those who came later did not begin anew"
    );
}

#[tokio::test]
async fn a_discovery_is_its_own_probe() {
    let server = FakeHttpServer::start(|request| {
        result(
            request,
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
        )
    })
    .await;
    let client = server.client(DualEraOptions::default());
    let found = answered(&client, testkit::call("server/discover", json!({})))
        .await
        .unwrap();
    assert!(matches!(found, Outcome::Result(_)));
    assert_eq!(server.methods().len(), 1);
}

// spec: versioning-10, versioning-11
#[tokio::test]
async fn the_era_is_cached_and_detected_again_when_wrong() {
    let cache = EraCache::new();
    let server = FakeHttpServer::start(|request| {
        if request.is("server/discover") {
            error(request, 400, -32000)
        } else {
            old(request)
        }
    })
    .await;
    answered(
        &server.client(DualEraOptions::default().era_cache(cache.clone())),
        call(),
    )
    .await
    .unwrap();
    answered(
        &server.client(DualEraOptions::default().era_cache(cache.clone())),
        call(),
    )
    .await
    .unwrap();
    let probes = server
        .methods()
        .iter()
        .filter(|method| *method == "server/discover")
        .count();
    assert_eq!(probes, 1, "the second client knew");
    // The server is replaced by a modern one, which refuses the handshake.
    let changed = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&changed);
    let server = FakeHttpServer::start(move |request| {
        match (now.load(SeqCst), request.body["method"].as_str()) {
            (0, Some("server/discover")) => error(request, 400, -32000),
            (0, _) => old(request),
            (_, Some("initialize")) => error(request, 400, -32022),
            (_, Some("server/discover")) => result(
                request,
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
            ),
            _ => result(
                request,
                json!({"resultType": "complete", "content": [{"type": "text", "text": "new"}]}),
            ),
        }
    })
    .await;
    answered(
        &server.client(DualEraOptions::default().era_cache(cache.clone())),
        call(),
    )
    .await
    .unwrap();
    changed.store(1, SeqCst);
    assert_eq!(
        text(
            &answered(
                &server.client(DualEraOptions::default().era_cache(cache)),
                call()
            )
            .await
            .unwrap()
        ),
        "new"
    );
}

// spec: versioning-10
#[tokio::test]
async fn a_demanded_era_is_not_cached() {
    let cache = EraCache::new();
    let server = FakeHttpServer::start(|request| match request.body["method"].as_str() {
        Some("server/discover") => result(
            request,
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
        ),
        _ => old(request),
    })
    .await;
    let client = |era| server.client(DualEraOptions::default().era_cache(cache.clone()).era(era));
    answered(&client(Era::Legacy), call()).await.unwrap();
    let before = server.methods().len();
    let later = client(Era::Auto);
    let _ = answered(&later, call()).await;
    assert!(
        server.methods()[before..].contains(&"server/discover".to_owned()),
        "{:?}",
        server.methods()
    );
    assert!(later.decision().unwrap().version.is_modern());
}

#[tokio::test]
async fn a_server_wrongly_cached_as_modern_recovers_with_the_first_request() {
    for refusal in [-32000, -32600] {
        let file = std::env::temp_dir().join(format!(
            "carryall-eras-{}-{refusal}.json",
            std::process::id()
        ));
        let server = FakeHttpServer::start(move |request| match request.body["method"].as_str() {
            Some("initialize" | "notifications/initialized") => old(request),
            _ if request.header("mcp-session-id").is_none() => error(request, 400, refusal),
            Some("tools/list") => result(request, json!({"tools": []})),
            _ => old(request),
        })
        .await;
        let remembered = |since: u64| {
            let entry = json!({"version": "2026-07-28", "why": "it answered server/discover", "since": since});
            std::fs::write(&file, json!({"servers": {&server.url: entry}}).to_string()).unwrap();
            server.client(DualEraOptions::default().era_cache(EraCache::file(&file)))
        };
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        // A tool call is not repeated, but the next one succeeds.
        let client = remembered(now);
        let first = answered(&client, call()).await;
        assert!(matches!(&first, Ok(Outcome::Error(_))), "{first:?}");
        assert_eq!(text(&answered(&client, call()).await.unwrap()), "called");
        // A list request is repeated at once.
        let tool = call();
        let list = tool.derive(
            tool.id().clone(),
            carryall_types::Method::ToolsList,
            carryall_proto::Params::empty(),
        );
        let client = remembered(now);
        let listed = answered(&client, list).await.unwrap();
        assert!(matches!(listed, Outcome::Result(_)), "{listed:?}");
        assert!(!client.decision().unwrap().version.is_modern());
        // An entry older than a week is ignored.
        for since in [0, now - 8 * 24 * 60 * 60, now + 8 * 24 * 60 * 60] {
            assert_eq!(
                text(&answered(&remembered(since), call()).await.unwrap()),
                "called",
                "{since}"
            );
        }
        std::fs::remove_file(&file).unwrap();
    }
}

#[tokio::test]
async fn a_demanded_era_is_not_detected() {
    let server = FakeHttpServer::start(old).await;
    answered(
        &server.client(DualEraOptions::default().era(Era::Legacy)),
        call(),
    )
    .await
    .unwrap();
    assert_eq!(server.methods()[0], "initialize");
    let server = FakeHttpServer::start(old).await;
    answered(
        &server.client(DualEraOptions::default().era(Era::Modern)),
        call(),
    )
    .await
    .unwrap();
    assert_eq!(server.methods(), ["tools/call"]);
}

#[tokio::test]
async fn a_lost_session_is_replaced_and_the_call_made_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let server = FakeHttpServer::start(move |request| match request.body["method"].as_str() {
        Some("server/discover") => error(request, 400, -32000),
        // The server loses the first session before its second call.
        Some("tools/call") if count.fetch_add(1, SeqCst) == 1 => (404, "", String::new()),
        _ => old(request),
    })
    .await;
    let client = server.client(DualEraOptions::default());
    for _ in 0..3 {
        assert_eq!(text(&answered(&client, call()).await.unwrap()), "called");
    }
    assert_eq!(
        server
            .methods()
            .iter()
            .filter(|method| *method == "initialize")
            .count(),
        2
    );
    assert_eq!(
        calls.load(SeqCst),
        4,
        "the refused one was made again, once"
    );
}

#[tokio::test]
async fn a_broken_stream_is_resumed_after_the_delay_that_the_server_names() {
    let server = FakeHttpServer::start(|request| match request.body["method"].as_str() {
        Some("server/discover") => error(request, 400, -32000),
        Some("tools/call") => (200, EVENTS, "id: e1\nretry: 20\ndata:\n\n".into()),
        None if request.header("last-event-id") == Some("e1") => {
            let id = 1;
            let late = json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "late"}]}});
            (200, EVENTS, format!("id: e2\ndata: {late}\n\n"))
        }
        _ => old(request),
    })
    .await;
    let client = server.client(DualEraOptions::default());
    assert_eq!(text(&answered(&client, call()).await.unwrap()), "late");
    let gets: Vec<ReceivedRequest> = server
        .request()
        .into_iter()
        .filter(|request| request.head.starts_with("GET"))
        .collect();
    assert_eq!(gets.len(), 1);
    // Without an event id there is nothing to resume from.
    let server = FakeHttpServer::start(|request| match request.body["method"].as_str() {
        Some("server/discover") => error(request, 400, -32000),
        Some("tools/call") => (200, EVENTS, ": nothing\n\n".into()),
        _ => old(request),
    })
    .await;
    assert!(matches!(
        answered(&server.client(DualEraOptions::default()), call())
            .await
            .unwrap_err(),
        CallError::Broken(_)
    ));
}

#[tokio::test]
async fn a_server_with_only_http_sse_is_called_over_it() {
    // Answers come on the one stream, so this server keeps it.
    let stream: Arc<Mutex<Option<tokio::sync::mpsc::UnboundedSender<String>>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sse", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let stream = Arc::clone(&stream);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while let Some(request) = read(&mut connection, &mut seen).await {
                    if request.head.starts_with("GET") {
                        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
                        *stream.lock().unwrap() = Some(sender);
                        let head = format!(
                            "HTTP/1.1 200 OK\r\n{EVENTS}\r\nevent: endpoint\ndata: messages?s=1\n\n"
                        );
                        connection.write_all(head.as_bytes()).await.unwrap();
                        while let Some(event) = events.recv().await {
                            connection
                                .write_all(format!("event: message\ndata: {event}\n\n").as_bytes())
                                .await
                                .unwrap();
                        }
                        return;
                    }
                    let posted = request.head.starts_with("POST /messages?s=1");
                    if posted && request.body.get("id").is_some() {
                        let mut said = old(&request).2;
                        said = said.replace("2025-06-18", "2024-11-05");
                        stream.lock().unwrap().as_ref().unwrap().send(said).unwrap();
                    }
                    let status = if posted { 202 } else { 405 };
                    connection
                        .write_all(
                            format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n").as_bytes(),
                        )
                        .await
                        .unwrap();
                }
            });
        }
    });
    let client = DualEraHttp::new(HttpClient::new(&url).unwrap(), DualEraOptions::default());
    assert_eq!(text(&answered(&client, call()).await.unwrap()), "called");
    assert_eq!(client.decision().unwrap().version.as_str(), "2024-11-05");
}

#[tokio::test]
async fn the_error_for_a_non_mcp_server_names_everything_that_was_tried() {
    let server = FakeHttpServer::start(|_| {
        (
            404,
            "Content-Type: text/html\r\n",
            "<html>shop</html>".into(),
        )
    })
    .await;
    let failed = answered(&server.client(DualEraOptions::default()), call())
        .await
        .unwrap_err()
        .to_string();
    for part in ["404", "server/discover", "initialize", "HTTP+SSE"] {
        assert!(failed.contains(part), "{part}: {failed}");
    }
    assert!(!server.methods().contains(&"tools/call".to_owned()));
}

/// Our own server, which refuses the modern era.
async fn legacy_only() -> String {
    let server = Server::new("ours", "1")
        .tool(Tool::new("t", async |ctx: Ctx| {
            ctx.progress(1.0).await;
            "called"
        }))
        .build()
        .unwrap();
    let endpoint =
        Endpoint::new(Locked).fallback(Arc::new(LegacyEndpoint::new(server, Default::default())));
    let listener = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(listener.run_endpoint(endpoint, std::future::pending()));
    url
}

#[derive(Clone)]
struct Locked;

impl tower_service::Service<Call> for Locked {
    type Response = Reply;
    type Error = CallError;
    type Future = std::future::Ready<Result<Reply, CallError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), CallError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let error = carryall_types::ErrorObject::method_not_found(call.method().as_str());
        std::future::ready(Ok(Reply::Once(carryall_proto::Response::error(
            call.id().clone(),
            error,
        ))))
    }
}

#[tokio::test]
async fn both_of_our_adapters_understand_each_other() {
    let client = DualEraHttp::new(
        HttpClient::new(&legacy_only().await).unwrap(),
        DualEraOptions::default(),
    );
    let mut calls = Vec::new();
    for _ in 0..50 {
        let client = client.clone();
        calls.push(tokio::spawn(async move {
            text(&answered(&client, call()).await.unwrap())
        }));
    }
    for call in calls {
        assert_eq!(call.await.unwrap(), "called");
    }
    assert_eq!(client.decision().unwrap().version.as_str(), "2025-11-25");
}
