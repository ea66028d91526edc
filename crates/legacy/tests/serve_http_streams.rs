//! Event streams over Streamable HTTP: when a response becomes one, how it is resumed, how it is
//! paused.

mod serve_http_common;

use serde_json::{Value, json};
use serve_http_common::*;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

fn text(message: &Value) -> &Value {
    &message["result"]["content"][0]["text"]
}

#[tokio::test]
async fn a_response_with_messages_before_it_is_a_stream_that_begins_with_an_id() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let mut stream = client.stream(&tool(1, "wait")).await;
    assert_eq!(
        (stream.status, stream.header("content-type")),
        (200, Some("text/event-stream".into()))
    );
    assert_eq!(stream.header("x-accel-buffering").as_deref(), Some("no"));
    assert_eq!(stream.header("mcp-session-id"), None);
    let opening = stream.next().await.unwrap();
    assert_eq!((opening.data.as_deref(), opening.retry), (Some(""), None));
    let id = opening.id.unwrap();
    let (name, number) = id.rsplit_once('-').unwrap();
    assert_eq!(number, "0");
    let progress = stream.next().await.unwrap();
    assert_eq!(progress.id, Some(format!("{name}-1")));
    assert_eq!(progress.json()["params"]["progress"], 1.0);
    replica.seen.go.notify_one();
    let rest = stream.rest().await;
    assert_eq!(rest.len(), 2);
    assert_eq!(text(&rest[1]), "waited");
}

#[tokio::test]
async fn older_revisions_have_ids_but_no_event_without_data() {
    let replica = Replica::start(options()).await;
    for version in ["2025-06-18", "2025-03-26", "2024-11-05"] {
        let client = Client::open(replica.address, version).await;
        client.log_level("error").await;
        let mut stream = client.stream(&tool(1, "flood")).await;
        let first = stream.next().await.unwrap();
        assert_eq!(first.json()["method"], "notifications/message");
        assert!(first.id.unwrap().ends_with("-1"));
        assert_eq!(text(stream.rest().await.last().unwrap()), "flooded");
    }
}

#[tokio::test]
async fn a_silent_call_becomes_a_stream_that_is_kept_alive() {
    let options = options()
        .sse_after(Duration::from_millis(100))
        .keep_alive(Duration::from_millis(30));
    let replica = Replica::start(options).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let start = Instant::now();
    let mut stream = client.stream(&tool(1, "slow")).await;
    assert!(
        start.elapsed() < Duration::from_millis(280),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(text(&stream.message().await.json()), "slow");
    assert!(stream.comments >= 2, "{}", stream.comments);
}

#[tokio::test]
async fn a_broken_stream_can_be_resumed_and_its_call_goes_on() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let mut stream = client.stream(&tool(1, "wait")).await;
    let progress = stream.message().await;
    drop(stream);
    replica.seen.go.notify_one();
    eventually("the call goes on", || {
        replica.seen.finished.load(SeqCst) == 1
    })
    .await;
    let rest = client.get(progress.id.as_deref()).await.rest().await;
    assert_eq!(rest[0]["params"]["progress"], 2.0);
    assert_eq!(
        (&rest[1]["id"], text(&rest[1]), rest.len()),
        (&json!(1), &json!("waited"), 2)
    );
    // Finished streams are kept for a while.
    let opening = progress.id.unwrap().replace("-1", "-0");
    assert_eq!(client.get(Some(&opening)).await.rest().await.len(), 3);
}

#[tokio::test]
async fn a_stream_can_be_resumed_while_its_first_connection_is_open() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let mut hanging = client.stream(&tool(1, "wait")).await;
    let progress = hanging.message().await;
    let mut second = client.get(progress.id.as_deref()).await;
    assert_eq!(
        hanging.rest().await,
        [json!(null); 0],
        "the first connection ends, not the call"
    );
    assert!(second.is_quiet().await);
    replica.seen.go.notify_one();
    assert_eq!(text(second.rest().await.last().unwrap()), "waited");
}

#[tokio::test]
async fn a_stream_belongs_to_its_session_and_principal() {
    let replica = Replica::start(options()).await;
    let alice = Client::open_as(replica.address, "2025-11-25", "x-user: alice\r\n").await;
    let bob = Client::open_as(replica.address, "2025-11-25", "x-user: bob\r\n").await;
    let mut stream = alice.stream(&tool("secret", "wait")).await;
    let progress = stream.message().await;
    let mut stolen = bob.get(progress.id.as_deref()).await;
    let answer = stolen.rest().await;
    assert_eq!(
        (&answer[0]["error"]["code"], answer.len()),
        (&json!(-32603), 1),
        "bob has no such stream"
    );
    assert!(stream.is_quiet().await, "alice's stream goes on");
    replica.seen.go.notify_one();
    assert_eq!(text(stream.rest().await.last().unwrap()), "waited");
}

#[tokio::test]
async fn a_call_whose_client_does_not_come_back_is_cancelled() {
    let replica = Replica::start(
        options()
            .grace(Duration::from_millis(200))
            .sse_after(Duration::from_millis(20)),
    )
    .await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let mut stream = client.stream(&tool(1, "hang")).await;
    let opening = stream.next().await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        replica.seen.dropped.load(SeqCst),
        0,
        "a lost connection does not cancel"
    );
    eventually("the call is cancelled", || {
        replica.seen.dropped.load(SeqCst) == 1
    })
    .await;
    let rest = client.get(opening.id.as_deref()).await.rest().await;
    assert_eq!(
        (&rest[0]["id"], &rest[0]["error"]["code"]),
        (&json!(1), &json!(-32603))
    );
}

#[tokio::test]
async fn a_call_whose_client_disconnects_before_the_response_goes_on_for_the_grace_period() {
    let replica = Replica::start(options().grace(Duration::from_millis(300))).await;
    let client = Client::open(replica.address, "2025-06-18").await;
    {
        let mut stream = tokio::net::TcpStream::connect(replica.address)
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(
            &mut stream,
            client.posting(&tool(1, "hang")).as_bytes(),
        )
        .await
        .unwrap();
        eventually("the call has started", || {
            replica.seen.started.load(SeqCst) == 1
        })
        .await;
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(replica.seen.dropped.load(SeqCst), 0);
    eventually("the grace period ends", || {
        replica.seen.dropped.load(SeqCst) == 1
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_request_is_dropped_and_its_stream_ends() {
    let replica = Replica::start(options().sse_after(Duration::from_millis(20))).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let mut stream = client.stream(&tool(1, "hang")).await;
    stream.next().await.unwrap();
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(client.post(&cancelled.to_string()).await.status, 202);
    assert_eq!(stream.rest().await, [json!(null); 0]);
    eventually("the handler is gone", || {
        replica.seen.dropped.load(SeqCst) == 1
    })
    .await;
}

#[tokio::test]
async fn a_handler_can_pause_its_stream() {
    let replica = Replica::start(options().retry(Duration::from_millis(20))).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let mut stream = client.stream(&tool(1, "poll")).await;
    let opening = stream.next().await.unwrap();
    assert_eq!(opening.data.as_deref(), Some(""));
    let hint = stream.next().await.unwrap();
    assert_eq!((hint.retry, hint.data), (Some(20), None));
    assert_eq!(stream.next().await, None);
    let mut polled = client.get(opening.id.as_deref()).await;
    let answer = polled.next().await.unwrap();
    assert_eq!(text(&answer.json()), "polled");
    assert!(answer.id.unwrap().ends_with("-1"));
    assert_eq!(polled.next().await, None);
    // Clients of earlier revisions do not know that they have to resume the stream.
    let old = Client::open(replica.address, "2025-06-18").await;
    assert_eq!(old.call("poll").await, "polled");
}

#[tokio::test]
async fn a_client_that_reconnects_receives_each_event_once() {
    let replica = Replica::start(options().max_events(2000, 1024 * 1024)).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    client.log_level("error").await;
    let number = |message: &Value| message["params"]["data"]["n"].as_u64().unwrap();
    let mut stream = client.stream(&tool(1, "flood")).await;
    let mut last = stream.message().await;
    let mut numbers = vec![number(&last.json())];
    for _ in 0..5 {
        drop(stream);
        stream = client.get(last.id.as_deref()).await;
        for _ in 0..50 {
            last = stream.message().await;
            numbers.push(number(&last.json()));
        }
    }
    let rest = stream.rest().await;
    assert_eq!(text(rest.last().unwrap()), "flooded");
    numbers.extend(rest[..rest.len() - 1].iter().map(number));
    assert_eq!(
        numbers,
        (0..1000).collect::<Vec<_>>(),
        "in order, each once"
    );
}

#[tokio::test]
async fn large_results_and_panics_are_delivered_on_a_stream() {
    let replica = Replica::start(options().sse_after(Duration::ZERO)).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let mut large = client.stream(&tool(1, "large_on_signal")).await;
    replica.seen.go.notify_one();
    let large = large.rest().await;
    assert_eq!(text(large.last().unwrap()).as_str().unwrap().len(), 300_000);
    for _ in 0..2 {
        let failed = client.stream(&tool(2, "panic")).await.rest().await;
        assert!(
            failed.last().unwrap().to_string().contains("\"id\":2"),
            "{failed:?}"
        );
        assert!(!failed.last().unwrap().to_string().contains("secret"));
    }
    assert_eq!(client.call("hello").await, "hello nobody");
}

#[tokio::test]
async fn a_lost_stream_ends_with_an_error_for_its_request() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let mut stream = client.stream(&tool("mine", "wait")).await;
    let progress = stream.message().await;
    drop(stream);
    // The same session on a replica that has just started.
    let fresh = Replica::start(options()).await;
    let mut lost = client.at(&fresh).get(progress.id.as_deref()).await;
    let event = lost.next().await.unwrap();
    assert_eq!(event.json()["id"], "mine");
    assert_eq!(event.json()["error"]["code"], -32603);
    assert_eq!(event.id, progress.id.map(|id| id.replace("-1", "-2")));
    assert_eq!(lost.next().await, None);
    for foreign in ["7", "no-such", "rx-1"] {
        assert_eq!(client.get(Some(foreign)).await.status, 400, "{foreign}");
    }
}

#[tokio::test]
async fn changes_are_sent_on_the_newest_stream_only() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let subscribed = client
        .post(&request(
            1,
            "resources/subscribe",
            json!({"uri": "x:first"}),
        ))
        .await;
    assert_eq!(subscribed.json()["result"], json!({}));
    let mut old = client.get(None).await;
    let opening = old.next().await.unwrap();
    assert_eq!(opening.data.as_deref(), Some(""));
    let mut new = client.get(None).await;
    assert_eq!(old.rest().await, [json!(null); 0]);
    new.next().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    replica.server.resource_updated("x:first");
    let updated = new.message().await;
    assert_eq!(updated.json()["method"], "notifications/resources/updated");
    assert_eq!(updated.json()["params"], json!({"uri": "x:first"}));
    // Events during the disconnection are kept.
    drop(new);
    tokio::time::sleep(Duration::from_millis(50)).await;
    replica.server.resource_updated("x:first");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut again = client.get(updated.id.as_deref()).await;
    let missed = again.message().await;
    assert_eq!(missed.json()["params"]["uri"], "x:first");
    assert!(missed.id.unwrap().ends_with("-2"));
    assert_eq!(
        client
            .post(&request(
                2,
                "resources/unsubscribe",
                json!({"uri": "x:first"})
            ))
            .await
            .status,
        200
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    replica.server.resource_updated("x:first");
    assert!(again.is_quiet().await);
}

#[tokio::test]
async fn a_lost_stream_of_changes_is_replaced() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    let opening = client.get(None).await.next().await.unwrap();
    let fresh = Replica::start(options()).await;
    let here = client.at(&fresh);
    assert_eq!(
        here.post(&request(
            1,
            "resources/subscribe",
            json!({"uri": "x:first"})
        ))
        .await
        .status,
        200
    );
    let mut replacement = here.get(opening.id.as_deref()).await;
    assert_ne!(replacement.next().await.unwrap().id, opening.id);
    tokio::time::sleep(Duration::from_millis(100)).await;
    fresh.server.resource_updated("x:first");
    assert_eq!(
        replacement.message().await.json()["params"]["uri"],
        "x:first"
    );
}

#[tokio::test]
async fn server_requests_are_sent_on_the_stream_of_the_call_and_answered_by_post() {
    let replica = Replica::start(options()).await;
    for version in ["2025-11-25", "2025-06-18"] {
        let client = Client::open(replica.address, version).await;
        let mut stream = client.stream(&tool(1, "greet")).await;
        let question = stream.message().await.json();
        assert_eq!(question["method"], "elicitation/create");
        assert_eq!(client.answer(&question, "Ada").await, 202);
        assert_eq!(text(&stream.message().await.json()), "hello \"Ada\"");
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test]
async fn log_messages_are_sent_on_the_stream_of_their_call_once_a_level_is_set() {
    let replica = Replica::start(options()).await;
    let client = Client::open(replica.address, "2025-11-25").await;
    client.log_level("info").await;
    let messages = client.stream(&tool(2, "log")).await.rest().await;
    assert_eq!(messages[0]["params"]["data"], "a log message");
    client.log_level("error").await;
    assert_eq!(client.call("log").await, "logged");
}
