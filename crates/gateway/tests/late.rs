//! Upstreams that take longer to start than an answer waits for them.

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

/// A server with one tool that answers nothing before its time, and forgets no request that came
/// earlier.
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

/// The same, but for subscriptions, which it takes at once and tells nothing on.
fn starting_but_listened_to(tool: &str, takes: Duration) -> Fake {
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
            // It says nothing more, and does not end.
            Reply::Stream(Box::pin(
                futures_util::stream::iter([Ok(first)]).chain(futures_util::stream::pending()),
            ))
        }
        _ => error(call, -32601, "Method not found"),
    }
}

fn watched(gateway: Gateway) -> Gateway {
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

/// Waits as long as it takes, in virtual time.
async fn told(stream: &mut MessageStream) -> String {
    match stream.next().await {
        Some(Ok(Message::Notification(notification))) => notification.method.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_was_left_out_joins_the_lists_and_listeners_are_told() {
    let fast = starting("fast", Duration::ZERO);
    let slow = starting_but_listened_to("slow", Duration::from_secs(20));
    let gateway = watched(gateway([upstream("a", &[&fast]), upstream("b", &[&slow])]));
    assert_eq!(tools(&gateway).await, ["a__fast"]);
    let (mut stream, promised) = listen(&gateway).await;
    assert_eq!(
        promised,
        json!({"toolsListChanged": true}),
        "the gateway itself tells"
    );
    assert_eq!(told(&mut stream).await, "notifications/tools/list_changed");
    assert_eq!(tools(&gateway).await, ["a__fast", "b__slow"]);
}

#[tokio::test(start_paused = true)]
async fn who_listens_after_an_upstream_has_joined_is_told_of_it() {
    let fast = starting("fast", Duration::ZERO);
    let slow = starting_but_listened_to("slow", Duration::from_secs(6));
    let gateway = watched(gateway([upstream("a", &[&fast]), upstream("b", &[&slow])]));
    assert_eq!(tools(&gateway).await, ["a__fast"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (mut stream, _) = listen(&gateway).await;
    assert_eq!(told(&mut stream).await, "notifications/tools/list_changed");
    assert_eq!(tools(&gateway).await, ["a__fast", "b__slow"]);
}

#[tokio::test(start_paused = true)]
async fn while_all_upstreams_start_a_client_can_connect_and_is_told_when_they_are_there() {
    let one = starting("one", Duration::from_secs(20));
    let other = starting("other", Duration::from_secs(30));
    let gateway = watched(gateway([upstream("a", &[&one]), upstream("b", &[&other])]));
    let found = answer(&gateway, call("server/discover", json!({}))).await;
    assert_eq!(
        found.result()["capabilities"]["tools"],
        json!({"listChanged": true})
    );
    assert_eq!(found.result()["ttlMs"], 0, "it is incomplete");
    let (mut stream, promised) = listen(&gateway).await;
    assert_eq!(promised, json!({"toolsListChanged": true}));
    assert_eq!(
        answer(&gateway, call("tools/list", json!({}))).await.code(),
        code::UPSTREAM_TIMEOUT
    );
    let mut seen = Vec::new();
    for _ in 0..20 {
        assert_eq!(told(&mut stream).await, "notifications/tools/list_changed");
        seen = tools(&gateway).await;
        if seen.len() == 2 {
            break;
        }
    }
    assert_eq!(seen, ["a__one", "b__other"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_followed_is_bounded_and_given_up_in_the_end() {
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
    let gateway = watched(gateway([
        upstream("a", &[&fast]),
        upstream("b", &[&never]),
        upstream("c", &[&ended]),
    ]));
    for _ in 0..10 {
        assert_eq!(tools(&gateway).await, ["a__fast"]);
    }
    // The closure's, the test's, and that of one call; a probe may be under way.
    assert!(
        std::sync::Arc::strong_count(&begun) <= 4,
        "{}",
        std::sync::Arc::strong_count(&begun)
    );
    tokio::time::sleep(Duration::from_secs(200)).await;
    let left = std::sync::Arc::strong_count(&begun);
    assert!(left <= 3, "{left} are still held");
}
