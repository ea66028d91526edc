//! The HTTP client, with our server and with canned responses.

mod common;

use carryall_proto::{Call, CallError, Message, Notification, Outcome, Params, Reply};
use carryall_transport::http::{Endpoint, HttpClient, HttpServer};
use carryall_types::{Method, RawJson};
use common::{Seen, Tools, call, eventually, serve, within};
use futures_util::StreamExt as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tower_service::Service as _;

fn client(address: SocketAddr) -> HttpClient {
    HttpClient::new(&format!("http://{address}/mcp")).unwrap()
}

async fn ask(client: &HttpClient, call: Call) -> Result<Reply, CallError> {
    within(client.clone().call(call)).await
}

fn text(reply: Reply) -> String {
    let Reply::Once(response) = reply else {
        panic!("{reply:?}")
    };
    let Outcome::Result(result) = response.outcome else {
        panic!("{response:?}")
    };
    result.decode::<serde_json::Value>().unwrap()["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Answers the first request of each connection with fixed bytes, and records the requests.
async fn canned(answers: Vec<String>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 64 * 1024];
            let count = stream.read(&mut request).await.unwrap();
            kept.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request[..count]).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, requests)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

const DONE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","text":"ok"}}"#;

async fn from(answer: String) -> Result<Reply, CallError> {
    let (address, _) = canned(vec![answer]).await;
    ask(&client(address), call("1", "a")).await
}

// spec: http-send-09
#[tokio::test]
async fn json_and_event_stream_responses_are_read() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let client = client(address);
    assert_eq!(
        text(ask(&client, call("1", "hello")).await.unwrap()),
        "hello"
    );
    assert_eq!(
        text(ask(&client, call("\"s\"", "large")).await.unwrap()).len(),
        300_000
    );
    let Reply::Stream(stream) = ask(&client, call("2", "stream")).await.unwrap() else {
        panic!("not a stream")
    };
    let messages: Vec<_> = within(stream.collect::<Vec<_>>())
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(messages.len(), 3);
    assert!(
        matches!(&messages[0], Message::Notification(Notification { method, .. }) if method == "notifications/progress")
    );
    assert!(matches!(&messages[2], Message::Response(response) if response.id == 2.into()));
}

// spec: http-send-01, http-send-02, http-send-03, http-send-04, http-headers-01, http-headers-02
// spec: http-headers-08, http-headers-09, http-headers-10
#[tokio::test]
async fn each_call_is_one_post_with_its_headers() {
    let (address, requests) = canned(vec![answer("200 OK", "application/json", DONE)]).await;
    let mut call = call("1", "caf\u{e9}");
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        ("mcp-param-region", "eu"),
        ("traceparent", "00-a"),
        ("authorization", "Bearer of-somebody"),
        ("cookie", "c"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    *call.headers_mut() = Some(headers);
    let builder = HttpClient::builder(&format!("http://{address}/mcp?x=1"))
        .unwrap()
        .bearer("mine")
        .unwrap();
    ask(&builder.build().unwrap(), call).await.unwrap();
    let request = requests.lock().unwrap()[0].to_ascii_lowercase();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("post /mcp?x=1 http/1.1\r\n"), "{head}");
    for line in [
        "content-type: application/json",
        "accept: application/json, text/event-stream",
        "accept-encoding: identity",
        "mcp-protocol-version: 2026-07-28",
        "mcp-method: tools/call",
        "mcp-name: =?base64?y2fmw6k=?=",
        "mcp-param-region: eu",
        "traceparent: 00-a",
        "authorization: bearer mine",
        &format!("host: {address}"),
    ] {
        assert!(
            head.lines().any(|seen| seen == line),
            "{line} is not in {head}"
        );
    }
    assert!(
        !head.contains("cookie") && !head.contains("of-somebody"),
        "{head}"
    );
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(body).unwrap()["jsonrpc"],
        "2.0"
    );
}

// spec: ext-tasks-36
#[tokio::test]
async fn a_request_about_a_task_is_routed_by_its_name() {
    let done = || answer("200 OK", "application/json", DONE);
    let (address, requests) = canned(vec![done(), done(), done()]).await;
    let client = client(address);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let params = Params::parse(RawJson::parse(r#"{"taskId":"t-1"}"#).unwrap()).unwrap();
        let asked = call("1", "a");
        let asked = asked.derive(asked.id().clone(), Method::from(method), params);
        drop(ask(&client, asked).await);
        let request = requests.lock().unwrap().last().unwrap().clone();
        let head = request
            .split("\r\n\r\n")
            .next()
            .unwrap()
            .to_ascii_lowercase();
        assert!(head.lines().any(|line| line == "mcp-name: t-1"), "{head}");
        assert!(
            head.lines()
                .any(|line| line == format!("mcp-method: {method}")),
            "{head}"
        );
    }
}

#[tokio::test]
async fn authorization_can_change() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let client = client(address);
    assert_eq!(
        text(ask(&client, call("1", "authorization")).await.unwrap()),
        "none"
    );
    client.set_authorization(Some("Bearer new".parse().unwrap()));
    assert_eq!(
        text(ask(&client, call("1", "authorization")).await.unwrap()),
        "Bearer new"
    );
}

// spec: http-receive-08
#[tokio::test]
async fn comments_and_priming_events_are_ignored() {
    let body = format!(
        ": hello\n\n:\n\nid: 1\ndata:\n\nevent: endpoint\ndata: /x\n\nevent: message\ndata: {DONE}\n\n"
    );
    let Reply::Stream(stream) = from(answer("200 OK", "text/event-stream", &body))
        .await
        .unwrap()
    else {
        panic!()
    };
    let messages: Vec<_> = within(stream.collect::<Vec<_>>()).await;
    assert!(
        matches!(&messages[..], [Ok(Message::Response(_))]),
        "{messages:?}"
    );
}

#[tokio::test]
async fn a_stream_that_ends_early_is_an_error() {
    for body in [
        "",
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n",
        "data: {\"jsonr",
    ] {
        let Reply::Stream(stream) = from(answer("200 OK", "text/event-stream", body))
            .await
            .unwrap()
        else {
            panic!()
        };
        let messages: Vec<_> = within(stream.collect::<Vec<_>>()).await;
        assert!(
            matches!(messages.last(), Some(Err(CallError::Broken(_)))),
            "{messages:?}"
        );
    }
}

// spec: base-jsonrpc-02, http-receive-03
#[tokio::test]
async fn messages_that_violate_the_protocol_are_errors() {
    let other = DONE.replace("\"id\":1", "\"id\":2");
    let string = DONE.replace("\"id\":1", "\"id\":\"1\"");
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#;
    for body in [
        &other,
        &string,
        request,
        "{",
        "[]",
        r#"{"jsonrpc":"2.0","method":"notifications/x"}"#,
    ] {
        let error = from(answer("200 OK", "application/json", body))
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::Malformed(_)), "{body} {error:?}");
    }
    for body in [&other, request] {
        let body = format!("data: {body}\n\n");
        let Reply::Stream(stream) = from(answer("200 OK", "text/event-stream", &body))
            .await
            .unwrap()
        else {
            panic!()
        };
        let messages: Vec<_> = within(stream.collect::<Vec<_>>()).await;
        assert!(
            matches!(&messages[..], [Err(CallError::Malformed(_))]),
            "{messages:?}"
        );
    }
    let error = from("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".into())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, CallError::Malformed(why) if why.contains("202")),
        "{error:?}"
    );
}

// spec: base-jsonrpc-25, http-headers-47
#[tokio::test]
async fn an_error_status_with_a_json_rpc_error_is_a_response() {
    for (status, body) in [
        (
            "400 Bad Request",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"m"}}"#,
        ),
        (
            "403 Forbidden",
            r#"{"jsonrpc":"2.0","error":{"code":-32022,"message":"m"}}"#,
        ),
        (
            "400 Bad Request",
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"m"}}"#,
        ),
    ] {
        let Reply::Once(response) = from(answer(status, "application/json", body))
            .await
            .unwrap()
        else {
            panic!()
        };
        assert_eq!(response.id, 1.into());
        assert!(matches!(response.outcome, Outcome::Error(error) if error.code == -32022));
    }
}

#[tokio::test]
async fn denied_access_is_reported_by_status_whatever_the_body() {
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"no token"}}"#;
    for (status, code) in [("401 Unauthorized", 401), ("403 Forbidden", 403)] {
        for (media, body) in [("application/json", error), ("text/plain", "no token")] {
            match from(answer(status, media, body)).await.unwrap_err() {
                CallError::NotMcp { status, body } => {
                    assert_eq!((status, &*body), (code, "no token"))
                }
                error => panic!("{error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_mcp_is_shown() {
    let page = format!("<html>{}", "x".repeat(1000));
    for (status, code) in [
        ("200 OK", 200),
        ("404 Not Found", 404),
        ("502 Bad Gateway", 502),
    ] {
        match from(answer(status, "text/html", &page)).await.unwrap_err() {
            CallError::NotMcp { status, body } => {
                assert_eq!((status, body.chars().count()), (code, 300));
                assert!(body.starts_with("<html>"));
            }
            error => panic!("{error:?}"),
        }
    }
}

// spec: http-headers-edge-04
#[tokio::test]
async fn size_limits_of_the_server_are_reported() {
    let error = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"at most 5"}}"#;
    for (status, body, says) in [
        (
            "413 Payload Too Large",
            error,
            "request of this size: at most 5",
        ),
        ("413 Payload Too Large", "", "request of this size"),
        (
            "431 Request Header Fields Too Large",
            "",
            "headers of this size",
        ),
    ] {
        match from(answer(status, "application/json", body))
            .await
            .unwrap_err()
        {
            CallError::NotMcp { body, .. } => assert!(body.ends_with(says), "{body}"),
            error => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_within_the_origin_only() {
    let redirect = |to: &str| {
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    let (address, requests) = canned(vec![
        redirect("/mcp/"),
        answer("200 OK", "application/json", DONE),
    ])
    .await;
    assert_eq!(
        text(ask(&client(address), call("1", "a")).await.unwrap()),
        "ok"
    );
    assert!(requests.lock().unwrap()[1].starts_with("POST /mcp/ "));
    let error = from(redirect("http://evil.example/mcp")).await.unwrap_err();
    assert!(
        error.to_string().contains("http://evil.example/mcp"),
        "{error}"
    );
    let (address, requests) = canned(vec![redirect("/mcp"); 10]).await;
    assert!(matches!(
        ask(&client(address), call("1", "a")).await.unwrap_err(),
        CallError::NotMcp { status: 307, .. }
    ));
    assert_eq!(requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn responses_are_bounded() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let client = HttpClient::builder(&format!("http://{address}/mcp"))
        .unwrap()
        .max_response(1000)
        .build()
        .unwrap();
    let error = ask(&client, call("1", "large")).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge(1000)), "{error:?}");
    let Reply::Stream(stream) = ask(&client, call("1", "large-stream")).await.unwrap() else {
        panic!()
    };
    let messages: Vec<_> = within(stream.collect::<Vec<_>>()).await;
    assert!(
        matches!(&messages[..], [Err(CallError::TooLarge(1000))]),
        "{messages:?}"
    );
    assert_eq!(
        text(ask(&client, call("1", "small")).await.unwrap()),
        "small"
    );
}

#[tokio::test]
async fn an_unreachable_server_is_named_with_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = ask(&client(address), call("1", "a")).await.unwrap_err();
    assert!(
        error.is_unsent() && error.to_string().contains(&address.to_string()),
        "{error}"
    );
    assert!(
        error.to_string().to_lowercase().contains("refused"),
        "{error}"
    );
    let nowhere = HttpClient::new("http://does-not-exist.invalid/mcp").unwrap();
    let error = ask(&nowhere, call("1", "a")).await.unwrap_err();
    assert!(
        error.is_unsent() && error.to_string().contains("does-not-exist.invalid"),
        "{error}"
    );
}

// spec: cancellation-01, cancellation-04
#[tokio::test]
async fn dropping_a_call_or_its_stream_cancels_it() {
    let seen = Arc::new(Seen::default());
    let address =
        serve(Endpoint::new(Tools(Arc::clone(&seen))).sse_after(Duration::from_millis(10))).await;
    let client = client(address);
    let asked = tokio::time::timeout(
        Duration::from_millis(5),
        client.clone().call(call("1", "hang")),
    );
    drop(asked.await);
    let Reply::Stream(mut stream) = ask(&client, call("2", "listen")).await.unwrap() else {
        panic!()
    };
    assert!(within(stream.next()).await.is_some());
    eventually("the second call runs", || seen.started() >= 1).await;
    drop(stream);
    eventually("all calls are dropped", || seen.dropped() == seen.started()).await;
}

#[tokio::test]
async fn connections_are_kept_after_either_kind_of_response() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let inner = serve(Endpoint::new(Tools::default())).await;
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut upstream = tokio::net::TcpStream::connect(inner).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
            });
        }
    });
    let client = client(address);
    for _ in 0..5 {
        ask(&client, call("1", "a")).await.unwrap();
        let Reply::Stream(stream) = ask(&client, call("1", "stream")).await.unwrap() else {
            panic!()
        };
        assert_eq!(within(stream.collect::<Vec<_>>()).await.len(), 3);
        // The last chunk may arrive in a separate packet.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    let many = (0..8).map(|_| ask(&client, call("1", "slow")));
    futures_util::future::join_all(many)
        .await
        .into_iter()
        .for_each(|reply| assert_eq!(text(reply.unwrap()), "slow"));
    assert_eq!(accepted.load(Ordering::SeqCst), 8);
    for _ in 0..5 {
        ask(&client, call("1", "a")).await.unwrap();
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced() {
    let keep = answer("200 OK", "application/json", DONE).replace("Connection: close\r\n", "");
    let (address, requests) = canned(vec![keep.clone(), keep.clone(), keep]).await;
    let client = client(address);
    for _ in 0..3 {
        assert_eq!(text(ask(&client, call("1", "a")).await.unwrap()), "ok");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn no_call_fails_when_all_kept_connections_were_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrived, closed) = (
        Arc::new(tokio::sync::Barrier::new(4)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (close, closing) = tokio::sync::watch::channel(false);
    let ended = Arc::clone(&closed);
    tokio::spawn(async move {
        for n in 0..5 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (arrived, ended, mut closing) =
                (Arc::clone(&arrived), Arc::clone(&ended), closing.clone());
            tokio::spawn(async move {
                let keep =
                    answer("200 OK", "application/json", DONE).replace("Connection: close\r\n", "");
                assert!(stream.read(&mut [0; 16 * 1024]).await.unwrap() > 0);
                if n < 4 {
                    arrived.wait().await;
                }
                stream.write_all(keep.as_bytes()).await.unwrap();
                if n < 4 {
                    closing.wait_for(|closing| *closing).await.unwrap();
                    // Some servers send a response before they close an idle connection.
                    if n % 2 == 0 {
                        stream
                            .write_all(
                                answer("408 Request Timeout", "text/plain", "idle").as_bytes(),
                            )
                            .await
                            .unwrap();
                    }
                    stream.shutdown().await.unwrap();
                    ended.fetch_add(1, Ordering::SeqCst);
                }
                let _ = stream.read(&mut [0; 16 * 1024]).await;
            });
        }
    });
    let client = client(address);
    let four = (0..4).map(|_| ask(&client, call("1", "a")));
    futures_util::future::join_all(four)
        .await
        .into_iter()
        .for_each(|reply| assert_eq!(text(reply.unwrap()), "ok"));
    close.send_replace(true);
    eventually("all are closed", || closed.load(Ordering::SeqCst) == 4).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(
        text(ask(&client, call("1", "a")).await.unwrap()),
        "ok",
        "a fifth connection is opened"
    );
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again() {
    let (address, requests) = canned(vec![
        String::new(),
        answer("200 OK", "application/json", DONE),
    ])
    .await;
    let error = ask(&client(address), call("1", "a")).await.unwrap_err();
    assert!(matches!(error, CallError::Broken(_)), "{error:?}");
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn http2_works_with_prior_knowledge_on_both_sides() {
    let seen = Arc::new(Seen::default());
    let address = serve(Endpoint::new(Tools(Arc::clone(&seen)))).await;
    let client = HttpClient::builder(&format!("http://{address}/mcp"))
        .unwrap()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let many = (0..20).map(|_| ask(&client, call("1", "slow")));
    futures_util::future::join_all(many)
        .await
        .into_iter()
        .for_each(|reply| assert_eq!(text(reply.unwrap()), "slow"));
    assert_eq!(
        text(ask(&client, call("1", "large")).await.unwrap()).len(),
        300_000
    );
    let Reply::Stream(stream) = ask(&client, call("1", "stream")).await.unwrap() else {
        panic!()
    };
    assert_eq!(within(stream.collect::<Vec<_>>()).await.len(), 3);
    let Reply::Stream(stream) = ask(&client, call("1", "listen")).await.unwrap() else {
        panic!()
    };
    let dropped = seen.dropped();
    drop(stream);
    eventually("the listen is cancelled", || seen.dropped() == dropped + 1).await;
}

#[tokio::test]
async fn connecting_to_a_server_that_never_accepts_times_out() {
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let builder = HttpClient::builder(&format!("http://{address}/mcp")).unwrap();
    let client = builder
        .connect_timeout(Duration::from_nanos(1))
        .build()
        .unwrap();
    assert!(ask(&client, call("1", "a")).await.unwrap_err().is_unsent());
}

#[tokio::test]
async fn a_compressed_response_is_an_error() {
    for (status, coding) in [
        ("200 OK", "gzip"),
        ("200 OK", "identity, br"),
        ("500 Oh", "x\u{e9}"),
    ] {
        let encoded = answer(status, "application/json", DONE).replace(
            "Connection:",
            &format!("Content-Encoding: {coding}\r\nConnection:"),
        );
        let failed = from(encoded).await.unwrap_err();
        let CallError::Malformed(why) = &failed else {
            panic!("{failed:?}")
        };
        assert!(
            why.contains("Content-Encoding") && why.contains(&status[..3]),
            "{why}"
        );
    }
    let plain = answer("200 OK", "application/json", DONE)
        .replace("Connection:", "Content-Encoding: Identity\r\nConnection:");
    assert_eq!(text(from(plain).await.unwrap()), "ok");
    // Raw requests are checked in the same way.
    let encoded = answer("200 OK", "application/json", DONE)
        .replace("Connection:", "Content-Encoding: gzip\r\nConnection:");
    let (address, _) = canned(vec![encoded]).await;
    let request = http::Request::post("/mcp")
        .body(bytes::Bytes::from_static(b"{}"))
        .unwrap();
    let failed = within(client(address).send(request)).await.unwrap_err();
    assert!(
        failed.to_string().contains("Content-Encoding \"gzip\""),
        "{failed}"
    );
}

#[tokio::test]
async fn a_rejected_host_name_is_not_reported_as_missing_credentials() {
    let address = serve(
        Endpoint::new(Tools::default()).hosts(carryall_transport::http::HostPolicy::loopback()),
    )
    .await;
    // A proxy in front of the server passes on the name that the client uses.
    let proxied = proxy_with_host(address, "mcp.example.com").await;
    let failed = ask(&client(proxied), call("1", "a")).await.unwrap_err();
    let CallError::NotMcp { status: 403, body } = &failed else {
        panic!("{failed:?}")
    };
    for part in [
        "host name",
        &proxied.to_string(),
        "mcp.example.com",
        "--allow-host",
        "whatever the credentials",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    // What other servers answer in this case.
    for (status, said) in [
        ("421 Misdirected Request", "Invalid Host header"),
        ("403 Forbidden", "Forbidden: Host header is not allowed"),
        (
            "403 Forbidden",
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Invalid Host: a.example"},"id":null}"#,
        ),
    ] {
        let failed = from(answer(status, "text/plain", said)).await.unwrap_err();
        assert!(
            failed.to_string().contains("rejects the host name"),
            "{said}: {failed}"
        );
    }
    let failed = from(answer(
        "403 Forbidden",
        "text/plain",
        "no such user on this ghost",
    ))
    .await
    .unwrap_err();
    assert!(!failed.to_string().contains("host name"), "{failed}");
}

/// Forwards one connection, with another `Host`.
async fn proxy_with_host(to: SocketAddr, host: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 64 * 1024];
        let count = stream.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..count])
            .replace(&format!("host: {address}"), &format!("host: {host}"));
        let mut server = tokio::net::TcpStream::connect(to).await.unwrap();
        server.write_all(request.as_bytes()).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
    });
    address
}

#[tokio::test]
async fn unread_replies_do_not_block_others_on_an_http2_connection() {
    let address = serve(Endpoint::new(Tools::default())).await;
    let client = HttpClient::builder(&format!("http://{address}/mcp"))
        .unwrap()
        .http2_prior_knowledge();
    let client = client.build().unwrap();
    let mut unread = Vec::new();
    for id in 0..60 {
        let reply = ask(&client, call(&id.to_string(), "large-stream"))
            .await
            .unwrap();
        assert!(matches!(reply, Reply::Stream(_)));
        unread.push(reply);
    }
    // By then their data has arrived, or is blocked by the windows.
    for _ in 0..20 {
        assert_eq!(
            text(ask(&client, call("\"x\"", "large")).await.unwrap()).len(),
            300_000
        );
    }
    let Some(Reply::Stream(mut first)) = unread.into_iter().next() else {
        panic!()
    };
    assert!(
        within(first.next()).await.unwrap().is_ok(),
        "unread replies are still delivered"
    );
}
