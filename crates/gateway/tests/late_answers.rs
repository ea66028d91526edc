//! Upstreams that answer after the fan-out timeout.

mod common;

use carryall_gateway::{Gateway, code};
use carryall_proto::{Call, Message, MessageStream, Reply};
use carryall_testkit::{answer, call, call_with_id, next, params};
use common::*;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tower_service::Service as _;

/// A server with one tool that answers all requests once it has started.
fn starting(tool: &str, takes: Duration) -> Fake {
    let (tool, ready) = (tool.to_owned(), Instant::now() + takes);
    Fake::new(move |call| {
        let tool = tool.clone();
        Box::pin(async move {
            sleep_until(ready).await;
            Ok(answered(&call, &tool))
        })
    })
}

/// The same, but it acknowledges subscriptions at once, without ever sending changes.
fn starting_with_subscriptions(tool: &str, takes: Duration) -> Fake {
    let (tool, ready) = (tool.to_owned(), Instant::now() + takes);
    Fake::new(move |call| {
        let tool = tool.clone();
        Box::pin(async move {
            if call.method().as_str() != "subscriptions/listen" {
                sleep_until(ready).await;
            }
            Ok(answered(&call, &tool))
        })
    })
}

fn answered(call: &Call, tool: &str) -> Reply {
    match call.method().as_str() {
        "tools/list" => result(
            call,
            json!({"resultType": "complete", "tools": [{"name": tool, "inputSchema": {"type": "object"}}]}),
        ),
        "server/discover" => result(
            call,
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                "ttlMs": 1000, "cacheScope": "public"}),
        ),
        "subscriptions/listen" => {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": call.id()});
            let acknowledged = json!({"_meta": meta, "notifications": {}});
            let first = notification("notifications/subscriptions/acknowledged", acknowledged);
            // It sends nothing else and does not end.
            Reply::Stream(Box::pin(
                futures_util::stream::iter([Ok(first)]).chain(futures_util::stream::pending()),
            ))
        }
        _ => error(call, -32601, "Method not found"),
    }
}

fn with_watch(gateway: Gateway) -> Gateway {
    let watching = gateway.clone();
    tokio::spawn(async move { watching.watch().await });
    gateway
}

async fn tools(gateway: &Gateway) -> Vec<String> {
    let listed = answer(gateway, call("tools/list", json!({}))).await;
    let tools = listed.result()["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn listen(gateway: &Gateway) -> (MessageStream, Value) {
    let filter = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": false}});
    let reply = gateway
        .clone()
        .call(call_with_id(&json!("s"), "subscriptions/listen", filter))
        .await
        .unwrap();
    let Reply::Stream(mut stream) = reply else {
        panic!("no stream: {reply:?}")
    };
    let Message::Notification(acknowledged) = next(&mut stream).await else {
        panic!("no acknowledgement")
    };
    let promised = params(&acknowledged)["notifications"].clone();
    (stream, promised)
}

/// Waits for the next notification and returns its method.
async fn next_method(stream: &mut MessageStream) -> String {
    match stream.next().await {
        Some(Ok(Message::Notification(notification))) => notification.method.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_upstream_is_added_to_lists_and_subscribers_are_notified() {
    let fast = starting("fast", Duration::ZERO);
    let slow = starting_with_subscriptions("slow", Duration::from_secs(20));
    let gateway = with_watch(gateway([upstream("a", &[&fast]), upstream("b", &[&slow])]));
    assert_eq!(tools(&gateway).await, ["a__fast"]);
    let (mut stream, promised) = listen(&gateway).await;
    assert_eq!(
        promised,
        json!({"toolsListChanged": true}),
        "announced by the gateway itself"
    );
    assert_eq!(
        next_method(&mut stream).await,
        "notifications/tools/list_changed"
    );
    assert_eq!(tools(&gateway).await, ["a__fast", "b__slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_subscription_is_notified_of_recent_late_answers() {
    let fast = starting("fast", Duration::ZERO);
    let slow = starting_with_subscriptions("slow", Duration::from_secs(6));
    let gateway = with_watch(gateway([upstream("a", &[&fast]), upstream("b", &[&slow])]));
    assert_eq!(tools(&gateway).await, ["a__fast"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (mut stream, _) = listen(&gateway).await;
    assert_eq!(
        next_method(&mut stream).await,
        "notifications/tools/list_changed"
    );
    assert_eq!(tools(&gateway).await, ["a__fast", "b__slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_can_connect_while_all_upstreams_start_and_is_notified() {
    let one = starting("one", Duration::from_secs(20));
    let other = starting("other", Duration::from_secs(30));
    let gateway = with_watch(gateway([upstream("a", &[&one]), upstream("b", &[&other])]));
    let found = answer(&gateway, call("server/discover", json!({}))).await;
    assert_eq!(
        found.result()["capabilities"]["tools"],
        json!({"listChanged": true})
    );
    assert_eq!(found.result()["ttlMs"], 0, "an incomplete answer");
    let (mut stream, promised) = listen(&gateway).await;
    assert_eq!(promised, json!({"toolsListChanged": true}));
    assert_eq!(
        answer(&gateway, call("tools/list", json!({}))).await.code(),
        code::UPSTREAM_TIMEOUT
    );
    let mut seen = Vec::new();
    for _ in 0..20 {
        assert_eq!(
            next_method(&mut stream).await,
            "notifications/tools/list_changed"
        );
        seen = tools(&gateway).await;
        if seen.len() == 2 {
            break;
        }
    }
    assert_eq!(seen, ["a__one", "b__other"]);
}

#[tokio::test(start_paused = true)]
async fn late_answers_are_bounded_in_number_and_time() {
    let fast = starting("fast", Duration::ZERO);
    let (begun, ended) = (std::sync::Arc::new(()), Fake::at_once(|_| Err(dead())));
    let held = std::sync::Arc::clone(&begun);
    let never = Fake::new(move |_| {
        let held = std::sync::Arc::clone(&held);
        Box::pin(async move {
            let _held = held;
            std::future::pending().await
        })
    });
    let gateway = with_watch(gateway([
        upstream("a", &[&fast]),
        upstream("b", &[&never]),
        upstream("c", &[&ended]),
    ]));
    for _ in 0..10 {
        assert_eq!(tools(&gateway).await, ["a__fast"]);
    }
    // Held by the closure, the test and one call; perhaps by a probe.
    assert!(
        std::sync::Arc::strong_count(&begun) <= 4,
        "{}",
        std::sync::Arc::strong_count(&begun)
    );
    tokio::time::sleep(Duration::from_secs(200)).await;
    let left = std::sync::Arc::strong_count(&begun);
    assert!(left <= 3, "{left} are still held");
}
