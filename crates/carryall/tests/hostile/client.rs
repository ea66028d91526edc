//! Our client against servers that mean it ill.

use carryall::Client;
use carryall::client::{ClientError, ResponseError};
use carryall::proto::CallError;
use carryall::transport::http::HttpClient;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How long the client waits in these tests, and how long they wait for the client.
/// Generous, for machines that run other tests: what is not bounded takes for ever.
const TIMEOUT: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(60);

/// A server that does with each request whatever `act` does; `act` gets the request's body.
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start<F, Fut>(act: F) -> Self
    where
        F: Fn(TcpStream, Value) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let act = act.clone();
                tokio::spawn(async move {
                    while let Some(request) = read_request(&mut stream).await {
                        let Some(next) = act(stream, request).await else {
                            return;
                        };
                        stream = next;
                    }
                });
            }
        });
        Self { url, connections }
    }

    /// One that answers each request with these bytes; `$ID` stands for the request's id.
    async fn saying(answer: impl Into<String>) -> Self {
        let answer: Arc<str> = answer.into().into();
        Self::start(move |mut stream, request| {
            let answer = finished(&answer, &request["id"]);
            async move {
                stream
                    .write_all(answer.as_bytes())
                    .await
                    .is_ok()
                    .then_some(stream)
            }
        })
        .await
    }

    /// One that answers each request with this result.
    async fn with_result(result: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static) -> Self {
        Self::start(move |mut stream, request| {
            let response =
                json!({"jsonrpc": "2.0", "id": request["id"], "result": result(&request)})
                    .to_string();
            async move {
                stream
                    .write_all(finished(&ok(&response), &Value::Null).as_bytes())
                    .await
                    .is_ok()
                    .then_some(stream)
            }
        })
        .await
    }

    fn client(&self) -> Client {
        let transport = HttpClient::builder(&self.url)
            .unwrap()
            .max_response(MAX_RESPONSE)
            .build()
            .unwrap();
        let client = Client::builder().service(transport).mirror_headers(true);
        client
            .timeout(TIMEOUT)
            .max_timeout(TIMEOUT)
            .max_retries(0)
            .max_pages(200)
            .build()
            .unwrap()
    }

    /// What a plain call comes to.
    async fn call(&self) -> Result<String, ClientError> {
        call(&self.client()).await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const MAX_RESPONSE: usize = 1 << 20;

async fn call(client: &Client) -> Result<String, ClientError> {
    let called = tokio::time::timeout(SOON, client.call("t", json!({})).into_future()).await;
    called
        .expect("the client hangs")
        .map(|result| serde_json::to_value(&result.content).unwrap()[0]["text"].to_string())
}

/// Reads a head and a body of the length that the head tells.
async fn read_request(stream: &mut TcpStream) -> Option<Value> {
    let mut seen = Vec::new();
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))?
                .trim()
                .parse()
                .ok()?;
            if let Some(body) = seen.get(end + 4..end + 4 + length) {
                return serde_json::from_slice(body).ok();
            }
        }
        if stream.read_buf(&mut seen).await.ok()? == 0 {
            return None;
        }
    }
}

fn ok(body: &str) -> String {
    http("200 OK", "Content-Type: application/json\r\n", body)
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: $LENGTH\r\n\r\n{body}")
}

/// A response with the request's id, and the length that it then has.
fn finished(response: &str, id: &Value) -> String {
    let response = response.replace("$ID", &id.to_string());
    let length = response
        .split_once("\r\n\r\n")
        .map_or(0, |(_, body)| body.len());
    response.replacen("$LENGTH", &length.to_string(), 1)
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

fn result(text: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"resultType":"complete","content":[{{"type":"text","text":"{text}"}}]}}}}"#
    )
}

/// Writes `start` and then `piece` until the client hangs up.
async fn endless(start: &'static str, piece: Vec<u8>) -> Server {
    let piece = Arc::new(piece);
    Server::start(move |mut stream, _| {
        let piece = Arc::clone(&piece);
        async move {
            stream.write_all(start.as_bytes()).await.ok()?;
            while stream.write_all(&piece).await.is_ok() {}
            None
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_never_say_anything_end_with_the_timeout() {
    let comments = b": still here\n\n".repeat(1000);
    let priming = b"id: 1\ndata:\n\n".repeat(1000);
    let others = b"event: ping\ndata: {}\n\n".repeat(1000);
    let long_id = [b"id: ", &b"x".repeat(1 << 19)[..], b"\n"].concat();
    let empty = b"data:\n\n".repeat(2000);
    let progress =
        br#"data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let progress = [&progress[..], b"\n\n"].concat().repeat(100);
    let pieces = [
        comments,
        priming,
        others,
        [long_id, empty].concat(),
        progress,
    ];
    let calls =
        pieces.map(|piece| tokio::spawn(async { endless(STREAM, piece).await.call().await }));
    for call in calls {
        let failed = call.await.unwrap().unwrap_err();
        assert!(failed.is_timeout(), "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_ends_is_cut_off_at_the_limit() {
    for (start, piece) in [
        (STREAM, b"xxxxxxxx".repeat(8192)),
        (STREAM, b"data: x\n".repeat(8192)),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
            b"        ".repeat(8192),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat(),
        ),
    ] {
        let failed = endless(start, piece).await.call().await.unwrap_err();
        assert!(
            matches!(failed, ClientError::Call(CallError::TooLarge(MAX_RESPONSE))),
            "{start:?} {failed}"
        );
    }
    for (start, piece) in [
        ("HTTP/1.1 200 OK\r\n", b"X-Header: y\r\n".repeat(1000)),
        ("HTTP/1.1 200 OK\r\nX: ", b"y".repeat(8192)),
        ("", b"garbage ".repeat(1000)),
        ("", b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000)),
        (
            "HTTP/1.1 500 Oh\r\nContent-Type: text/html\r\n\r\n",
            b"<p>so sorry".repeat(1000),
        ),
    ] {
        let failed = endless(start, piece).await.call().await.unwrap_err();
        assert!(matches!(failed, ClientError::Call(_)), "{start:?} {failed}");
    }
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_before_anything_is_read() {
    let headers = "Content-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n";
    // Not a byte of it ever comes.
    let server = Server::saying(format!("HTTP/1.1 200 OK\r\n{headers}")).await;
    let start = Instant::now();
    let failed = server.call().await.unwrap_err();
    assert!(
        matches!(failed, ClientError::Call(CallError::TooLarge(MAX_RESPONSE))),
        "{failed}"
    );
    assert!(start.elapsed() < TIMEOUT / 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_answer_to_another_question_is_no_answer() {
    for id in [
        "0",
        "-1",
        "\"$ID\"",
        "null",
        "1.5",
        "[$ID]",
        "9223372036854775808",
        "{}",
    ] {
        for stream in [false, true] {
            let response = result("stolen").replace("$ID", id);
            let whole = if stream {
                format!("{STREAM}data: {response}\n\n")
            } else {
                ok(&response)
            };
            // Ids of the client count from 1, so that "$ID" in quotes is what comes closest.
            let failed = Server::saying(whole).await.call().await.unwrap_err();
            assert!(
                matches!(failed, ClientError::Call(_) | ClientError::Server(_)),
                "{id}: {failed}"
            );
        }
    }
}

#[tokio::test]
async fn of_two_responses_the_first_counts_and_the_second_never_answers_the_next_call() {
    // A whole second response behind the first, for the id that the next call will have.
    let first = ok(&result("first"));
    let server = Server::start(move |mut stream, request| {
        let id = request["id"].as_i64().unwrap();
        let injected = finished(&first.replace("first", "wrong"), &json!(id + 1));
        let both = finished(&first, &json!(id)) + &injected;
        async move {
            stream
                .write_all(both.as_bytes())
                .await
                .is_ok()
                .then_some(stream)
        }
    })
    .await;
    let client = server.client();
    for _ in 0..10 {
        assert_eq!(call(&client).await.unwrap(), "\"first\"");
    }
    assert!(
        server.connections() > 1,
        "a connection with something left on it was used again"
    );

    let two = format!("data: {}\n\ndata: {}\n\n", result("first"), result("wrong"));
    let server = Server::saying(http("200 OK", "Content-Type: text/event-stream\r\n", &two)).await;
    let client = server.client();
    for _ in 0..10 {
        assert_eq!(call(&client).await.unwrap(), "\"first\"");
    }
}

#[tokio::test]
async fn what_is_not_mcp_is_told_apart_and_shown() {
    let html = "<html>Welcome to the portal</html>";
    for (status, headers, body) in [
        ("200 OK", "Content-Type: text/html\r\n", html),
        ("200 OK", "", html),
        ("200 OK", "Content-Type: \u{ff}\u{fe}\r\n", html),
        (
            "200 OK",
            "Content-Type: application/json; charset=utf-16\r\n",
            html,
        ),
        ("200 OK", "Content-Type: application/json\r\n", ""),
        ("200 OK", "Content-Type: application/json\r\n", "\u{feff}{}"),
        ("200 OK", "Content-Type: application/json\r\n", "[]"),
        (
            "200 OK",
            "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
            "\u{1f}\u{8b}\u{8}\0",
        ),
        (
            "200 OK",
            "Content-Type: text/event-stream\r\n",
            "data: garbage\n\n",
        ),
        ("200 OK", "Content-Type: text/event-stream\r\n", ""),
        ("202 Accepted", "", ""),
        ("204 No Content", "", ""),
        ("401 Unauthorized", "WWW-Authenticate: \0\r\n", ""),
        (
            "500 Oh",
            "Content-Type: application/json\r\n",
            "{\"error\":\"x\"}",
        ),
        ("999 What", "", ""),
    ] {
        let server = Server::saying(http(status, headers, body)).await;
        let failed = server.call().await.unwrap_err();
        assert!(
            matches!(failed, ClientError::Call(_)),
            "{status} {headers:?} {body:?}: {failed}"
        );
    }
    let deep =
        "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":".to_owned() + &"{\"a\":".repeat(100_000);
    for body in [deep, "[".repeat(100_000), result("\\ud80"), result("x\0")] {
        let failed = Server::saying(ok(&body)).await.call().await.unwrap_err();
        assert!(
            matches!(
                failed,
                ClientError::Call(CallError::Malformed(_) | CallError::Broken(_))
            ),
            "{failed}"
        );
    }
    // Half an emoji is valid JSON, and no reason to lose the result of a call.
    let cut = Server::saying(ok(&result("cut \\ud83d")))
        .await
        .call()
        .await
        .unwrap();
    assert_eq!(cut, "\"cut \u{fffd}\"");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let other = Server::saying(ok(&result("elsewhere"))).await;
    let port = other
        .url
        .rsplit(':')
        .next()
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        for location in [
            other.url.clone(),
            format!("//127.0.0.1:{port}/mcp"),
            format!("http://localhost:{port}/"),
        ] {
            let server =
                Server::saying(http(status, &format!("Location: {location}\r\n"), "")).await;
            let failed = server.call().await.unwrap_err();
            let ClientError::Call(CallError::NotMcp { body, .. }) = &failed else {
                panic!("{failed:?}")
            };
            assert!(
                body.contains(&location),
                "the error names where it leads: {failed}"
            );
        }
    }
    assert_eq!(other.connections(), 0);
    // Within the host it is followed, but not round and round.
    let server = Server::saying(http("307 Temporary", "Location: /mcp\r\n", "")).await;
    assert!(server.call().await.is_err());
}

#[tokio::test]
async fn listings_that_never_end_are_ended() {
    let counter = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counter);
    let server = Server::with_result(move |_| {
        let cursor = count.fetch_add(1, Ordering::SeqCst);
        json!({"resultType": "complete", "tools": [], "nextCursor": cursor.to_string(), "ttlMs": 0, "cacheScope": "private"})
    })
    .await;
    let failed = server.client().list_tools().await.unwrap_err();
    assert!(
        matches!(&failed, ClientError::Response(ResponseError::ListTooLong { reason, .. }) if reason.contains("200 pages")),
        "{failed}"
    );
    assert_eq!(counter.load(Ordering::SeqCst), 200);

    let server = Server::with_result(
        |_| json!({"resultType": "complete", "tools": [], "nextCursor": "", "ttlMs": 0, "cacheScope": "private"}),
    )
    .await;
    assert!(
        server.client().list_tools().await.unwrap().is_empty(),
        "the same cursor again is the end"
    );
}

/// A server whose `tools/list` has these tools, and whose only answer to a call has this structured
/// content.
async fn with_tools(tools: Value, structured: Value) -> Server {
    Server::with_result(move |request| match request["method"].as_str() {
        Some("tools/list") => {
            json!({"resultType": "complete", "tools": tools, "ttlMs": 60_000, "cacheScope": "private"})
        }
        _ => json!({"resultType": "complete", "content": [{"type": "text", "text": "done"}], "structuredContent": structured}),
    })
    .await
}

fn tool(name: &str, input: Value, output: Option<Value>) -> Value {
    let mut tool = json!({"name": name, "inputSchema": input});
    if let Some(output) = output {
        tool["outputSchema"] = output;
    }
    tool
}

#[tokio::test]
async fn a_page_of_100_000_tools_is_read() {
    let tools: Vec<_> = (0..100_000)
        .map(|n| tool(&format!("t{n}"), json!({"type": "object"}), None))
        .collect();
    let server = with_tools(Value::Array(tools), Value::Null).await;
    let transport = HttpClient::new(&server.url).unwrap();
    let client = Client::builder()
        .service(transport)
        .mirror_headers(true)
        .timeout(SOON)
        .build()
        .unwrap();
    assert_eq!(client.list_tools().await.unwrap().len(), 100_000);
    assert_eq!(call(&client).await.unwrap(), "\"done\"");
}

#[tokio::test]
async fn tools_with_invalid_header_annotations_are_left_out_and_the_others_stay() {
    let with = |schema: Value| json!({"type": "object", "properties": {"a": schema}});
    let mut tools = vec![tool(
        "good",
        with(json!({"type": "string", "x-mcp-header": "Good"})),
        None,
    )];
    let bad = [
        json!({"type": "string", "x-mcp-header": ""}),
        json!({"type": "string", "x-mcp-header": "a b"}),
        json!({"type": "string", "x-mcp-header": "a\r\nInjected: yes"}),
        json!({"type": "string", "x-mcp-header": "\u{0}"}),
        json!({"type": "string", "x-mcp-header": "é"}),
        json!({"type": "string", "x-mcp-header": 7}),
        json!({"type": "object", "x-mcp-header": "A"}),
        json!({"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}),
        json!({"anyOf": [{"type": "string", "x-mcp-header": "A"}]}),
        json!({"type": "string", "x-mcp-header": "x".repeat(100_000)}),
    ];
    tools.extend(
        bad.into_iter()
            .enumerate()
            .map(|(n, schema)| tool(&format!("bad{n}"), with(schema), None)),
    );
    let server = with_tools(Value::Array(tools), Value::Null).await;
    let client = server.client();
    let listed = client.list_tools().await.unwrap();
    let names: Vec<_> = listed.iter().map(|tool| tool.name.as_str()).collect();
    // A name of any length is a name; whether a request with it fits is for the server to say.
    assert_eq!(
        names
            .iter()
            .filter(|name| **name != "bad9")
            .collect::<Vec<_>>(),
        [&"good"]
    );
    let text = client
        .call("good", json!({"a": "line\r\nInjected: yes"}))
        .await
        .unwrap();
    assert!(
        serde_json::to_string(&text.content)
            .unwrap()
            .contains("done")
    );
}

// spec: json-schema-13
#[tokio::test]
async fn schemas_that_explode_are_not_set_off() {
    let doubling = |dialect: Option<&str>| {
        let mut defs: serde_json::Map<_, _> = (0..40)
            .map(|n| {
                let next = json!({"$ref": format!("#/definitions/d{}", n + 1)});
                (format!("d{n}"), json!({"allOf": [next, {"anyOf": [next]}]}))
            })
            .collect();
        defs.insert("d40".into(), json!({"type": "string"}));
        let mut schema = json!({"definitions": defs, "allOf": [{"$ref": "#/definitions/d0"}]});
        if let Some(dialect) = dialect {
            schema["$schema"] = dialect.into();
        }
        schema
    };
    let draft7 = "http://json-schema.org/draft-07/schema#";
    let bombs = [
        json!({"$ref": "#"}),
        json!({"$schema": draft7, "allOf": [{"$ref": "#"}]}),
        json!({"definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}}, "$ref": "#/definitions/a"}),
        json!({"$schema": draft7, "anyOf": [{"$ref": "#"}, {"not": {"$ref": "#"}}]}),
        doubling(None),
        doubling(Some(draft7)),
        doubling(Some("http://json-schema.org/draft-04/schema#")),
        doubling(Some("https://json-schema.org/draft/2019-09/schema")),
        json!({"pattern": "^(a+)+$(?=b)"}),
        json!({"pattern": "(((((a{100}){100}){100}){100}){100})"}),
        json!({"$schema": draft7, "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}),
        json!({"$ref": "http://127.0.0.1:1/never-fetched"}),
        json!({"enum": vec![0; 100_000]}),
    ];
    for bomb in bombs {
        let shown: String = bomb.to_string().chars().take(100).collect();
        let tools = json!([tool("t", json!({"type": "object"}), Some(bomb))]);
        let server = with_tools(tools, json!("a".repeat(1000))).await;
        let client = server.client();
        assert_eq!(client.list_tools().await.unwrap().len(), 1, "{shown}");
        let start = Instant::now();
        // Whether such a result is let through or refused, the client lives and says so soon.
        if let Err(failed) = call(&client).await {
            assert!(
                matches!(
                    failed,
                    ClientError::Response(ResponseError::OutputSchema { .. })
                ),
                "{shown} {failed}"
            );
        }
        assert!(start.elapsed() < SOON, "{shown}");
    }
}
