//! Sessions over Streamable HTTP: how they are opened, what they require of requests, how they end.

mod serve_http_common;

use serde_json::json;
use serve_http_common::*;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

// spec: versioning-08, versioning-09
#[tokio::test]
async fn clients_of_every_revision_are_served_on_one_endpoint() {
    let replica = Replica::start(options()).await;
    for version in VERSIONS {
        let client = Client::open(replica.address, version).await;
        assert_eq!(client.version, version);
        assert!(client.id.bytes().all(|byte| byte.is_ascii_graphic()));
        let answer = client.post(&tool("a", "hello")).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json"))
        );
        let answer = answer.json();
        assert_eq!(answer["id"], "a");
        assert_eq!(answer["result"]["content"][0]["text"], "hello nobody");
        assert_eq!(answer["result"].get("resultType"), None);
    }
    let modern = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "hello", "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    }}});
    let headers = format!(
        "{POST_HEADERS}MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: hello\r\n"
    );
    let answer = send(
        replica.address,
        &http("POST", "/mcp", &headers, &modern.to_string()),
    )
    .await;
    assert_eq!(answer.json()["result"]["resultType"], "complete");
    assert_eq!(answer.header("mcp-session-id"), None);
}

// spec: http-headers-49, http-headers-50
#[tokio::test]
async fn a_modern_request_is_modern_whatever_headers_it_has() {
    let replica = Replica::start(options()).await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let body = request(1, "tools/call", json!({"name": "hello", "_meta": meta}));
    let old = "Mcp-Session-Id: made-up\r\nLast-Event-ID: x\r\n";
    let named = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: hello\r\n";
    let served = send(
        replica.address,
        &http(
            "POST",
            "/mcp",
            &format!("{POST_HEADERS}{old}{named}"),
            &body,
        ),
    )
    .await;
    assert_eq!(
        served.json()["result"]["resultType"],
        "complete",
        "{served:?}"
    );
    // A proxy that removes the headers of 2026-07-28: the modern endpoint says so.
    for left in ["", "Mcp-Method: tools/call\r\n", old] {
        let stripped = send(
            replica.address,
            &http("POST", "/mcp", &format!("{POST_HEADERS}{left}"), &body),
        )
        .await;
        assert_eq!(
            (stripped.status, &stripped.json()["error"]["code"]),
            (400, &json!(-32020)),
            "{left}"
        );
    }
}

#[tokio::test]
async fn requests_without_version_and_session_get_the_modern_refusal() {
    let replica = Replica::start(options()).await;
    for body in [request(1, "tools/list", json!({})), "{".to_owned()] {
        let legacy = send(replica.address, &http("POST", "/mcp", POST_HEADERS, &body)).await;
        let modern = send(
            replica.address,
            &http(
                "POST",
                "/mcp",
                &format!("{POST_HEADERS}MCP-Protocol-Version: 2026-07-28\r\n"),
                &body,
            ),
        )
        .await;
        assert_eq!(legacy.status, modern.status, "{body}");
        assert_eq!(legacy.status, 400, "{body}");
    }
    for method in ["GET", "DELETE"] {
        for headers in ["", "MCP-Protocol-Version: 2026-07-28\r\n"] {
            let headers = format!("Accept: text/event-stream\r\n{headers}");
            assert_eq!(
                send(replica.address, &http(method, "/mcp", &headers, ""))
                    .await
                    .status,
                405,
                "{method}"
            );
        }
    }
}

#[tokio::test]
async fn a_valid_session_id_is_required() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let version = "MCP-Protocol-Version: 2025-11-25\r\n";
    let without = send(
        replica.address,
        &http(
            "POST",
            "/mcp",
            &format!("{POST_HEADERS}{version}"),
            &tool(1, "hello"),
        ),
    )
    .await;
    assert_eq!(without.status, 400, "{without:?}");
    for method in ["GET", "DELETE"] {
        let headers = format!("Accept: text/event-stream\r\n{version}");
        assert_eq!(
            send(replica.address, &http(method, "/mcp", &headers, ""))
                .await
                .status,
            400,
            "{method}"
        );
    }
    let twice = Client {
        headers: format!("Mcp-Session-Id: {}\r\n", client.id),
        ..client.clone()
    };
    assert_eq!(twice.post(&tool(1, "hello")).await.status, 400);
    let mut changed = client.id.clone();
    let last = changed.pop().unwrap();
    changed.push(if last == 'A' { 'Q' } else { 'A' });
    for id in ["made-up", "", &changed, &"x".repeat(6000)] {
        let stranger = Client {
            id: id.to_owned(),
            ..client.clone()
        };
        assert_eq!(stranger.post(&tool(1, "hello")).await.status, 404, "{id}");
        assert_eq!(stranger.get(None).await.status, 404);
        assert_eq!(stranger.delete().await, 404);
    }
    assert_eq!(client.call("hello").await, "hello nobody");
}

#[tokio::test]
async fn the_version_header_must_match_from_2025_06_18_on() {
    let replica = Replica::start(options()).await;
    for (version, strict) in [
        ("2025-11-25", true),
        ("2025-06-18", true),
        ("2025-03-26", false),
        ("2024-11-05", false),
    ] {
        let client = Client::open(replica.address, version).await;
        let other = if version == "2025-06-18" {
            "2025-11-25"
        } else {
            "2025-06-18"
        };
        let mismatch = Client {
            version: other.into(),
            ..client.clone()
        };
        assert_eq!(
            mismatch.post(&tool(1, "hello")).await.status,
            if strict { 400 } else { 200 },
            "{version}"
        );
        for unknown in ["1999-01-01", "nonsense"] {
            let unknown = Client {
                version: unknown.into(),
                ..client.clone()
            };
            assert_eq!(
                unknown.post(&tool(1, "hello")).await.status,
                400,
                "{version}"
            );
        }
        let headers = format!("{POST_HEADERS}Mcp-Session-Id: {}\r\n", client.id);
        let absent = send(
            replica.address,
            &http("POST", "/mcp", &headers, &tool(1, "hello")),
        )
        .await;
        assert_eq!(absent.status, 200, "{version}");
    }
}

#[tokio::test]
async fn both_media_types_must_be_accepted() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let head = format!(
        "Content-Type: application/json\r\nMcp-Session-Id: {}\r\n",
        client.id
    );
    for (accept, status) in [
        ("application/json", 406),
        ("text/event-stream", 406),
        ("text/event-stream;q=0.9, application/json", 200),
        ("*/*", 200),
    ] {
        let headers = format!("{head}Accept: {accept}\r\n");
        let answer = send(
            replica.address,
            &http("POST", "/mcp", &headers, &tool(1, "hello")),
        )
        .await;
        assert_eq!(answer.status, status, "{accept}");
    }
    let get = format!(
        "Accept: application/json\r\nMcp-Session-Id: {}\r\n",
        client.id
    );
    assert_eq!(
        send(replica.address, &http("GET", "/mcp", &get, ""))
            .await
            .status,
        406
    );
}

#[tokio::test]
async fn an_ended_session_stays_ended_and_its_calls_are_cancelled() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let other = Client::open(replica.address, "2025-11-25").await;
    let mut changes = client.get(None).await;
    let mut hanging = client.stream(&tool(1, "wait")).await;
    assert_eq!(
        hanging.message().await.json()["method"],
        "notifications/progress"
    );
    let silent = tokio::spawn({
        let client = client.clone();
        async move { client.post(&tool(2, "hang")).await.status }
    });
    eventually("it hangs", || replica.seen.started.load(SeqCst) == 2).await;
    assert_eq!(client.delete().await, 204);
    assert_eq!(silent.await.unwrap(), 404);
    assert_eq!(
        replica.seen.dropped.load(SeqCst),
        1,
        "without a grace period"
    );
    assert_eq!(client.post(&tool(1, "hello")).await.status, 404);
    assert_eq!(client.delete().await, 404);
    assert_eq!(client.get(None).await.status, 404);
    assert_eq!(changes.rest().await, [json!(null); 0]);
    assert_eq!(
        hanging.rest().await,
        [json!(null); 0],
        "calls in flight have ended too"
    );
    assert_eq!(other.call("hello").await, "hello nobody");
}

#[tokio::test]
async fn a_session_expires() {
    let replica = Replica::start(options().session_ttl(Duration::from_secs(2))).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    assert_eq!(client.call("hello").await, "hello nobody");
    let mut changes = client.get(None).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(client.post(&tool(1, "hello")).await.status, 404);
    assert_eq!(changes.rest().await, [json!(null); 0]);
}

#[tokio::test]
async fn a_session_belongs_to_the_principal_that_opened_it() {
    let replica = Replica::start(options()).await;
    let alice = Client::open_as(replica.address, "2025-11-25", "x-user: alice\r\n").await;
    assert_eq!(alice.call("hello").await, "hello alice");
    for other in ["x-user: bob\r\n", ""] {
        let thief = Client {
            headers: other.into(),
            ..alice.clone()
        };
        assert_eq!(thief.post(&tool(1, "hello")).await.status, 404, "{other}");
        assert_eq!(thief.get(None).await.status, 404);
        assert_eq!(thief.delete().await, 404);
    }
    let nobody = Client::open(replica.address, "2025-11-25").await;
    assert_eq!(
        Client {
            headers: "x-user: bob\r\n".into(),
            ..nobody
        }
        .post(&tool(1, "hello"))
        .await
        .status,
        404
    );
    assert_eq!(alice.call("hello").await, "hello alice");
}

#[tokio::test]
async fn messages_without_an_answer_are_accepted_and_malformed_ones_refused() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    for body in [
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 77}}),
        json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}),
        json!({"jsonrpc": "2.0", "id": "q-0", "result": {}}),
        json!({"jsonrpc": "2.0", "id": 3, "error": {"code": -1, "message": "no"}}),
    ] {
        let answer = client.post(&body.to_string()).await;
        assert_eq!((answer.status, answer.body.as_str()), (202, ""), "{body}");
    }
    for (body, code) in [
        ("{", -32700),
        (r#"{"id":7,"method":"x"}"#, -32600),
        ("[]", -32600),
    ] {
        let answer = client.post(body).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (400, &json!(code)),
            "{body}"
        );
    }
    let unknown = client.post(&request(5, "no/such", json!({}))).await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (200, &json!(-32601))
    );
    let ping = client.post(&request(6, "ping", json!({}))).await;
    assert_eq!(
        ping.json(),
        json!({"jsonrpc": "2.0", "id": 6, "result": {}})
    );
}

#[tokio::test]
async fn a_failed_initialize_opens_no_session() {
    let replica = Replica::start(options()).await;
    let answer = send(
        replica.address,
        &http(
            "POST",
            "/mcp",
            POST_HEADERS,
            &request(1, "initialize", json!({})),
        ),
    )
    .await;
    assert_eq!(answer.header("mcp-session-id"), None);
    assert_eq!(answer.json()["error"]["code"], -32602);
    let elicitation = json!({"form": {"x": "y".repeat(8000)}});
    let large = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": elicitation},
        "clientInfo": {"name": "old", "version": "1"}});
    let answer = send(
        replica.address,
        &http(
            "POST",
            "/mcp",
            POST_HEADERS,
            &request(1, "initialize", large),
        ),
    )
    .await;
    assert!(
        answer.status == 400
            || answer
                .header("mcp-session-id")
                .is_some_and(|id| id.len() <= 4096),
        "{answer:?}"
    );
    let verbose = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "old", "version": "1", "description": "x".repeat(8000)}});
    let answer = send(
        replica.address,
        &http(
            "POST",
            "/mcp",
            POST_HEADERS,
            &request(1, "initialize", verbose),
        ),
    )
    .await;
    assert!(answer.header("mcp-session-id").unwrap().len() <= 4096);
}

#[tokio::test]
async fn only_2025_03_26_has_batches() {
    let replica = Replica::start(options()).await;
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/x"});
    let batch = format!(
        "[{},{notification},{},7,{}]",
        tool(1, "hello"),
        tool(2, "slow"),
        request(3, "initialize", json!({}))
    );
    let batch = batch.replace(
        ",7,",
        r#",{"jsonrpc":"2.0","id":9,"method":"x","params":[]},"#,
    );
    for version in ["2025-11-25", "2025-06-18", "2024-11-05"] {
        let client = Client::open(replica.address, version).await;
        assert_eq!(client.post(&batch).await.status, 400, "{version}");
    }
    let client = Client::open(replica.address, "2025-03-26").await;
    let answer = client.post(&batch).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut answers = answer.json().as_array().unwrap().clone();
    answers.sort_by_key(|answer| answer["id"].as_i64());
    let ids: Vec<_> = answers
        .iter()
        .map(|answer| answer["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [1, 2, 3, 9]);
    assert_eq!(answers[1]["result"]["content"][0]["text"], "slow");
    assert_eq!(answers[2]["error"]["code"], -32600);
    assert_eq!(
        client
            .post(&format!("[{notification},{notification}]"))
            .await
            .status,
        202
    );
    client.log_level("error").await;
    // With other messages in between, the answers are sent one by one.
    let streamed = client
        .post(&format!("[{},{}]", tool(1, "hello"), tool(2, "flood")))
        .await;
    assert_eq!(streamed.header("content-type"), Some("text/event-stream"));
    assert!(streamed.body.contains("hello nobody") && streamed.body.contains("flooded"));
}

// spec: http-headers-49
#[tokio::test]
async fn cors_allows_the_headers_of_sessions() {
    let replica = Replica::start(options()).await;
    let headers = "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: POST\r\n";
    let preflight = send(replica.address, &http("OPTIONS", "/mcp", headers, "")).await;
    let allowed = preflight
        .header("access-control-allow-headers")
        .unwrap()
        .to_owned();
    for name in [
        "mcp-session-id",
        "last-event-id",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "content-type",
        "accept",
    ] {
        assert!(
            allowed.split(", ").any(|allowed| allowed == name),
            "{name}: {allowed}"
        );
    }
    let methods = preflight.header("access-control-allow-methods").unwrap();
    assert_eq!(methods, "GET, POST, DELETE, OPTIONS");
    let headers = format!("{POST_HEADERS}Origin: http://localhost:3000\r\n");
    let opened = send(
        replica.address,
        &http("POST", "/mcp", &headers, &initialize("2025-11-25")),
    )
    .await;
    assert!(
        opened
            .header("access-control-expose-headers")
            .unwrap()
            .contains("mcp-session-id")
    );
    let headers = format!("{POST_HEADERS}Origin: http://evil.example\r\n");
    assert_eq!(
        send(
            replica.address,
            &http("POST", "/mcp", &headers, &initialize("2025-11-25"))
        )
        .await
        .status,
        403
    );
}

#[tokio::test]
async fn evicted_sessions_are_restored_from_their_ids() {
    let replica = Replica::start(options().max_sessions(2)).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::open(replica.address, "2025-11-25").await);
    }
    for client in clients.iter().chain(&clients) {
        assert_eq!(client.call("hello").await, "hello nobody");
    }
    // Sessions in use are not evicted; when all are in use, a new one is refused.
    let _streams = (clients[0].get(None).await, clients[1].get(None).await);
    let refused = clients[2].post(&tool(1, "hello")).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(clients[0].call("hello").await, "hello nobody");
}
