//! Several callers of one legacy server over HTTP whose messages come on a stream that names no
//! call: the GET stream of Streamable HTTP, or HTTP+SSE.

mod call_common;

use call_common::{able, by, from, tool, tool_with};
use carryall_legacy::call::{DualEraHttp, DualEraOptions, Era, SessionScope};
use carryall_proto::Call;
use carryall_testkit as testkit;
use carryall_transport::HttpClient;
use carryall_types::RawJson;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    Streamable,
    HttpSse,
}

const BOTH: [Binding; 2] = [Binding::Streamable, Binding::HttpSse];

/// A server that answers a call when the test tells it to.
struct Server {
    binding: Binding,
    url: String,
    /// The posted messages, each with its session.
    posted: Mutex<Vec<(String, Value)>>,
    streams: Mutex<Vec<mpsc::UnboundedSender<String>>>,
    /// Unanswered calls, by the name of the tool.
    waiting: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    gets: Mutex<usize>,
}

impl Server {
    async fn start(binding: Binding) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let server = Arc::new(Self {
            binding,
            url,
            posted: Mutex::default(),
            streams: Mutex::default(),
            waiting: Mutex::default(),
            gets: Mutex::default(),
        });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).connection(stream));
            }
        });
        server
    }

    fn client(&self, scope: SessionScope) -> DualEraHttp {
        let options = DualEraOptions::default()
            .era(Era::Legacy)
            .session_scope(scope);
        DualEraHttp::new(HttpClient::new(&self.url).unwrap(), options)
    }

    async fn connection(self: Arc<Self>, mut stream: TcpStream) {
        let mut seen = Vec::new();
        while let Some((head, body)) = read(&mut stream, &mut seen).await {
            if head.starts_with("GET") {
                return self.stream(stream, &head).await;
            }
            let header = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("mcp-session-id:")
                    .map(str::to_owned)
            });
            let session = header.unwrap_or_default().trim().to_owned();
            if self.binding == Binding::HttpSse && head.starts_with("POST /mcp") {
                write(&mut stream, "405 No", "", "").await;
                continue;
            }
            self.posted.lock().unwrap().push((session, body.clone()));
            let answer =
                |result: Value| json!({"jsonrpc": "2.0", "id": body["id"], "result": result});
            let name = body["params"]["name"].as_str().unwrap_or_default();
            let answered = match body["method"].as_str() {
                Some("initialize") => Some(answer(json!({
                    "protocolVersion": if self.binding == Binding::HttpSse { "2024-11-05" } else { "2025-11-25" },
                    "capabilities": {"tools": {}, "logging": {}}, "serverInfo": {"name": "fake", "version": "1"},
                }))),
                Some("tools/call") if name == "events" => {
                    // One event, then the end of the stream.
                    let event = self.event();
                    write_events(&mut stream, &event).await;
                    return;
                }
                Some("tools/call") if name != "done" => {
                    let (sender, receiver) = oneshot::channel();
                    self.waiting.lock().unwrap().insert(name.to_owned(), sender);
                    let call = json!({"jsonrpc": "2.0", "id": body["id"]});
                    let result = async move {
                        let mut call = call;
                        call["result"] = receiver.await.ok()?;
                        Some(call)
                    };
                    match self.binding {
                        Binding::Streamable => result.await,
                        Binding::HttpSse => {
                            let this = Arc::clone(&self);
                            tokio::spawn(
                                async move { result.await.map(|answer| this.push(&answer)) },
                            );
                            None
                        }
                    }
                }
                Some("tools/call") => Some(answer(
                    json!({"content": [{"type": "text", "text": "done"}]}),
                )),
                Some("logging/setLevel") => Some(answer(json!({}))),
                _ => None,
            };
            match answered {
                Some(answer) if self.binding == Binding::Streamable => {
                    let session = format!("Mcp-Session-Id: s-{}\r\n", self.count("initialize"));
                    let session = if body["method"] == "initialize" {
                        session
                    } else {
                        String::new()
                    };
                    let headers = format!("Content-Type: application/json\r\n{session}");
                    write(&mut stream, "200 Yes", &headers, &answer.to_string()).await;
                }
                answered => {
                    write(&mut stream, "202 Yes", "", "").await;
                    answered.iter().for_each(|answer| self.push(answer));
                }
            }
        }
    }

    /// An event that asks for no reconnection delay.
    fn event(&self) -> String {
        let mut gets = self.gets.lock().unwrap();
        *gets += 1;
        let log = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}});
        format!("retry: 0\nid: {gets}\ndata: {log}\n\n")
    }

    async fn stream(self: Arc<Self>, mut stream: TcpStream, head: &str) {
        if head.to_ascii_lowercase().contains("last-event-id") {
            let event = self.event();
            return write_events(&mut stream, &event).await;
        }
        write_events(&mut stream, "").await;
        let (sender, mut events) = mpsc::unbounded_channel();
        if self.binding == Binding::HttpSse {
            let _ = sender.send("event: endpoint\ndata: /messages\n\n".to_owned());
        }
        self.streams.lock().unwrap().push(sender);
        while let Some(event) = events.recv().await {
            if stream.write_all(event.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// Sends a message on the latest stream.
    fn push(&self, message: &Value) {
        let _ = self
            .streams
            .lock()
            .unwrap()
            .last()
            .expect("a stream")
            .send(format!("data: {message}\n\n"));
    }

    fn ask(&self, method: &str, params: &Value) {
        self.push(&json!({"jsonrpc": "2.0", "id": "q1", "method": method, "params": params}));
    }

    fn answer(&self, name: &str) {
        let waiting = self.waiting.lock().unwrap().remove(name).expect("a call");
        let _ = waiting.send(json!({"content": [{"type": "text", "text": "done"}]}));
    }

    fn messages(&self) -> Vec<Value> {
        self.posted
            .lock()
            .unwrap()
            .iter()
            .map(|(_, message)| message.clone())
            .collect()
    }

    fn count(&self, method: &str) -> usize {
        self.messages()
            .iter()
            .filter(|message| message["method"] == method)
            .count()
    }

    async fn wait_for(&self, is: impl Fn(&Value) -> bool) -> Value {
        eventually("it is told", || self.messages().iter().any(&is)).await;
        self.messages().into_iter().rfind(&is).unwrap()
    }

    async fn wait_for_call(&self, name: &str) {
        eventually("the call arrives", || {
            self.waiting.lock().unwrap().contains_key(name)
        })
        .await;
    }

    async fn wait_for_streams(&self, count: usize) {
        eventually("the stream is open", || {
            self.streams.lock().unwrap().len() >= count
        })
        .await;
    }

    async fn answer_of(&self) -> Value {
        self.wait_for(|message| message["id"] == "q1" && message.get("method").is_none())
            .await
    }
}

async fn eventually(what: &str, so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

async fn write(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let text = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Begins a stream of events, which ends with the connection.
async fn write_events(stream: &mut TcpStream, events: &str) {
    let text = format!(
        "HTTP/1.1 200 Yes\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}"
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

async fn read(stream: &mut TcpStream, seen: &mut Vec<u8>) -> Option<(String, Value)> {
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(|length| length.trim().parse().unwrap())
            });
            let whole = end + 4 + length.unwrap_or(0);
            if seen.len() >= whole {
                let body = serde_json::from_slice(&seen[end + 4..whole]).unwrap_or_default();
                seen.drain(..whole);
                return Some((head, body));
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => seen.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

fn questions() -> [(&'static str, Value); 3] {
    let form =
        json!({"message": "Delete all?", "requestedSchema": {"type": "object", "properties": {}}});
    [
        ("elicitation/create", form),
        (
            "sampling/createMessage",
            json!({"messages": [], "maxTokens": 5}),
        ),
        ("roots/list", json!({})),
    ]
}

fn start(client: &DualEraHttp, call: Call) -> JoinHandle<testkit::TestReply> {
    let client = client.clone();
    tokio::spawn(async move { testkit::answer(&client, call).await })
}

fn is_asked(answered: &testkit::TestReply) -> bool {
    answered.result()["resultType"] == "input_required"
}

#[tokio::test]
async fn a_question_that_names_no_call_never_reaches_another_caller() {
    for binding in BOTH {
        for (method, params) in questions() {
            let server = Server::start(binding).await;
            let client = server.client(SessionScope::Principal);
            let hers = start(&client, from(1, able("later")));
            server.wait_for_call("later").await;
            let his = start(&client, from(2, able("slow")));
            server.wait_for_call("slow").await;
            server.wait_for_streams(1).await;
            server.ask(method, &params);
            let refused = server.answer_of().await;
            assert_eq!(
                refused["error"]["code"], -32600,
                "{binding:?} {method} {refused}"
            );
            server.answer("later");
            assert_eq!(hers.await.unwrap().text(), "done", "{binding:?} {method}");
            assert!(
                !his.is_finished(),
                "{binding:?} {method}: a stranger was asked"
            );
            his.abort();
        }
    }
}

#[tokio::test]
async fn a_question_that_only_one_call_can_have_caused_reaches_it() {
    for binding in BOTH {
        for (method, params) in questions() {
            let server = Server::start(binding).await;
            let client = server.client(SessionScope::Principal);
            let hers = start(&client, from(1, able("later")));
            server.wait_for_call("later").await;
            server.wait_for_streams(1).await;
            server.ask(method, &params);
            let asked = hers.await.unwrap();
            assert!(is_asked(&asked), "{binding:?} {method}");
            let result = asked.result();
            let key = result["inputRequests"]
                .as_object()
                .unwrap()
                .keys()
                .next()
                .unwrap();
            let mut again = able("later");
            again.set_param("requestState", &RawJson::from(&result["requestState"]));
            again.set_param("inputResponses", &RawJson::from(&json!({key: {"x": 1}})));
            let again = start(&client, from(1, again));
            assert_eq!(server.answer_of().await["result"], json!({"x": 1}));
            server.answer("later");
            assert_eq!(again.await.unwrap().text(), "done");
        }
    }
}

#[tokio::test]
async fn a_cancelled_call_of_another_caller_counts_and_later_calls_use_another_session() {
    for binding in BOTH {
        let server = Server::start(binding).await;
        let client = server.client(SessionScope::Principal);
        let his = start(&client, from(2, able("slow")));
        server.wait_for_call("slow").await;
        his.abort();
        server
            .wait_for(|message| message["method"] == "notifications/cancelled")
            .await;
        let hers = start(&client, from(1, able("later")));
        server.wait_for_call("later").await;
        server.wait_for_streams(1).await;
        let (method, params) = &questions()[0];
        server.ask(method, params);
        assert_eq!(
            server.answer_of().await["error"]["code"],
            -32600,
            "{binding:?}"
        );
        server.answer("later");
        assert_eq!(hers.await.unwrap().text(), "done");
        // Another session does not have the cancelled call.
        let again = start(&client, from(1, able("again")));
        server.wait_for_call("again").await;
        server.wait_for_streams(2).await;
        assert_eq!(server.count("initialize"), 2, "{binding:?}");
        server.ask(method, params);
        assert!(is_asked(&again.await.unwrap()), "{binding:?}");
    }
}

#[tokio::test]
async fn log_messages_that_name_no_call_never_reach_another_caller() {
    for binding in BOTH {
        let server = Server::start(binding).await;
        let client = server.client(SessionScope::Principal);
        let level = json!({
            "io.modelcontextprotocol/logLevel": "debug",
            "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
        });
        let logged = |session, name: &str| {
            let mut call = tool_with(level.clone());
            call.set_param("name", &RawJson::from(&json!(name)));
            from(session, call)
        };
        let log = |data: &str| {
            let params = json!({"level": "error", "data": data});
            json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
        };
        let hers = start(&client, logged(1, "later"));
        server.wait_for_call("later").await;
        server.wait_for_streams(1).await;
        server.push(&log("alone"));
        // Nothing else shows that it was read.
        server.push(&json!({"jsonrpc": "2.0", "id": "p1", "method": "ping"}));
        server.wait_for(|message| message["id"] == "p1").await;
        let his = start(&client, logged(2, "slow"));
        server.wait_for_call("slow").await;
        server.push(&log("beside another"));
        server.push(&json!({"jsonrpc": "2.0", "id": "p2", "method": "ping"}));
        server.wait_for(|message| message["id"] == "p2").await;
        server.answer("slow");
        server.answer("later");
        let data = |answered: testkit::TestReply| {
            answered
                .params_of("notifications/message")
                .iter()
                .map(|params| params["data"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(data(hers.await.unwrap()), ["alone"], "{binding:?}");
        assert_eq!(data(his.await.unwrap()), Vec::<Value>::new(), "{binding:?}");
    }
}

#[tokio::test]
async fn each_principal_has_sessions_of_its_own() {
    let server = Server::start(Binding::Streamable).await;
    let client = server.client(SessionScope::Principal);
    for caller in ["ann", "bob", "ann"] {
        assert_eq!(
            testkit::answer(&client, by(caller, tool("done")))
                .await
                .text(),
            "done"
        );
    }
    assert_eq!(testkit::answer(&client, tool("done")).await.text(), "done");
    let calls: Vec<_> = {
        let posted = server.posted.lock().unwrap();
        posted
            .iter()
            .filter(|(_, message)| message["method"] == "tools/call")
            .map(|(session, _)| session.clone())
            .collect()
    };
    assert_eq!(calls[0], calls[2]);
    assert!(
        calls[0] != calls[1] && calls[3] != calls[0] && calls[3] != calls[1],
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_server_that_asks_for_no_delay_is_not_reconnected_to_in_a_loop() {
    let server = Server::start(Binding::Streamable).await;
    let client = server.client(SessionScope::Principal);
    let waiting = start(&client, tool("events"));
    eventually("the stream is taken up again", || {
        *server.gets.lock().unwrap() > 2
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let gets = *server.gets.lock().unwrap();
    assert!(gets < 12, "{gets} streams");
    waiting.abort();
}
