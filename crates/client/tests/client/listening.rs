//! Subscriptions, from the client's side.

use crate::support::{Does, Log, Says, Seen, done, refuse, refuse_with, serving};
use carryall_client::{Change, ChangeStream, Client, ClientError};
use carryall_proto::{CallError, key};
use carryall_types::{ErrorObject, RequestId, SubscriptionFilter};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

fn everything() -> SubscriptionFilter {
    SubscriptionFilter::new()
        .with_tools_list_changed(true)
        .with_prompts_list_changed(true)
        .with_resources_list_changed(true)
        .with_resource_subscriptions(vec!["file:///a".to_owned()])
}

fn ack(seen: &Seen) -> Says {
    Says::Note(
        "notifications/subscriptions/acknowledged",
        json!({"notifications": seen.params["notifications"]}),
    )
}

fn tools_changed() -> Says {
    Says::Note("notifications/tools/list_changed", json!({}))
}

fn end() -> Says {
    Says::Result(json!({"resultType": "complete"}))
}

/// Long enough for a listener that has nothing more to say.
fn forever() -> Says {
    Says::Wait(Duration::from_secs(1_000_000))
}

/// The next change; a listener that has none to tell within a minute fails the test.
async fn next(listener: &mut ChangeStream) -> Option<Result<Change, ClientError>> {
    tokio::time::timeout(Duration::from_secs(60), listener.next())
        .await
        .expect("the listener tells nothing")
}

fn listening(parts: impl Fn(&Seen) -> Vec<Says> + Send + Sync + 'static) -> (Client, Log) {
    serving(move |seen| Does::Say(parts(seen)))
}

#[tokio::test]
async fn changes_come_typed_and_the_end_is_the_end() {
    let (client, log) = listening(|seen| {
        vec![
            ack(seen),
            tools_changed(),
            Says::Note("notifications/prompts/list_changed", json!({})),
            Says::Note("notifications/resources/list_changed", json!({})),
            Says::Note(
                "notifications/resources/updated",
                json!({"uri": "file:///a"}),
            ),
            end(),
        ]
    });
    let mut listener = client.listen(everything()).await.unwrap();
    assert_eq!(*listener.acknowledged(), everything());
    let mut changes = Vec::new();
    while let Some(change) = next(&mut listener).await {
        changes.push(change.unwrap());
    }
    assert_eq!(
        changes,
        [
            Change::Tools,
            Change::Prompts,
            Change::Resources,
            Change::Resource("file:///a".into())
        ]
    );
    assert!(next(&mut listener).await.is_none());
    assert_eq!(log.len(), 1);
    assert_eq!(
        log.all()[0].params["notifications"],
        json!({
            "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["file:///a"]
        })
    );
}

// spec: subscriptions-05
#[tokio::test]
async fn what_the_server_does_not_send_is_known_after_opening() {
    let (client, _) = listening(|_| {
        vec![
            Says::Note(
                "notifications/subscriptions/acknowledged",
                json!({"notifications": {"toolsListChanged": true}}),
            ),
            forever(),
        ]
    });
    let listener = client.listen(everything()).await.unwrap();
    let missing = SubscriptionFilter::new()
        .with_prompts_list_changed(true)
        .with_resources_list_changed(true)
        .with_resource_subscriptions(vec!["file:///a".to_owned()]);
    assert_eq!(listener.missing(), missing);
}

// spec: subscriptions-07
#[tokio::test(start_paused = true)]
async fn notifications_of_other_subscriptions_and_unwanted_ones_are_ignored() {
    let (client, _) = listening(|seen| {
        let other = json!({"_meta": {key::SUBSCRIPTION_ID: "other"}});
        vec![
            Says::Note("notifications/subscriptions/acknowledged", other.clone()),
            tools_changed(),
            ack(seen),
            Says::Note("notifications/prompts/list_changed", json!({})),
            Says::Note("notifications/tools/list_changed", other),
            Says::Note(
                "notifications/message",
                json!({"level": "error", "data": 1}),
            ),
            Says::Note("notifications/resources/updated", json!({"uri": 5})),
            forever(),
        ]
    });
    let mut listener = client
        .listen(SubscriptionFilter::new().with_tools_list_changed(true))
        .await
        .unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(5), listener.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

// spec: subscriptions-08
#[tokio::test]
async fn several_subscriptions_live_side_by_side() {
    let (client, log) = listening(|seen| {
        let change = if seen.params["notifications"]["toolsListChanged"] == true {
            tools_changed()
        } else {
            Says::Note("notifications/prompts/list_changed", json!({}))
        };
        vec![ack(seen), change, forever()]
    });
    let mut tools = client
        .listen(SubscriptionFilter::new().with_tools_list_changed(true))
        .await
        .unwrap();
    let mut prompts = client
        .listen(SubscriptionFilter::new().with_prompts_list_changed(true))
        .await
        .unwrap();
    assert_eq!(next(&mut prompts).await.unwrap().unwrap(), Change::Prompts);
    assert_eq!(next(&mut tools).await.unwrap().unwrap(), Change::Tools);
    let ids: Vec<RequestId> = log.all().into_iter().map(|seen| seen.id).collect();
    assert_ne!(ids[0], ids[1]);
}

// spec: subscriptions-10, subscriptions-11
#[tokio::test(start_paused = true)]
async fn a_broken_subscription_is_opened_again_and_what_was_missed_reported_once() {
    let (client, log) = listening(|seen| match seen.n {
        0 => vec![ack(seen), tools_changed(), Says::Break],
        1 => vec![
            ack(seen),
            Says::Note("notifications/prompts/list_changed", json!({})),
        ],
        _ => vec![ack(seen), end()],
    });
    let filter = SubscriptionFilter::new()
        .with_tools_list_changed(true)
        .with_resource_subscriptions(vec!["r:".to_owned()]);
    let mut listener = client.listen(filter).await.unwrap();
    let mut changes = Vec::new();
    while let Some(change) = next(&mut listener).await {
        changes.push(change.unwrap());
    }
    let gap = [Change::Tools, Change::Resource("r:".into())];
    assert_eq!(changes, [&[Change::Tools][..], &gap, &gap].concat());
    let seen = log.all();
    assert_eq!(seen.len(), 3);
    assert_ne!(seen[0].id, seen[1].id);
    assert_eq!(
        seen[0].params["notifications"],
        seen[2].params["notifications"]
    );
}

// spec: caching-13
#[tokio::test(start_paused = true)]
async fn opening_again_waits_longer_each_time_and_gives_up_in_the_end() {
    let (client, log) = serving(|seen| {
        if seen.n == 0 {
            Does::Say(vec![ack(seen), Says::Break])
        } else {
            Does::Fail(CallError::unreachable("away"))
        }
    });
    let mut listener = client
        .listen(everything())
        .backoff(Duration::from_secs(1), Duration::from_secs(8))
        .max_failures(5)
        .await
        .unwrap();
    let started = Instant::now();
    let error = next(&mut listener).await.unwrap().unwrap_err();
    assert!(
        matches!(error, ClientError::Call(CallError::Unreachable(_))),
        "{error}"
    );
    // 1, 2, 4, 8, 8 seconds, each at least by half.
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_millis(11_500) && waited <= Duration::from_secs(24),
        "{waited:?}"
    );
    assert_eq!(log.len(), 6);
    assert!(next(&mut listener).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_graceful_end_is_final_unless_asked_otherwise() {
    for way in [
        end(),
        Says::Note("notifications/cancelled", json!({"requestId": 1})),
    ] {
        let (client, log) = listening({
            let way = way.clone();
            move |seen| vec![ack(seen), way.clone(), forever()]
        });
        let mut listener = client.listen(everything()).await.unwrap();
        assert!(next(&mut listener).await.is_none(), "{way:?}");
        assert_eq!(log.len(), 1);
    }
    let (client, log) = listening(|seen| match seen.n {
        0 => vec![ack(seen), end()],
        _ => vec![ack(seen), forever()],
    });
    let mut listener = client
        .listen(everything())
        .reopen_after_close()
        .await
        .unwrap();
    assert_eq!(next(&mut listener).await.unwrap().unwrap(), Change::Tools);
    assert_eq!(log.len(), 2);
}

// spec: cancellation-19
#[tokio::test(start_paused = true)]
async fn a_cancellation_of_something_else_ends_nothing() {
    let (client, _) = listening(|seen| {
        vec![
            ack(seen),
            Says::Note("notifications/cancelled", json!({"requestId": 99})),
            Says::Note("notifications/cancelled", json!({"requestId": "1"})),
            Says::Note("notifications/cancelled", json!({"reason": "malformed"})),
            tools_changed(),
            forever(),
        ]
    });
    let mut listener = client.listen(everything()).await.unwrap();
    assert_eq!(next(&mut listener).await.unwrap().unwrap(), Change::Tools);
}

#[tokio::test(start_paused = true)]
async fn equal_changes_that_wait_are_told_once() {
    let (client, _) = listening(|seen| {
        let burst = (0..10_000).map(|_| tools_changed());
        [ack(seen)]
            .into_iter()
            .chain(burst)
            .chain([end()])
            .collect()
    });
    let mut listener = client.listen(everything()).await.unwrap();
    let mut told = 0;
    while let Some(change) = next(&mut listener).await {
        assert_eq!(change.unwrap(), Change::Tools);
        told += 1;
    }
    // Some, since others get their turn between batches.
    assert!((1..=50).contains(&told), "{told}");
}

#[tokio::test(start_paused = true)]
async fn opening_fails_with_a_reason() {
    let (client, log) = serving(|seen| match seen.n {
        0 => refuse(-32601),
        1 => Does::Hang,
        2 => refuse_with(-32022, json!({"supported": ["2025-11-25"]})),
        3 => Does::Say(vec![Says::Error(ErrorObject::new(-32603, "x"))]),
        _ => Does::Say(vec![]),
    });
    assert!(
        client
            .listen(everything())
            .await
            .unwrap_err()
            .is_method_not_found()
    );
    assert!(
        client
            .listen(everything())
            .timeout(Duration::from_secs(3))
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(log.cancelled(), 1);
    assert!(matches!(
        client.listen(everything()).await.unwrap_err(),
        ClientError::Versions { .. }
    ));
    assert_eq!(
        client.listen(everything()).await.unwrap_err().code(),
        Some(-32603)
    );
    assert!(matches!(
        client.listen(everything()).await.unwrap_err(),
        ClientError::Call(CallError::Broken(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_listener_cancels_and_so_does_dropping_its_task() {
    let (client, log) = listening(|seen| vec![ack(seen), tools_changed(), forever()]);
    drop(client.listen(everything()).await.unwrap());
    assert_eq!(log.cancelled(), 1);
    let (sender, mut changes) = tokio::sync::mpsc::channel(4);
    let watch = client
        .listen(everything())
        .await
        .unwrap()
        .spawn(move |change| {
            let _ = sender.try_send(change.unwrap());
        });
    assert_eq!(changes.recv().await, Some(Change::Tools));
    drop(watch);
    assert_eq!(changes.recv().await, None);
    assert_eq!(log.cancelled(), 2);
}

#[tokio::test]
async fn a_watch_ends_with_its_subscription() {
    let (client, _) = listening(|seen| vec![ack(seen), end()]);
    client
        .listen(everything())
        .await
        .unwrap()
        .spawn(|change| drop(change.unwrap()))
        .ended()
        .await;
}

#[tokio::test]
async fn other_requests_go_on_beside_a_listener() {
    let (client, _) = serving(|seen| match seen.method.as_str() {
        "subscriptions/listen" => Does::Say(vec![ack(seen), forever()]),
        _ => done(json!({"content": []})),
    });
    let _listener = client.listen(everything()).await.unwrap();
    client.call("t", ()).await.unwrap();
}
