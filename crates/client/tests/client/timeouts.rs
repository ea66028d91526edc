//! Timeouts, cancellation, progress and log messages.

use crate::support::{Does, Says, serving, serving_with, text};
use carryall_client::{CallEvent, ClientError, LogMessage, ProgressUpdate};
use carryall_proto::{CallError, key};
use carryall_types::{JsonValue, LoggingLevel};
use futures_util::StreamExt;
use serde_json::json;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn progress(token: &JsonValue, progress: f64) -> Says {
    Says::Note(
        "notifications/progress",
        json!({"progressToken": token, "progress": progress, "total": 10, "message": "m"}),
    )
}

fn log_message(level: &str) -> Says {
    Says::Note(
        "notifications/message",
        json!({"level": level, "logger": "db", "data": {"x": 1}}),
    )
}

// spec: cancellation-01, cancellation-06, cancellation-07
#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_is_cancelled_after_a_minute() {
    let (client, log) = serving(|_| Does::Hang);
    let started = Instant::now();
    let error = client.call("t", ()).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(started.elapsed(), 60 * SECOND);
    assert_eq!((log.len(), log.cancelled()), (1, 1));
}

// spec: cancellation-08
#[tokio::test(start_paused = true)]
async fn timeouts_can_be_set_per_request() {
    let (client, log) =
        serving(|_| Does::Say(vec![Says::Wait(90 * SECOND), Says::Result(text("5"))]));
    let started = Instant::now();
    assert!(
        client
            .call("t", ())
            .timeout(5 * SECOND)
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(started.elapsed(), 5 * SECOND);
    assert_eq!(log.cancelled(), 1);
    assert_eq!(
        client
            .call("t", ())
            .timeout(100 * SECOND)
            .typed::<i64>()
            .await
            .unwrap(),
        5
    );
    assert_eq!(log.cancelled(), 1);
}

// spec: cancellation-09, cancellation-10
#[tokio::test(start_paused = true)]
async fn progress_resets_the_timeout_up_to_the_maximum() {
    let behaviour = |seen: &crate::support::Seen| {
        let token = seen.meta(key::PROGRESS_TOKEN).clone();
        let steps =
            (1..=1000).flat_map(|n| [progress(&token, f64::from(n)), Says::Wait(8 * SECOND)]);
        Does::Say(steps.collect())
    };
    let (client, log) = serving_with(|builder| builder.timeout(10 * SECOND), behaviour);
    let started = Instant::now();
    assert!(
        client
            .call("t", ())
            .reset_on_progress()
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(started.elapsed(), 600 * SECOND);
    let started = Instant::now();
    assert!(
        client
            .call("t", ())
            .reset_on_progress()
            .max_timeout(30 * SECOND)
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(started.elapsed(), 30 * SECOND);
    let started = Instant::now();
    assert!(
        client
            .call("t", ())
            .on_progress(|_| {})
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(
        started.elapsed(),
        10 * SECOND,
        "progress counts only where that was asked for"
    );
    assert_eq!(log.cancelled(), 3);
}

// spec: cancellation-10
#[tokio::test(start_paused = true)]
async fn an_endless_stream_of_notifications_times_out() {
    let endless = || {
        futures_util::stream::unfold((), |()| async {
            let note = carryall_proto::Notification::new(
                "notifications/x",
                carryall_types::RawJson::EMPTY_OBJECT,
            );
            // Time passes, and there is always a message to read.
            tokio::time::advance(Duration::from_millis(100)).await;
            Some((Ok(carryall_proto::Message::Notification(note)), ()))
        })
    };
    let (client, _) = serving_with(
        |builder| builder.timeout(SECOND),
        move |_| Does::Reply(carryall_proto::Reply::Stream(Box::pin(endless()))),
    );
    assert!(client.call("t", ()).await.unwrap_err().is_timeout());
}

// spec: cancellation-01
#[tokio::test(start_paused = true)]
async fn dropping_the_future_cancels() {
    let (client, log) = serving(|_| Does::Say(vec![Says::Wait(SECOND), Says::Result(text("5"))]));
    let call = tokio::spawn(async move { client.call("t", ()).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((log.len(), log.cancelled()), (1, 0));
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(log.cancelled(), 1);
}

// spec: progress-02, progress-03
#[tokio::test]
async fn progress_tokens_are_unique() {
    let (client, log) = serving(|_| Does::Result(text("x")));
    let calls = (0..20).map(|_| client.call("t", ()).on_progress(|_| {}));
    futures_util::future::join_all(calls.map(IntoFuture::into_future)).await;
    let mut tokens: Vec<i64> = log
        .all()
        .iter()
        .map(|seen| seen.meta(key::PROGRESS_TOKEN).as_i64().unwrap())
        .collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 20);
}

// spec: progress-09
#[tokio::test(start_paused = true)]
async fn only_progress_of_the_request_is_reported() {
    let (client, _) = serving(|seen| {
        let token = seen.meta(key::PROGRESS_TOKEN).clone();
        let pause = Says::Wait(Duration::from_millis(100));
        Does::Say(vec![
            progress(&json!("other"), 1.0),
            progress(&token, 2.0),
            pause.clone(),
            Says::Note("notifications/progress", json!({"progress": "malformed"})),
            progress(&json!(-1), 3.0),
            progress(&token, 2.0),
            progress(&token, 5.0),
            Says::Result(text("5")),
        ])
    });
    let updates = Arc::new(Mutex::new(Vec::new()));
    let kept = updates.clone();
    client
        .call("t", ())
        .on_progress(move |update| kept.lock().unwrap().push(update))
        .await
        .unwrap();
    let updates: Vec<ProgressUpdate> = std::mem::take(&mut updates.lock().unwrap());
    let values: Vec<f64> = updates.iter().map(|update| update.progress).collect();
    assert_eq!(values, [2.0, 5.0]);
    let last = &updates[1];
    assert_eq!(
        (last.total, last.message.as_deref()),
        (Some(10.0), Some("m"))
    );
    assert_eq!(last.fraction(), Some(0.5));
}

// spec: progress-10, logging-09
#[tokio::test(start_paused = true)]
#[allow(deprecated)]
async fn excess_notifications_are_dropped() {
    let (client, _) = serving(|seen| {
        let token = seen.meta(key::PROGRESS_TOKEN).clone();
        let flood = (0..5000).flat_map(|n| [progress(&token, f64::from(n)), log_message("error")]);
        Does::Say(flood.chain([Says::Result(text("5"))]).collect())
    });
    let counts = Arc::new(Mutex::new((0, 0)));
    let (p, l) = (counts.clone(), counts.clone());
    client
        .call("t", ())
        .on_progress(move |_| p.lock().unwrap().0 += 1)
        .on_log(LoggingLevel::Debug, move |_| l.lock().unwrap().1 += 1)
        .await
        .unwrap();
    let (progress, logs) = *counts.lock().unwrap();
    assert!(
        (1..=2).contains(&progress) && (1..=200).contains(&logs),
        "{progress} {logs}"
    );
}

#[tokio::test]
#[allow(deprecated)]
async fn log_messages_are_delivered_only_if_a_level_is_set() {
    let (client, log) = serving(|_| {
        Does::Say(vec![
            log_message("info"),
            log_message("warning"),
            log_message("nonsense"),
            Says::Result(text("5")),
        ])
    });
    let messages = Arc::new(Mutex::new(Vec::new()));
    let kept = messages.clone();
    client.call("t", ()).await.unwrap();
    client
        .call("t", ())
        .on_log(LoggingLevel::Warning, move |message| {
            kept.lock().unwrap().push(message)
        })
        .await
        .unwrap();
    let messages: Vec<LogMessage> = std::mem::take(&mut messages.lock().unwrap());
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].level, LoggingLevel::Warning);
    assert_eq!(messages[0].logger.as_deref(), Some("db"));
    assert_eq!(messages[0].data.as_str(), r#"{"x":1}"#);
    let seen = log.all();
    assert!(seen[0].meta(key::LOG_LEVEL).is_null());
    assert_eq!(seen[1].meta(key::LOG_LEVEL), "warning");
}

#[tokio::test(start_paused = true)]
async fn a_call_stream_yields_progress_and_then_the_result() {
    let (client, log) = serving(|seen| {
        let token = seen.meta(key::PROGRESS_TOKEN).clone();
        Does::Say(vec![
            progress(&token, 1.0),
            Says::Wait(SECOND),
            progress(&token, 2.0),
            Says::Result(text("5")),
        ])
    });
    let events: Vec<_> = client.call("t", ()).typed::<i64>().stream().collect().await;
    assert_eq!(events.len(), 3);
    assert!(matches!(&events[0], CallEvent::Progress(update) if update.progress == 1.0));
    assert!(matches!(&events[1], CallEvent::Progress(update) if update.progress == 2.0));
    assert!(matches!(&events[2], CallEvent::Done(Ok(5))));
    let mut stream = client.call("t", ()).stream();
    assert!(matches!(stream.next().await, Some(CallEvent::Progress(_))));
    drop(stream);
    assert_eq!(log.cancelled(), 1);
}

// spec: http-receive-09
#[tokio::test]
async fn a_stream_that_breaks_or_ends_early_is_a_call_error() {
    for parts in [vec![Says::Break], vec![]] {
        let (client, log) = serving(move |_| Does::Say(parts.clone()));
        let error = client.call("t", ()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Call(CallError::Broken(_))),
            "{error}"
        );
        assert_eq!(log.len(), 1);
    }
    let (client, log) = serving_with(
        |builder| builder.max_retries(1),
        |seen| {
            if seen.n == 0 {
                Does::Say(vec![Says::Break])
            } else {
                crate::support::done(json!({"messages": []}))
            }
        },
    );
    client.get_prompt("p", ()).await.unwrap();
    assert_ne!(
        log.all()[0].id,
        log.all()[1].id,
        "issued again as a request of its own"
    );
}

#[tokio::test]
async fn an_error_may_come_at_the_end_of_a_stream() {
    let error = carryall_types::ErrorObject::new(-32603, "boom");
    let (client, _) =
        serving(move |_| Does::Say(vec![log_message("info"), Says::Error(error.clone())]));
    assert_eq!(client.call("t", ()).await.unwrap_err().code(), Some(-32603));
}

// spec: base-jsonrpc-27, cancellation-19
#[tokio::test]
async fn unknown_and_malformed_notifications_are_ignored() {
    let (client, log) = serving(|_| {
        Does::Say(vec![
            Says::Note("notifications/unknown", json!({})),
            Says::Note("notifications/cancelled", json!({"requestId": 1})),
            Says::Note("notifications/cancelled", json!({"requestId": []})),
            Says::Note("notifications/progress", json!({"progressToken": {}})),
            Says::Result(text("5")),
        ])
    });
    assert_eq!(
        client
            .call("t", ())
            .on_progress(|_| {})
            .typed::<i64>()
            .await
            .unwrap(),
        5
    );
    assert_eq!(log.len(), 1, "a notification was answered");
}
