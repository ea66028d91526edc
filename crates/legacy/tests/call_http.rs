//! Calling servers over HTTP whose era has to be found out first: fake servers, which write down
//! what they were sent.

use carryall_legacy::call::{Era, EraCache, Http, Options};
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

/// One request as the server got it.
#[derive(Clone, Debug)]
struct Heard {
    head: String,
    body: Value,
}

impl Heard {
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

/// What to answer: status, headers, body. A body that ends with `...` leaves the connection open
/// behind it; status 0 means that there is no answer.
type Said = (u16, &'static str, String);

struct Fake {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Fake {
    async fn start(answer: impl Fn(&Heard) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&heard), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    while let Some(heard) = read(&mut stream, &mut seen).await {
                        kept.lock().unwrap().push(heard.clone());
                        let (status, headers, body) = answer(&heard);
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
        Self { url, heard }
    }

    fn way(&self, options: Options) -> Http {
        Http::new(HttpClient::new(&self.url).unwrap(), options)
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The methods that were asked for, in their order; `GET` and the like for what has no body.
    fn methods(&self) -> Vec<String> {
        let of = |heard: &Heard| match heard.body["method"].as_str() {
            Some(method) => method.to_owned(),
            None => heard.head.split(' ').next().unwrap_or_default().to_owned(),
        };
        self.heard().iter().map(of).collect()
    }
}

async fn read(stream: &mut tokio::net::TcpStream, seen: &mut Vec<u8>) -> Option<Heard> {
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
                return Some(Heard { head, body });
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

fn result(heard: &Heard, result: Value) -> Said {
    (
        200,
        JSON,
        json!({"jsonrpc": "2.0", "id": heard.body["id"], "result": result}).to_string(),
    )
}

fn error(heard: &Heard, status: u16, code: i64) -> Said {
    let error = json!({"code": code, "message": "no"});
    (
        status,
        JSON,
        json!({"jsonrpc": "2.0", "id": heard.body["id"], "error": error}).to_string(),
    )
}

/// A server of 2025-06-18, but for its answer to the probe.
fn old(heard: &Heard) -> Said {
    match heard.body["method"].as_str() {
        Some("initialize") => {
            let (status, _, body) = result(
                heard,
                json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "old", "version": "1"}}),
            );
            (
                status,
                "Content-Type: application/json\r\nMcp-Session-Id: s-1\r\n",
                body,
            )
        }
        Some("tools/call") => result(
            heard,
            json!({"content": [{"type": "text", "text": "called"}]}),
        ),
        Some(_) => (202, "", String::new()),
        None => (405, "", String::new()),
    }
}

async fn answered(way: &Http, call: Call) -> Result<Outcome, CallError> {
    let mut way = way.clone();
    let waiting = async {
        match way.call(call).await? {
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

/// What a server that was not made for it makes of the probe.
type Trap = fn(&Heard) -> Said;

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
async fn whatever_is_no_modern_answer_to_the_probe_leads_to_the_handshake() {
    let traps: [(&str, Trap); 8] = [
        ("-32601", |heard| error(heard, 200, -32601)),
        ("-32602", |heard| error(heard, 200, -32602)),
        ("-32000", |heard| error(heard, 400, -32000)),
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
        ("a result that is none", |heard| {
            result(heard, json!({"ok": true}))
        }),
    ];
    for (name, probe) in traps {
        let fake = Fake::start(move |heard| {
            if heard.is("server/discover") {
                probe(heard)
            } else {
                old(heard)
            }
        })
        .await;
        let way = fake.way(Options::default());
        assert_eq!(
            text(&answered(&way, call()).await.unwrap()),
            "called",
            "{name}"
        );
        assert_eq!(
            text(&answered(&way, call()).await.unwrap()),
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
            fake.methods(),
            wanted,
            "{name}: each call once, and none before it was found out"
        );
        let decision = way.decision().unwrap();
        assert_eq!(decision.version.as_str(), "2025-06-18", "{name}");
        assert!(decision.why.contains("server/discover"), "{decision}");
    }
}

#[tokio::test]
async fn a_legacy_server_sees_nothing_of_this_revision_and_its_session_on_each_request() {
    let fake = Fake::start(|heard| {
        if heard.is("server/discover") {
            error(heard, 400, -32000)
        } else {
            old(heard)
        }
    })
    .await;
    let way = fake.way(Options::default());
    answered(&way, call()).await.unwrap();
    way.shutdown().await;
    let heard = fake.heard();
    let initialize = &heard[1];
    assert_eq!(initialize.body["params"]["protocolVersion"], "2025-11-25");
    assert!(
        initialize.header("mcp-session-id").is_none() && initialize.header("mcp-method").is_none()
    );
    for later in &heard[2..] {
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
        heard.last().unwrap().head.starts_with("DELETE "),
        "the session is ended"
    );
}

// spec: stdio-19, versioning-02
#[tokio::test]
async fn modern_errors_and_small_faults_are_no_reason_to_fall_back() {
    let modern: [(&str, Trap); 3] = [
        ("no ttlMs", |heard| {
            result(
                heard,
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
            )
        }),
        ("serverInfo in the body", |heard| {
            result(
                heard,
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {}, "serverInfo": {"name": "x"}}),
            )
        }),
        ("-32022", |heard| error(heard, 400, -32022)),
    ];
    for (name, probe) in modern {
        let fake = Fake::start(move |heard| match heard.is("server/discover") {
            true => probe(heard),
            false => result(
                heard,
                json!({"resultType": "complete", "content": [{"type": "text", "text": "new"}]}),
            ),
        })
        .await;
        let way = fake.way(Options::default());
        assert_eq!(
            text(&answered(&way, call()).await.unwrap()),
            "new",
            "{name}"
        );
        assert_eq!(fake.methods(), ["server/discover", "tools/call"], "{name}");
        assert!(way.decision().unwrap().version.is_modern());
    }
    // A proxy that strips headers: the server says so, and that is the answer.
    let stripped = Fake::start(|heard| error(heard, 400, -32020)).await;
    let way = stripped.way(Options::default());
    let Outcome::Error(told) = answered(&way, call()).await.unwrap() else {
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
async fn failures_and_demands_for_credentials_say_nothing_about_the_era() {
    for status in [401, 403, 429, 500, 503] {
        let fake = Fake::start(move |_| (status, "", "wait".into())).await;
        let way = fake.way(Options::default());
        let failed = answered(&way, call()).await.unwrap_err();
        assert!(
            matches!(failed, CallError::NotMcp { status: got, .. } if got == status),
            "{failed}"
        );
        assert_eq!(fake.methods(), ["server/discover"]);
        assert!(way.decision().is_none());
    }
    let nobody = Http::new(
        HttpClient::new("http://127.0.0.1:1/mcp").unwrap(),
        Options::default(),
    );
    assert!(matches!(
        answered(&nobody, call()).await.unwrap_err(),
        CallError::Unreachable(_)
    ));
}

#[tokio::test]
async fn a_status_that_nobody_sent_is_not_reported() {
    // Speaks JSON-RPC, but not MCP.
    let other = Fake::start(|heard| error(heard, 200, -32601)).await;
    let failed = answered(&other.way(Options::default()), call())
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
    // What was sent is reported as it was.
    let page = Fake::start(|_| (404, "", "no such page".into())).await;
    let failed = answered(&page.way(Options::default()), call())
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
async fn a_refused_handshake_is_the_refusal_of_the_server() {
    let fake = Fake::start(|heard| error(heard, 200, -32603)).await;
    let refused = answered(&fake.way(Options::default().era(Era::Legacy)), call())
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, CallError::HandshakeRefused(error) if error.code == -32603),
        "{refused:?}"
    );
}

/// Waits until the server has been asked `method` so many times.
async fn asked(fake: &Fake, method: &str, times: usize) {
    let so = async {
        while fake.heard().iter().filter(|heard| heard.is(method)).count() < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), so)
        .await
        .expect("the server was not asked");
}

#[tokio::test]
async fn a_server_that_never_answers_holds_up_detection_for_a_bounded_time() {
    // One after the other: the probe, the handshake, and the end of the handshake are left
    // unanswered.
    let silent = ["server/discover", "initialize", "notifications/initialized"];
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let fake = Fake::start(move |heard| match heard.body["method"].as_str() {
        Some(method) if silent.get(count.load(SeqCst)) == Some(&method) => (0, "", String::new()),
        Some("server/discover") => error(heard, 200, -32601),
        _ => old(heard),
    })
    .await;
    let way = fake.way(Options::default().handshake_timeout(Duration::from_millis(500)));
    for method in silent {
        let failed = answered(&way, call()).await.unwrap_err();
        assert!(failed.to_string().contains(method), "{method}: {failed}");
        tried.fetch_add(1, SeqCst);
    }
    assert_eq!(text(&answered(&way, call()).await.unwrap()), "called");
}

#[tokio::test]
async fn callers_share_one_detection_and_wait_for_their_own_time() {
    let fake = Fake::start(move |heard| match heard.is("server/discover") {
        true => (0, "", String::new()),
        false => old(heard),
    })
    .await;
    let way = fake.way(Options::default());
    let give_up = |way: Http| async move {
        tokio::time::timeout(Duration::from_millis(100), answered(&way, call()))
            .await
            .unwrap_err();
    };
    for _ in 0..2 {
        futures_util::future::join_all((0..8).map(|_| give_up(way.clone()))).await;
        asked(&fake, "server/discover", 1).await;
    }
    assert_eq!(
        fake.methods(),
        ["server/discover"],
        "those who came later did not begin anew"
    );
}

#[tokio::test]
async fn a_discovery_is_its_own_probe() {
    let fake = Fake::start(|heard| {
        result(
            heard,
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
        )
    })
    .await;
    let way = fake.way(Options::default());
    let found = answered(&way, testkit::call("server/discover", json!({})))
        .await
        .unwrap();
    assert!(matches!(found, Outcome::Result(_)));
    assert_eq!(fake.methods().len(), 1);
}

// spec: versioning-10, versioning-11
#[tokio::test]
async fn what_was_found_out_is_kept_and_found_out_anew_when_it_proves_wrong() {
    let memory = EraCache::new();
    let fake = Fake::start(|heard| {
        if heard.is("server/discover") {
            error(heard, 400, -32000)
        } else {
            old(heard)
        }
    })
    .await;
    answered(&fake.way(Options::default().memory(memory.clone())), call())
        .await
        .unwrap();
    answered(&fake.way(Options::default().memory(memory.clone())), call())
        .await
        .unwrap();
    let probes = fake
        .methods()
        .iter()
        .filter(|method| *method == "server/discover")
        .count();
    assert_eq!(probes, 1, "the second way knew");
    // The server at that place becomes a modern one, which refuses the handshake.
    let changed = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&changed);
    let fake = Fake::start(
        move |heard| match (now.load(SeqCst), heard.body["method"].as_str()) {
            (0, Some("server/discover")) => error(heard, 400, -32000),
            (0, _) => old(heard),
            (_, Some("initialize")) => error(heard, 400, -32022),
            (_, Some("server/discover")) => result(
                heard,
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
            ),
            _ => result(
                heard,
                json!({"resultType": "complete", "content": [{"type": "text", "text": "new"}]}),
            ),
        },
    )
    .await;
    answered(&fake.way(Options::default().memory(memory.clone())), call())
        .await
        .unwrap();
    changed.store(1, SeqCst);
    assert_eq!(
        text(
            &answered(&fake.way(Options::default().memory(memory)), call())
                .await
                .unwrap()
        ),
        "new"
    );
}

// spec: versioning-10
#[tokio::test]
async fn an_era_that_was_demanded_is_not_remembered() {
    let memory = EraCache::new();
    let fake = Fake::start(|heard| match heard.body["method"].as_str() {
        Some("server/discover") => result(
            heard,
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
        ),
        _ => old(heard),
    })
    .await;
    let way = |era| fake.way(Options::default().memory(memory.clone()).era(era));
    answered(&way(Era::Legacy), call()).await.unwrap();
    let before = fake.methods().len();
    let later = way(Era::Auto);
    let _ = answered(&later, call()).await;
    assert!(
        fake.methods()[before..].contains(&"server/discover".to_owned()),
        "{:?}",
        fake.methods()
    );
    assert!(later.decision().unwrap().version.is_modern());
}

#[tokio::test]
async fn a_server_that_was_remembered_as_modern_and_is_not_heals_with_the_first_request() {
    for refusal in [-32000, -32600] {
        let file = std::env::temp_dir().join(format!(
            "carryall-eras-{}-{refusal}.json",
            std::process::id()
        ));
        let fake = Fake::start(move |heard| match heard.body["method"].as_str() {
            Some("initialize" | "notifications/initialized") => old(heard),
            _ if heard.header("mcp-session-id").is_none() => error(heard, 400, refusal),
            Some("tools/list") => result(heard, json!({"tools": []})),
            _ => old(heard),
        })
        .await;
        let remembered = |since: u64| {
            let entry = json!({"version": "2026-07-28", "why": "it answered server/discover", "since": since});
            std::fs::write(&file, json!({"servers": {&fake.url: entry}}).to_string()).unwrap();
            fake.way(Options::default().memory(EraCache::file(&file)))
        };
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        // A tool is not called twice, but the next call goes right.
        let way = remembered(now);
        let first = answered(&way, call()).await;
        assert!(matches!(&first, Ok(Outcome::Error(_))), "{first:?}");
        assert_eq!(text(&answered(&way, call()).await.unwrap()), "called");
        // A list is asked for again at once.
        let tool = call();
        let list = tool.derive(
            tool.id().clone(),
            carryall_types::Method::ToolsList,
            carryall_proto::Params::empty(),
        );
        let way = remembered(now);
        let listed = answered(&way, list).await.unwrap();
        assert!(matches!(listed, Outcome::Result(_)), "{listed:?}");
        assert!(!way.decision().unwrap().version.is_modern());
        // And what is older than a week is not relied on.
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
async fn an_era_that_is_given_is_not_looked_for() {
    let fake = Fake::start(old).await;
    answered(&fake.way(Options::default().era(Era::Legacy)), call())
        .await
        .unwrap();
    assert_eq!(fake.methods()[0], "initialize");
    let fake = Fake::start(old).await;
    answered(&fake.way(Options::default().era(Era::Modern)), call())
        .await
        .unwrap();
    assert_eq!(fake.methods(), ["tools/call"]);
}

#[tokio::test]
async fn a_session_that_the_server_has_forgotten_is_begun_anew_and_the_call_made_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let fake = Fake::start(move |heard| match heard.body["method"].as_str() {
        Some("server/discover") => error(heard, 400, -32000),
        // The first session is forgotten before its second call.
        Some("tools/call") if count.fetch_add(1, SeqCst) == 1 => (404, "", String::new()),
        _ => old(heard),
    })
    .await;
    let way = fake.way(Options::default());
    for _ in 0..3 {
        assert_eq!(text(&answered(&way, call()).await.unwrap()), "called");
    }
    assert_eq!(
        fake.methods()
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
async fn a_stream_that_breaks_is_taken_up_again_after_the_time_the_server_names() {
    let fake = Fake::start(|heard| match heard.body["method"].as_str() {
        Some("server/discover") => error(heard, 400, -32000),
        Some("tools/call") => (200, EVENTS, "id: e1\nretry: 20\ndata:\n\n".into()),
        None if heard.header("last-event-id") == Some("e1") => {
            let id = 1;
            let late = json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "late"}]}});
            (200, EVENTS, format!("id: e2\ndata: {late}\n\n"))
        }
        _ => old(heard),
    })
    .await;
    let way = fake.way(Options::default());
    assert_eq!(text(&answered(&way, call()).await.unwrap()), "late");
    let gets: Vec<Heard> = fake
        .heard()
        .into_iter()
        .filter(|heard| heard.head.starts_with("GET"))
        .collect();
    assert_eq!(gets.len(), 1);
    // Without an id there is nothing to go on from.
    let fake = Fake::start(|heard| match heard.body["method"].as_str() {
        Some("server/discover") => error(heard, 400, -32000),
        Some("tools/call") => (200, EVENTS, ": nothing\n\n".into()),
        _ => old(heard),
    })
    .await;
    assert!(matches!(
        answered(&fake.way(Options::default()), call())
            .await
            .unwrap_err(),
        CallError::Broken(_)
    ));
}

#[tokio::test]
async fn a_server_that_has_nothing_but_http_sse_is_called_that_way() {
    // Answers come on the one stream, so this server keeps hold of it.
    let stream: Arc<Mutex<Option<tokio::sync::mpsc::UnboundedSender<String>>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sse", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let stream = Arc::clone(&stream);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while let Some(heard) = read(&mut connection, &mut seen).await {
                    if heard.head.starts_with("GET") {
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
                    let posted = heard.head.starts_with("POST /messages?s=1");
                    if posted && heard.body.get("id").is_some() {
                        let mut said = old(&heard).2;
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
    let way = Http::new(HttpClient::new(&url).unwrap(), Options::default());
    assert_eq!(text(&answered(&way, call()).await.unwrap()), "called");
    assert_eq!(way.decision().unwrap().version.as_str(), "2024-11-05");
}

#[tokio::test]
async fn a_server_that_is_none_is_told_of_with_all_that_was_tried() {
    let fake = Fake::start(|_| {
        (
            404,
            "Content-Type: text/html\r\n",
            "<html>shop</html>".into(),
        )
    })
    .await;
    let failed = answered(&fake.way(Options::default()), call())
        .await
        .unwrap_err()
        .to_string();
    for part in ["404", "server/discover", "initialize", "HTTP+SSE"] {
        assert!(failed.contains(part), "{part}: {failed}");
    }
    assert!(!fake.methods().contains(&"tools/call".to_owned()));
}

/// Our own server, legacy alone: the modern door is locked.
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
    let way = Http::new(
        HttpClient::new(&legacy_only().await).unwrap(),
        Options::default(),
    );
    let mut calls = Vec::new();
    for _ in 0..50 {
        let way = way.clone();
        calls.push(tokio::spawn(async move {
            text(&answered(&way, call()).await.unwrap())
        }));
    }
    for call in calls {
        assert_eq!(call.await.unwrap(), "called");
    }
    assert_eq!(way.decision().unwrap().version.as_str(), "2025-11-25");
}
