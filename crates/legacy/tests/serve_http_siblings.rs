//! Several replicas and no affinity: each request of a client may go to another one.

mod serve_http_common;

use carryall_legacy::serve::{HttpBus, Options};
use carryall_proto::seal::{Keyring, SealingKey};
use serde_json::{Value, json};
use serve_http_common::meeting::text;
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

fn meeting_at(urls: &[String]) -> Options {
    let siblings = HttpBus::new(urls.iter().map(String::as_str), keyring()).unwrap();
    options().meeting(Arc::new(siblings))
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
        .map(|listener| Replica::start_on(listener, meeting_at(&urls)))
        .collect();
    started.try_into().ok().unwrap()
}

#[tokio::test]
async fn a_session_is_served_by_every_process_with_the_keyring() {
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
async fn a_question_asked_at_one_replica_is_answered_at_another() {
    meeting::a_question_asked_at_one_replica_is_answered_at_another(&replicas().await).await;
}

#[tokio::test]
async fn what_is_set_at_one_replica_holds_at_all_of_them() {
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
    // A replica that knew the session, and one that has never seen it.
    for replica in [&b, &c] {
        let said = client
            .at(replica)
            .stream(&tool(2, "log"))
            .await
            .rest()
            .await;
        assert_eq!(
            (said.len(), &said[0]["params"]["data"]),
            (2, &json!("heard"))
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
async fn a_request_is_cancelled_wherever_the_client_says_so() {
    meeting::a_request_is_cancelled_wherever_the_client_says_so(&replicas().await).await;
}

#[tokio::test]
async fn a_session_that_was_ended_at_one_replica_is_ended_at_all_even_where_it_never_was() {
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
    // One that was not there when it ended asks the others.
    let late = Replica::start(meeting_at(&urls(&[a.address, b.address]))).await;
    assert_eq!(client.at(&late).post(&tool(1, "hello")).await.status, 404);
}

#[tokio::test]
async fn a_stream_is_gone_on_with_at_any_replica() {
    meeting::a_stream_is_gone_on_with_at_any_replica(&replicas().await).await;
}

#[tokio::test]
async fn a_client_that_was_sent_away_comes_back_to_any_replica() {
    meeting::a_client_that_was_sent_away_comes_back_to_any_replica(&replicas().await).await;
}

#[tokio::test]
async fn a_replica_that_is_gone_takes_what_it_was_doing_along_and_nothing_else() {
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
        let said = client
            .at(replica)
            .stream(&tool(2, "log"))
            .await
            .rest()
            .await;
        assert_eq!(said[0]["params"]["data"], "heard");
        let mut asked = client.at(replica).stream(&tool(3, "greet")).await;
        let question = asked.message().await.json();
        let other = if std::ptr::eq(replica, &b) { &c } else { &b };
        assert_eq!(client.at(other).answer(&question, "Ada").await, 202);
        assert_eq!(text(&asked.message().await.json()), "hello \"Ada\"");
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "the dead one is not waited for: {:?}",
        start.elapsed()
    );
    // It comes back, empty, and asks the others.
    let listener = TcpListener::bind(address).await.unwrap();
    let again = Replica::start_on(
        listener,
        meeting_at(&urls(&[address, b.address, c.address])),
    );
    let said = client.at(&again).stream(&tool(4, "log")).await.rest().await;
    assert_eq!(said[0]["params"]["data"], "heard");
}

#[tokio::test]
async fn a_replica_that_does_not_answer_is_not_waited_for_again_and_again() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = Replica::start(meeting_at(&urls(&[silent.local_addr().unwrap()]))).await;
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
async fn what_only_looks_like_a_sibling_is_refused() {
    let [a, b] = replicas().await;
    let client = Client::open(a.address, "2025-11-25").await;
    assert_eq!(client.at(&b).call("hello").await, "hello nobody");
    let name = &client.id[3..39];
    // Bound to a server without a name and to nobody.
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
    // A process without siblings does not know the header.
    let alone = Replica::start(options()).await;
    let token = seal(&keyring(), "sibling", now + 30, &body);
    assert_eq!(send(alone.address, &post(&token, &body)).await.status, 400);
    assert_eq!(
        send(b.address, &post(&token, &body)).await.status,
        204,
        "the real one is heard"
    );
    assert_eq!(client.at(&b).post(&tool(1, "hello")).await.status, 404);
}

#[tokio::test]
async fn five_hundred_calls_go_round_three_replicas_and_none_is_lost() {
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
fn a_sibling_is_named_by_its_url() {
    let error = HttpBus::new(["http://localhost:1/mcp", "localhost:2"], keyring()).unwrap_err();
    assert!(error.to_string().contains("localhost:2"), "{error}");
}
