//! Replicas without affinity that share sessions over HTTP.

mod serve_http_common;

use carryall_legacy::serve::{HttpBus, LegacyOptions};
use carryall_proto::seal::{Keyring, SealingKey};
use serde_json::{Value, json};
use serve_http_common::bus::text;
use serve_http_common::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

fn urls(replicas: &[std::net::SocketAddr]) -> Vec<String> {
    replicas
        .iter()
        .map(|address| format!("http://{address}/mcp"))
        .collect()
}

fn with_bus(urls: &[String]) -> LegacyOptions {
    let bus = HttpBus::new(urls.iter().map(String::as_str), keyring()).unwrap();
    options().session_bus(Arc::new(bus))
}

/// Replicas that all have the same list of URLs, their own among them.
async fn replicas<const N: usize>() -> [Replica; N] {
    let mut listeners = Vec::new();
    for _ in 0..N {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let addresses: Vec<_> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect();
    let urls = urls(&addresses);
    let started: Vec<_> = listeners
        .into_iter()
        .map(|listener| Replica::start_on(listener, with_bus(&urls)))
        .collect();
    started.try_into().ok().unwrap()
}

#[tokio::test]
async fn a_session_is_served_by_every_replica_with_the_keyring() {
    let (a, b) = (
        Replica::start(options()).await,
        Replica::start(options()).await,
    );
    let client = Client::open_as(a.address, "2025-11-25", "x-user: alice\r\n").await;
    for replica in [&b, &a, &b] {
        assert_eq!(client.at(replica).call("hello").await, "hello alice");
    }
    let stranger =
        Replica::start(options().keyring(Keyring::new(SealingKey::new(1, [8; 32])))).await;
    assert_eq!(
        client.at(&stranger).post(&tool(1, "hello")).await.status,
        404
    );
}

#[tokio::test]
async fn a_server_request_of_one_replica_is_answered_at_another() {
    bus::a_server_request_of_one_replica_is_answered_at_another(&replicas().await).await;
}

#[tokio::test]
async fn settings_apply_on_all_replicas() {
    let [a, b, c] = replicas().await;
    let client = Client::open(a.address, "2025-11-25").await;
    let mut changes = client.at(&b).get(None).await;
    changes.next().await.unwrap();
    let subscribe = |id: u32, method: &str| request(id, method, json!({"uri": "x:first"}));
    assert_eq!(
        client
            .post(&subscribe(1, "resources/subscribe"))
            .await
            .json()["result"],
        json!({})
    );
    client.log_level("info").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    b.server.resource_updated("x:first");
    assert_eq!(changes.message().await.json()["params"]["uri"], "x:first");
    // A replica that knows the session, and one that does not.
    for replica in [&b, &c] {
        let messages = client
            .at(replica)
            .stream(&tool(2, "log"))
            .await
            .rest()
            .await;
        assert_eq!(
            (messages.len(), &messages[0]["params"]["data"]),
            (2, &json!("a log message"))
        );
    }
    let mut at_c = client.at(&c).get(None).await;
    assert_eq!(
        changes.rest().await,
        [json!(null); 0],
        "a message goes to one stream only"
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    c.server.resource_updated("x:first");
    assert_eq!(at_c.message().await.json()["params"]["uri"], "x:first");
    assert_eq!(
        client
            .at(&b)
            .post(&subscribe(3, "resources/unsubscribe"))
            .await
            .status,
        200
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    c.server.resource_updated("x:first");
    assert!(at_c.is_quiet().await);
}

#[tokio::test]
async fn a_request_can_be_cancelled_at_any_replica() {
    bus::a_request_can_be_cancelled_at_any_replica(&replicas().await).await;
}

#[tokio::test]
async fn a_session_ended_at_one_replica_is_ended_on_all() {
    let [a, b, c] = replicas().await;
    let client = Client::open(a.address, "2025-11-25").await;
    assert_eq!(client.at(&b).call("hello").await, "hello nobody");
    let mut changes = client.at(&b).get(None).await;
    changes.next().await.unwrap();
    assert_eq!(client.delete().await, 204);
    assert_eq!(changes.rest().await, [json!(null); 0]);
    for replica in [&a, &b, &c] {
        assert_eq!(client.at(replica).post(&tool(1, "hello")).await.status, 404);
    }
    // A replica that starts later asks the others.
    let late = Replica::start(with_bus(&urls(&[a.address, b.address]))).await;
    assert_eq!(client.at(&late).post(&tool(1, "hello")).await.status, 404);
}

#[tokio::test]
async fn a_stream_can_be_resumed_at_any_replica() {
    bus::a_stream_can_be_resumed_at_any_replica(&replicas().await).await;
}

#[tokio::test]
async fn a_paused_stream_can_be_resumed_at_any_replica() {
    bus::a_paused_stream_can_be_resumed_at_any_replica(&replicas().await).await;
}

#[tokio::test]
async fn a_lost_replica_loses_its_own_calls_only() {
    let [a, b, c] = replicas().await;
    let client = Client::open(a.address, "2025-11-25").await;
    assert_eq!(client.at(&b).call("hello").await, "hello nobody");
    client.at(&b).log_level("info").await;
    let mut stream = client.stream(&tool("lost", "wait")).await;
    let progress = stream.message().await;
    let address = a.kill().await;
    assert_eq!(stream.next().await, None, "the connection broke");
    let lost = client.at(&b).get(progress.id.as_deref()).await.rest().await;
    assert_eq!(
        (&lost[0]["id"], &lost[0]["error"]["code"]),
        (&json!("lost"), &json!(-32603))
    );
    let start = Instant::now();
    for replica in [&b, &c] {
        let messages = client
            .at(replica)
            .stream(&tool(2, "log"))
            .await
            .rest()
            .await;
        assert_eq!(messages[0]["params"]["data"], "a log message");
        let mut asked = client.at(replica).stream(&tool(3, "greet")).await;
        let question = asked.message().await.json();
        let other = if std::ptr::eq(replica, &b) { &c } else { &b };
        assert_eq!(client.at(other).answer(&question, "Ada").await, 202);
        assert_eq!(text(&asked.message().await.json()), "hello \"Ada\"");
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "the lost replica is not waited for: {:?}",
        start.elapsed()
    );
    // It restarts without sessions, and asks the others.
    let listener = TcpListener::bind(address).await.unwrap();
    let again = Replica::start_on(listener, with_bus(&urls(&[address, b.address, c.address])));
    let messages = client.at(&again).stream(&tool(4, "log")).await.rest().await;
    assert_eq!(messages[0]["params"]["data"], "a log message");
}

#[tokio::test]
async fn a_replica_that_times_out_is_not_waited_for_again() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = Replica::start(with_bus(&urls(&[silent.local_addr().unwrap()]))).await;
    let client = Client::open(a.address, "2025-11-25").await;
    let start = Instant::now();
    client.log_level("info").await;
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    let start = Instant::now();
    for _ in 0..5 {
        client.log_level("info").await;
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn forged_messages_between_replicas_are_refused() {
    let [a, b] = replicas().await;
    let client = Client::open(a.address, "2025-11-25").await;
    assert_eq!(client.at(&b).call("hello").await, "hello nobody");
    let name = &client.id[3..39];
    // Bound to an unnamed server and no principal.
    let opened = keyring()
        .open("session", &0_u64.to_be_bytes(), 0, &client.id)
        .unwrap();
    let until = serde_json::from_slice::<Value>(&opened).unwrap()["x"].clone();
    let body =
        json!({"from": "x", "say": {"note": {"session": name, "what": {"ended": {"until": until}}}}}).to_string();
    let post = |token: &str, body: &str| {
        http(
            "POST",
            "/mcp",
            &format!("{POST_HEADERS}Carryall-Sibling: {token}\r\n"),
            body,
        )
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let seal = |ring: &Keyring, purpose: &str, until: u64, body: &str| {
        ring.seal(purpose, body.as_bytes(), until, [9; 24], b"")
            .unwrap()
    };
    let stranger = Keyring::new(SealingKey::new(1, [8; 32]));
    for (what, token) in [
        ("nothing", String::new()),
        ("a session", client.id.clone()),
        ("another key", seal(&stranger, "sibling", now + 30, &body)),
        (
            "another purpose",
            seal(&keyring(), "session", now + 30, &body),
        ),
        (
            "another body",
            seal(
                &keyring(),
                "sibling",
                now + 30,
                &body.replace("ended", "other"),
            ),
        ),
        ("too late", seal(&keyring(), "sibling", now - 1, &body)),
    ] {
        assert_eq!(
            send(b.address, &post(&token, &body)).await.status,
            403,
            "{what}"
        );
    }
    assert_eq!(client.at(&b).call("hello").await, "hello nobody");
    // A server without replicas does not know the header.
    let alone = Replica::start(options()).await;
    let token = seal(&keyring(), "sibling", now + 30, &body);
    assert_eq!(send(alone.address, &post(&token, &body)).await.status, 400);
    assert_eq!(
        send(b.address, &post(&token, &body)).await.status,
        204,
        "a valid message is applied"
    );
    assert_eq!(client.at(&b).post(&tool(1, "hello")).await.status, 404);
}

#[tokio::test]
async fn calls_in_turn_at_three_replicas_are_all_answered() {
    let [a, b, c] = replicas().await;
    let client = Client::open(a.address, "2025-11-25").await;
    for n in 0..500 {
        let replica = [&a, &b, &c][n % 3];
        if n % 50 != 0 {
            assert_eq!(client.at(replica).call("hello").await, "hello nobody");
            continue;
        }
        let mut asked = client.at(replica).stream(&tool(3, "greet")).await;
        let question = asked.message().await.json();
        assert_eq!(
            client
                .at([&a, &b, &c][(n + 1) % 3])
                .answer(&question, "Ada")
                .await,
            202
        );
        assert_eq!(text(&asked.message().await.json()), "hello \"Ada\"");
    }
}

#[test]
fn replicas_are_named_by_their_urls() {
    let error = HttpBus::new(["http://localhost:1/mcp", "localhost:2"], keyring()).unwrap_err();
    assert!(error.to_string().contains("localhost:2"), "{error}");
}
