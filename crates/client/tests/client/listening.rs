//! Subscriptions and change streams.

use crate::support::{Does, Log, Says, Seen, done, refuse, refuse_with, serving};
use carryall_client::{Change, ChangeStream, Client, ClientError, VersionError};
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

/// Keeps the stream open for the rest of the test.
fn forever() -> Says {
    Says::Wait(Duration::from_secs(1_000_000))
}

/// Returns the next change; fails the test if there is none within a minute.
async fn next(listener: &mut ChangeStream) -> Option<Result<Change, ClientError>> {
    tokio::time::timeout(Duration::from_secs(60), listener.next())
        .await
        .expect("no change within a minute")
}

fn listening(parts: impl Fn(&Seen) -> Vec<Says> + Send + Sync + 'static) -> (Client, Log) {
    serving(move |seen| Does::Say(parts(seen)))
}

#[tokio::test]
async fn changes_are_typed_and_a_graceful_close_ends_the_stream() {
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
async fn missing_reports_what_the_server_did_not_acknowledge() {
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
async fn notifications_of_other_subscriptions_and_unrequested_ones_are_ignored() {
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
async fn several_subscriptions_are_independent() {
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
async fn a_broken_subscription_is_reopened_and_everything_reported_as_changed_once() {
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
async fn reopening_backs_off_and_gives_up_after_max_failures() {
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
    // Delays of 1, 2, 4, 8 and 8 s, each reduced by up to half.
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_millis(11_500) && waited <= Duration::from_secs(24),
        "{waited:?}"
    );
    assert_eq!(log.len(), 6);
    assert!(next(&mut listener).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_graceful_close_is_final_unless_reopen_after_close_is_set() {
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
async fn a_cancellation_of_another_request_is_ignored() {
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
async fn equal_unread_changes_are_reported_once() {
    let (client, _) = listening(|seen| {
        let burst = (0..10_000).map(|_| tools_changed());
        [ack(seen)]
            .into_iter()
            .chain(burst)
            .chain([end()])
            .collect()
    });
    let mut listener = client.listen(everything()).await.unwrap();
    let mut reported = 0;
    while let Some(change) = next(&mut listener).await {
        assert_eq!(change.unwrap(), Change::Tools);
        reported += 1;
    }
    // A stream yields between batches, so there may be a few.
    assert!((1..=50).contains(&reported), "{reported}");
}

#[tokio::test(start_paused = true)]
async fn errors_of_opening_are_returned() {
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
        ClientError::Version(VersionError::NoneInCommon { .. })
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
async fn dropping_a_change_stream_or_a_background_listener_cancels() {
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
async fn a_background_listener_ends_with_its_subscription() {
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
async fn other_requests_are_answered_while_a_subscription_is_open() {
    let (client, _) = serving(|seen| match seen.method.as_str() {
        "subscriptions/listen" => Does::Say(vec![ack(seen), forever()]),
        _ => done(json!({"content": []})),
    });
    let _listener = client.listen(everything()).await.unwrap();
    client.call("t", ()).await.unwrap();
}
