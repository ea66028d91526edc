//! The HTTP server on the wire.

mod common;

use carryall_proto::Principal;
use carryall_testkit::LogCollector;
use carryall_transport::http::{Endpoint, HttpServer, OriginPolicy};
use common::{
    HEADERS, Seen, Tools, eventually, http, post_tool, read_answer, send, serve, tool_call, within,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

// spec: http-security-01, http-send-08, base-jsonrpc-06
#[tokio::test]
async fn a_call_is_answered_with_one_json_object() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let answer = send(address, &post_tool("hello")).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json"))
    );
    assert_eq!(
        answer.json(),
        serde_json::json!({"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","text":"hello"}})
    );
}

#[tokio::test]
async fn large_requests_and_responses_arrive_whole() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let answer = send(address, &post_tool("large")).await;
    assert_eq!(
        answer.json()["result"]["text"].as_str().unwrap().len(),
        300_000
    );
    let answer = send(address, &post_tool("large-stream")).await;
    assert_eq!(
        answer.events()[0]["result"]["text"].as_str().unwrap().len(),
        300_000
    );
    let body = tool_call("1", "params").replace(
        "\"name\"",
        &format!("\"pad\":\"{}\",\"name\"", "y".repeat(2_000_000)),
    );
    let answer = send(
        address,
        &http("POST", &format!("{HEADERS}Mcp-Name: params\r\n"), &body),
    )
    .await;
    assert_eq!(
        answer.json()["result"]["pad"].as_str().unwrap().len(),
        2_000_000
    );
}

// spec: http-receive-01, http-receive-04, http-receive-06, http-send-08
#[tokio::test]
async fn a_reply_with_notifications_is_an_event_stream_that_ends_with_the_response() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let answer = send(address, &post_tool("stream")).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/event-stream"))
    );
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let events = answer.events();
    assert_eq!(events.len(), 3);
    assert_eq!(
        (
            &events[0]["params"]["progress"],
            &events[1]["params"]["progress"]
        ),
        (&1.into(), &2.into())
    );
    assert_eq!(events[2]["result"]["text"], "streamed");
}

// spec: http-receive-04, progress-11
#[tokio::test]
async fn nothing_is_sent_after_the_response() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let events = send(address, &post_tool("after-response")).await.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["result"]["text"], "last");
}

#[tokio::test]
async fn line_breaks_in_a_result_are_not_sent_in_an_event() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let events = send(address, &post_tool("pretty-stream")).await.events();
    assert_eq!(events[0]["result"]["resultType"], "complete");
}

// spec: http-receive-07
#[tokio::test]
async fn a_silent_call_becomes_a_stream_with_comments() {
    let endpoint = Endpoint::new(Tools::default())
        .sse_after(Duration::from_millis(30))
        .keep_alive(Duration::from_millis(50));
    let address = serve(endpoint).await;
    let answer = send(address, &post_tool("slow")).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.body.starts_with(":\n\n:\n\n"), "{:?}", answer.body);
    assert_eq!(answer.events()[0]["result"]["text"], "slow");
}

// spec: http-send-08
#[tokio::test]
async fn a_call_that_is_faster_than_the_delay_is_plain_json() {
    let address = serve(Endpoint::new(Tools::default()).sse_after(Duration::from_secs(30))).await;
    let answer = send(address, &post_tool("slow")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

// spec: http-receive-10, http-receive-11, cancellation-04, cancellation-13
#[tokio::test]
async fn a_client_that_disconnects_cancels_its_call() {
    // Before the head of the response, before its first event, and in the middle of a stream.
    for (tool, delay) in [("hang", 5000), ("hang", 1), ("listen", 5000)] {
        let seen = Arc::new(Seen::default());
        let endpoint =
            Endpoint::new(Tools(Arc::clone(&seen))).sse_after(Duration::from_millis(delay));
        let address = serve(endpoint).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(post_tool(tool).as_bytes()).await.unwrap();
        eventually("the call starts", || seen.started() == 1).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(seen.dropped(), 0);
        drop(stream);
        eventually("the call is dropped", || seen.dropped() == 1).await;
    }
}

async fn with_headers(
    address: std::net::SocketAddr,
    method: &str,
    headers: &str,
) -> common::Answer {
    let headers = format!("{HEADERS}Mcp-Name: a\r\n{headers}");
    send(address, &http(method, &headers, &tool_call("1", "a"))).await
}

// spec: http-security-02, http-security-03, http-security-04
#[tokio::test]
async fn pages_of_other_origins_are_rejected() {
    let address = serve(Endpoint::new(Tools::default())).await;
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost.evil.example",
        "https://localhost@evil.example",
    ] {
        for method in ["POST", "OPTIONS", "GET"] {
            let answer = with_headers(address, method, &format!("Origin: {origin}\r\n")).await;
            assert_eq!(answer.status, 403, "{method} {origin}");
            assert!(answer.json().get("id").is_none());
            assert!(
                answer.json()["error"]["message"]
                    .as_str()
                    .unwrap()
                    .contains("Origin")
            );
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    let twice = "Origin: http://localhost\r\nOrigin: http://evil.example\r\n";
    assert_eq!(with_headers(address, "POST", twice).await.status, 403);
    for origin in [
        "http://localhost:6274",
        "http://127.0.0.1",
        "https://[::1]:5",
    ] {
        let answer = with_headers(address, "POST", &format!("Origin: {origin}\r\n")).await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (200, Some(origin))
        );
        assert_eq!(answer.header("vary"), Some("origin"));
    }
}

// spec: http-security-02
#[tokio::test]
async fn a_rebound_name_is_rejected() {
    let address = serve(Endpoint::new(Tools::default()).allow_host("mcp.example")).await;
    // After DNS rebinding, the page's origin and the host are the same.
    let rebound = "Host: evil.example\r\nOrigin: http://evil.example\r\n";
    for headers in [
        rebound,
        "Host: evil.example\r\n",
        "Host: localhost.evil.example\r\n",
    ] {
        assert_eq!(
            with_headers(address, "POST", headers).await.status,
            403,
            "{headers}"
        );
    }
    for headers in [
        "Host: mcp.example\r\nOrigin: https://mcp.example\r\n",
        "Host: MCP.example:81\r\n",
        "Host: [::1]:1\r\n",
    ] {
        assert_eq!(
            with_headers(address, "POST", headers).await.status,
            200,
            "{headers}"
        );
    }
    assert_eq!(
        with_headers(address, "POST", "Host: localhost\r\nHost: evil.example\r\n")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn with_any_host_only_origins_allowed_by_name_pass() {
    let endpoint = Endpoint::new(Tools::default())
        .hosts(carryall_transport::http::HostPolicy::any())
        .allow_origin("https://app.example");
    let address = serve(endpoint).await;
    let rebound = "Host: evil.example\r\nOrigin: http://evil.example\r\n";
    assert_eq!(with_headers(address, "POST", rebound).await.status, 403);
    let allowed = "Host: whatever.example\r\nOrigin: https://app.example\r\n";
    assert_eq!(with_headers(address, "POST", allowed).await.status, 200);
    let address = serve(Endpoint::new(Tools::default()).origins(OriginPolicy::any())).await;
    assert_eq!(
        with_headers(address, "POST", "Origin: https://any.example\r\n")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_preflight_allows_every_header_that_a_call_needs() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let headers = "Origin: http://localhost:1\r\nAccess-Control-Request-Method: POST\r\n\
        Access-Control-Request-Headers: content-type, Mcp-Param-Region, mcp-param-b, x-other\r\n";
    let answer = send(address, &http("OPTIONS", headers, "")).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:1")
    );
    assert!(
        answer
            .header("access-control-allow-methods")
            .unwrap()
            .contains("POST")
    );
    let allowed: Vec<_> = answer
        .header("access-control-allow-headers")
        .unwrap()
        .split(", ")
        .collect();
    for name in [
        "content-type",
        "accept",
        "authorization",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "last-event-id",
        "mcp-param-region",
        "mcp-param-b",
    ] {
        assert!(allowed.contains(&name), "{name}");
    }
    assert!(!allowed.contains(&"x-other"));
    let answer = with_headers(address, "POST", "Origin: http://localhost:1\r\n").await;
    assert!(
        answer
            .header("access-control-expose-headers")
            .unwrap()
            .contains("www-authenticate")
    );
}

// spec: http-headers-48, http-headers-51
#[tokio::test]
async fn other_methods_are_not_allowed() {
    let address = serve(Endpoint::new(Tools::default())).await;
    for method in ["GET", "DELETE", "PUT", "PATCH"] {
        let answer = send(address, &http(method, "Accept: text/event-stream\r\n", "")).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("POST, OPTIONS")),
            "{method}"
        );
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"HEAD /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

// spec: http-headers-49, http-headers-50
#[tokio::test]
async fn session_headers_of_earlier_revisions_are_ignored() {
    let address = serve(Endpoint::new(Tools::default())).await;
    for tool in ["a", "stream"] {
        let headers =
            format!("{HEADERS}Mcp-Name: {tool}\r\nMcp-Session-Id: abc\r\nLast-Event-ID: 7\r\n");
        let answer = send(address, &http("POST", &headers, &tool_call("1", tool))).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.head.to_ascii_lowercase().contains("mcp-session-id"));
        assert!(
            !answer.body.contains("\nid:") && !answer.body.starts_with("id:"),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn other_media_types_are_rejected() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let post = async |types: &str| {
        let headers = format!(
            "{types}MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: a\r\n"
        );
        send(address, &http("POST", &headers, &tool_call("1", "a")))
            .await
            .status
    };
    assert_eq!(post("").await, 415);
    assert_eq!(post("Content-Type: text/plain\r\n").await, 415);
    assert_eq!(post("Content-Type: application/json-seq\r\n").await, 415);
    assert_eq!(
        post("Content-Type: Application/JSON; charset=utf-8\r\n").await,
        200
    );
    assert_eq!(
        post("Content-Type: application/json\r\nAccept: text/html, image/png\r\n").await,
        406
    );
    assert_eq!(
        post("Content-Type: application/json\r\nAccept: text/event-stream;q=0.9\r\n").await,
        200
    );
    assert_eq!(
        post("Content-Type: application/json\r\nAccept: */*\r\n").await,
        200
    );
}

// spec: http-send-04, http-send-05, base-jsonrpc-04, base-jsonrpc-14
#[tokio::test]
async fn batches_responses_and_null_ids_are_rejected() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let one = tool_call("1", "a");
    for (body, code) in [
        (format!("[{one},{one}]"), -32600),
        ("[]".into(), -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.into(), -32600),
        (tool_call("null", "a"), -32600),
        ("{".into(), -32700),
        (String::new(), -32700),
    ] {
        let answer = send(
            address,
            &http("POST", &format!("{HEADERS}Mcp-Name: a\r\n"), &body),
        )
        .await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_i64()),
            (400, Some(code)),
            "{body}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

// spec: http-send-06, base-jsonrpc-27
#[tokio::test]
async fn a_notification_is_accepted_without_a_body() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let answer = send(
        address,
        &http("POST", "Content-Type: application/json\r\n", body),
    )
    .await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
}

// spec: http-send-07
#[tokio::test]
async fn a_malformed_notification_is_rejected_without_an_id() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let body = r#"{"jsonrpc":"1.0","method":"notifications/cancelled"}"#;
    let answer = send(
        address,
        &http("POST", "Content-Type: application/json\r\n", body),
    )
    .await;
    assert_eq!(answer.status, 400);
    assert!(answer.json().get("id").is_none());
}

// spec: http-headers-05
#[tokio::test]
async fn an_unknown_method_is_not_found_in_status_and_error() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let answer = send(address, &post_tool("unknown")).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_i64()),
        (404, Some(-32601))
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

// spec: http-headers-03, http-headers-07, http-headers-36, http-headers-41, http-headers-43
#[tokio::test]
async fn a_repeated_or_wrong_mirrored_header_is_a_mismatch() {
    let address = serve(Endpoint::new(Tools::default())).await;
    for headers in [
        format!("{HEADERS}Mcp-Method: tools/list\r\nMcp-Name: a\r\n"),
        format!("{HEADERS}Mcp-Name: a\r\nMcp-Name: a\r\n"),
        format!("{HEADERS}Mcp-Name: b\r\n"),
        HEADERS.to_owned(),
        "Content-Type: application/json\r\nMcp-Method: tools/call\r\nMcp-Name: a\r\n".to_owned(),
        HEADERS.replace("2026-07-28", "2025-11-25") + "Mcp-Name: a\r\n",
    ] {
        let answer = send(address, &http("POST", &headers, &tool_call("1", "a"))).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_i64()),
            (400, Some(-32020)),
            "{headers}"
        );
        assert_eq!(answer.json()["id"], 1);
    }
}

#[tokio::test]
async fn other_paths_are_not_found_and_the_response_names_the_endpoint() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let answer = send(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("/mcp"), "{}", answer.body);
}

#[tokio::test]
async fn a_failing_or_panicking_service_fails_one_call_and_leaks_nothing() {
    let address = serve(Endpoint::new(Tools::default())).await;
    for tool in ["fail", "panic"] {
        let answer = send(address, &post_tool(tool)).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_i64()),
            (200, Some(-32603))
        );
        assert!(!answer.body.contains("secret"), "{}", answer.body);
    }
    let truncated = send(address, &post_tool("truncated")).await;
    assert_eq!(truncated.events().len(), 1, "no response is made up");
}

#[tokio::test]
async fn the_principal_reaches_the_service() {
    use tower_service::Service as _;
    let mut endpoint = Endpoint::new(Tools::default());
    let principal = Principal {
        issuer: "i".into(),
        subject: "alice".into(),
        client: None,
        scopes: Vec::new(),
    };
    let mut request = http::Request::post("/")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "who")
        .body(axum::body::Body::from(tool_call("1", "who")))
        .unwrap();
    request.extensions_mut().insert(Arc::new(principal));
    let answer = endpoint.call(request).await.unwrap();
    let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 10_000)
        .await
        .unwrap();
    assert!(std::str::from_utf8(&body).unwrap().contains("alice"));
}

/// Authentication as axum middleware: inserts the principal into the extensions.
#[tokio::test]
async fn a_principal_that_middleware_of_axum_inserts_reaches_the_service() {
    async fn authorize(
        mut request: axum::extract::Request,
        next: axum::middleware::Next,
    ) -> axum::response::Response {
        let subject = request.headers()["authorization"]
            .to_str()
            .unwrap()
            .replace("Bearer ", "");
        let principal = Principal {
            issuer: "i".into(),
            subject,
            client: None,
            scopes: Vec::new(),
        };
        if request.headers().contains_key("x-shared") {
            request.extensions_mut().insert(Arc::new(principal));
        } else {
            request.extensions_mut().insert(principal);
        }
        next.run(request).await
    }
    let app = axum::Router::new()
        .route_service("/mcp", Endpoint::new(Tools::default()))
        .layer(axum::middleware::from_fn(authorize));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    for more in ["", "X-Shared: yes\r\n"] {
        let headers = format!("\r\nAuthorization: Bearer alice\r\n{more}Host:");
        let request = post_tool("who").replacen("\r\nHost:", &headers, 1);
        assert!(request.contains("alice"), "{request}");
        let answer = send(address, &request).await;
        assert!(answer.body.contains("alice"), "{}", answer.body);
    }
}

#[tokio::test]
async fn it_nests_in_axum() {
    let app = axum::Router::new().route_service("/deep/mcp", Endpoint::new(Tools::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let answer = send(address, &post_tool("hello").replace("/mcp", "/deep/mcp")).await;
    assert_eq!(answer.json()["result"]["text"], "hello");
    let answer = send(address, &post_tool("stream").replace("/mcp", "/deep/mcp")).await;
    assert_eq!(answer.events().len(), 3);
}

#[tokio::test]
async fn connections_are_kept_and_pipelined() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(post_tool("a").as_bytes()).await.unwrap();
        assert_eq!(within(read_answer(&mut stream)).await.status, 200);
    }
}

#[tokio::test]
async fn shutdown_finishes_calls_in_flight_and_cancels_what_does_not_end() {
    let seen = Arc::new(Seen::default());
    let server = HttpServer::bind("127.0.0.1:0")
        .await
        .unwrap()
        .drain_timeout(Duration::from_millis(900));
    let address = server.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served =
        tokio::spawn(server.run_until(Tools(Arc::clone(&seen)), async { _ = stopped.await }));
    let slow = tokio::spawn(async move { send(address, &post_tool("slow")).await });
    let mut hang = TcpStream::connect(address).await.unwrap();
    hang.write_all(post_tool("hang").as_bytes()).await.unwrap();
    let idle = TcpStream::connect(address).await.unwrap();
    eventually("both calls start", || seen.started() == 2).await;
    stop.send(()).unwrap();
    assert_eq!(within(slow).await.unwrap().json()["result"]["text"], "slow");
    within(served).await.unwrap().unwrap();
    assert_eq!(seen.dropped(), 2);
    assert!(
        TcpStream::connect(address).await.is_err(),
        "the listener is closed"
    );
    drop(idle);
}

#[tokio::test]
async fn a_rejected_name_is_reported_to_the_client_and_logged_with_the_remedy() {
    let (log, _guard) = LogCollector::start();
    let address = serve(Endpoint::new(Tools::default()).allow_host("mcp.example")).await;
    let refused = with_headers(address, "POST", "Host: other.example:81\r\n").await;
    let message = refused.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(refused.status, 403);
    for part in [
        "Host header",
        "\"other.example:81\"",
        "allow_host",
        "--allow-host",
        "credentials do not matter",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let [event] = &log.containing("other.example:81")[..] else {
        panic!("{:?}", log.lines())
    };
    assert!(
        event.starts_with("WARN") && event.contains("--allow-host"),
        "{event}"
    );
    for _ in 0..20 {
        with_headers(address, "POST", "Host: evil.example\r\n").await;
    }
    assert!(
        log.containing("evil.example").is_empty(),
        "events are rate-limited"
    );

    let address = serve(Endpoint::new(Tools::default())).await;
    let hostile = format!(
        "Origin: https://evil.example/{}\u{9b}31m\r\n",
        "x".repeat(20_000)
    );
    let refused = with_headers(address, "POST", &hostile).await;
    let message = refused.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    for part in [
        "Origin header",
        "https://evil.example/xxx",
        "allow_origin",
        "--allow-origin",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(message.len() < 600, "{}", message.len());
    let [event] = &log.containing("Origin")[..] else {
        panic!("{:?}", log.lines())
    };
    assert!(
        event.contains("--allow-origin") && event.len() < 1000,
        "{event}"
    );
    assert!(event.chars().all(carryall_proto::is_printable), "{event}");
}

#[tokio::test]
async fn a_compressed_body_is_rejected_with_the_supported_coding() {
    let address = serve(Endpoint::new(Tools::default())).await;
    for coding in [
        "gzip",
        "br",
        "GZIP",
        "x-new",
        "identity, gzip",
        "gzip\r\nContent-Encoding: identity",
    ] {
        let answer =
            with_headers(address, "POST", &format!("Content-Encoding: {coding}\r\n")).await;
        assert_eq!(
            (answer.status, answer.header("accept-encoding")),
            (415, Some("identity")),
            "{coding}"
        );
        assert!(
            answer.json()["error"]["message"]
                .as_str()
                .unwrap()
                .contains("Content-Encoding"),
            "{answer:?}"
        );
    }
    for coding in ["identity", "Identity", ""] {
        let answer =
            with_headers(address, "POST", &format!("Content-Encoding: {coding}\r\n")).await;
        assert_eq!(answer.status, 200, "{coding}");
    }
}

#[tokio::test]
async fn connections_of_one_address_are_bounded() {
    let server = HttpServer::bind("127.0.0.1:0")
        .await
        .unwrap()
        .max_connections_per_address(2);
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run_endpoint(Endpoint::new(Tools::default()), std::future::pending()));
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(post_tool("a").as_bytes()).await.unwrap();
        assert_eq!(within(read_answer(&mut stream)).await.status, 200);
        open.push(stream);
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(
        within(third.read(&mut [0]))
            .await
            .is_ok_and(|count| count == 0),
        "closed at once"
    );
    open[0].write_all(post_tool("a").as_bytes()).await.unwrap();
    assert_eq!(
        within(read_answer(&mut open[0])).await.status,
        200,
        "open connections stay open"
    );
}

#[tokio::test]
async fn a_server_at_its_connection_limit_can_be_stopped() {
    let server = HttpServer::bind("127.0.0.1:0")
        .await
        .unwrap()
        .max_connections(1);
    let address = server.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(
        server.run_endpoint(Endpoint::new(Tools::default()), async { _ = stopped.await }),
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(post_tool("a").as_bytes()).await.unwrap();
    assert_eq!(within(read_answer(&mut stream)).await.status, 200);
    let _waiting = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    within(served).await.unwrap().unwrap();
}
