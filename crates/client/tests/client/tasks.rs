//! Calls that become tasks.

use crate::support::{Does, Log, Says, Seen, complete, serving_with, text};
use carryall_client::{Client, ClientBuilder, ClientError, ResponseError, RoundOutcome, ToolValue};
use carryall_types::{ElicitResult, InputResponses, JsonObject, JsonValue, TaskStatus};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn task(status: &str, members: JsonValue) -> JsonValue {
    let mut task = json!({
        "taskId": "t1", "status": status, "createdAt": "2026-07-28T00:00:00Z", "lastUpdatedAt": "2026-07-28T00:00:00Z",
        "ttlMs": null, "pollIntervalMs": 20,
    });
    task.as_object_mut()
        .unwrap()
        .extend(members.as_object().cloned().unwrap_or_default());
    task
}

fn created() -> Does {
    let mut task = task("working", json!({}));
    task["resultType"] = "task".into();
    Does::Result(task)
}

fn done() -> JsonValue {
    task("completed", json!({"result": text("42")}))
}

fn input_required() -> JsonValue {
    let schema =
        json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let request = json!({"method": "elicitation/create",
        "params": {"mode": "form", "message": "who?", "requestedSchema": schema}});
    task("input_required", json!({"inputRequests": {"who": request}}))
}

/// Returns the behaviour of a server whose task advances to the next of these states with each
/// `tasks/get`.
fn server_with_states(
    setup: impl FnOnce(ClientBuilder) -> ClientBuilder,
    states: Vec<JsonValue>,
) -> (Client, Log) {
    let states = Mutex::new(states.into_iter());
    serving_with(
        |builder| setup(builder.tasks()),
        move |seen| match seen.method.as_str() {
            "tools/call" => created(),
            "tasks/get" => Does::Result(complete(
                states.lock().unwrap().next().expect("asked after the end"),
            )),
            "tasks/update" | "tasks/cancel" => Does::Result(complete(json!({}))),
            "subscriptions/listen" => crate::support::refuse(-32601),
            other => panic!("{other}"),
        },
    )
}

fn count(log: &Log, method: &str) -> usize {
    log.methods().iter().filter(|seen| *seen == method).count()
}

// spec: ext-tasks-04
#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_result_of_its_task() {
    let states = vec![
        task("working", json!({})),
        task("working", json!({"statusMessage": "half"})),
        done(),
    ];
    let (client, log) = server_with_states(|builder| builder, states);
    let reported: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let received = Arc::clone(&reported);
    let answer: i64 = client
        .call("t", ())
        .on_task(move |task| received.lock().unwrap().push(task.status_message.clone()))
        .typed()
        .await
        .unwrap();
    assert_eq!(answer, 42);
    assert_eq!(count(&log, "tasks/get"), 3);
    assert!(reported.lock().unwrap().contains(&Some("half".into())));
    let declared = log.all()[0]
        .meta("io.modelcontextprotocol/clientCapabilities")
        .clone();
    assert_eq!(
        declared,
        json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})
    );
    for seen in log.all().iter().filter(|seen| seen.method == "tasks/get") {
        assert_eq!(seen.own_params(), json!({"taskId": "t1"}));
        assert!(seen.meta("io.modelcontextprotocol/clientCapabilities")["extensions"].is_object());
    }
}

/// Returns the progress reported for a call that becomes a task with these status messages.
async fn progress_of(
    first: Vec<Says>,
    states: Vec<JsonValue>,
) -> Vec<(f64, Option<f64>, Option<String>)> {
    let states = Mutex::new(states.into_iter());
    let (client, _) = serving_with(ClientBuilder::tasks, move |seen| {
        match seen.method.as_str() {
            "tools/call" => {
                let token = seen.meta("progressToken").clone();
                let mut says = first.clone();
                for said in &mut says {
                    if let Says::Note(_, params) = said {
                        params["progressToken"] = token.clone();
                    }
                }
                Does::Say(says)
            }
            "tasks/get" => Does::Result(complete(
                states.lock().unwrap().next().expect("asked after the end"),
            )),
            _ => crate::support::refuse(-32601),
        }
    });
    let reported: Arc<Mutex<Vec<_>>> = Arc::default();
    let received = Arc::clone(&reported);
    client
        .call("t", ())
        .on_progress(move |update| {
            received
                .lock()
                .unwrap()
                .push((update.progress, update.total, update.message))
        })
        .await
        .unwrap();
    reported.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn progress_continues_when_the_call_becomes_a_task() {
    let working = |message: &str| task("working", json!({"statusMessage": message}));
    let mut created = task("working", json!({"statusMessage": "queued"}));
    created["resultType"] = "task".into();
    let before = json!({"progress": 2.5, "total": 10, "message": "begun"});
    let first = vec![
        Says::Note("notifications/progress", before),
        Says::Wait(Duration::from_millis(50)),
        Says::Result(created),
    ];
    let mut last = done();
    last["statusMessage"] = "finished".into();
    let states = vec![
        working("queued"),
        working("half"),
        working("half"),
        task("working", json!({})),
        working("most"),
        last,
    ];
    let message = |text: &str| Some(text.to_owned());
    assert_eq!(
        progress_of(first, states).await,
        [
            (2.5, Some(10.0), message("begun")),
            (3.5, None, message("queued")),
            (4.5, None, message("half")),
            (5.5, None, message("most")),
        ]
    );
}

// spec: ext-tasks-05
#[tokio::test]
async fn a_task_is_an_invalid_response_to_a_client_without_tasks() {
    let (client, _) = serving_with(|builder| builder, |_| created());
    assert!(matches!(
        client.call("t", ()).await,
        Err(ClientError::Response(ResponseError::Protocol { .. }))
    ));
    // A task is an invalid response to any other method.
    let (client, _) = serving_with(ClientBuilder::tasks, |_| created());
    assert!(matches!(
        client.get_prompt("p", ()).await,
        Err(ClientError::Response(ResponseError::Protocol { .. }))
    ));
}

// spec: ext-tasks-13
#[tokio::test(start_paused = true)]
async fn the_poll_interval_is_that_of_the_server() {
    let slow = |n: u64| task("working", json!({"pollIntervalMs": n}));
    let (client, _) = server_with_states(|builder| builder, vec![slow(3000), slow(5000), done()]);
    let begun = tokio::time::Instant::now();
    client.call("t", ()).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 8);
    let (client, _) = server_with_states(|builder| builder, vec![slow(0), slow(u64::MAX), done()]);
    let begun = tokio::time::Instant::now();
    client.call("t", ()).await.unwrap();
    assert_eq!(
        begun.elapsed().as_secs(),
        60,
        "neither a flood nor a wait for ever"
    );
}

// spec: ext-tasks-21, ext-tasks-22, ext-tasks-25, ext-tasks-45
#[tokio::test(start_paused = true)]
async fn an_input_request_of_a_task_is_answered_once() {
    let named = |builder: ClientBuilder| {
        builder.on_elicit(async |_| {
            ElicitResult::accept(JsonObject::from_iter([("name".to_owned(), "Ann".into())]))
        })
    };
    // The server processes the input with a delay.
    let (client, log) = server_with_states(
        named,
        vec![
            input_required(),
            input_required(),
            task("working", json!({})),
            done(),
        ],
    );
    client.call("t", ()).await.unwrap();
    let updates: Vec<Seen> = log
        .all()
        .into_iter()
        .filter(|seen| seen.method == "tasks/update")
        .collect();
    assert_eq!(updates.len(), 1);
    let answer = json!({"action": "accept", "content": {"name": "Ann"}});
    assert_eq!(
        updates[0].own_params(),
        json!({"taskId": "t1", "inputResponses": {"who": answer}})
    );
}

#[tokio::test(start_paused = true)]
async fn the_call_ends_as_its_task_does() {
    let failed = task(
        "failed",
        json!({"error": {"code": -32050, "message": "no"}}),
    );
    let (client, log) = server_with_states(|builder| builder, vec![failed]);
    assert_eq!(client.call("t", ()).await.unwrap_err().code(), Some(-32050));
    assert_eq!(
        count(&log, "tasks/cancel"),
        0,
        "what has ended is not cancelled"
    );
    let cancelled = task("cancelled", json!({"statusMessage": "by hand"}));
    let (client, _) = server_with_states(|builder| builder, vec![cancelled]);
    let error = client.call("t", ()).await.unwrap_err();
    assert!(matches!(error, ClientError::TaskCancelled { .. }));
    assert_eq!(error.to_string(), "task t1 was cancelled: by hand");
    let tool_failed = task(
        "completed",
        json!({"result": {"content": [], "isError": true}}),
    );
    let (client, _) = server_with_states(|builder| builder, vec![tool_failed]);
    assert!(client.call("t", ()).await.unwrap().failed());
    for broken in [
        task("completed", json!({})),
        task("failed", json!({})),
        task("lost", json!({})),
    ] {
        let (client, _) = server_with_states(|builder| builder, vec![broken]);
        let error = client.call("t", ()).await.unwrap_err();
        assert!(
            matches!(
                error,
                ClientError::Response(ResponseError::Protocol { .. })
                    | ClientError::Response(ResponseError::Decode { .. })
            ),
            "{error:?}"
        );
    }
}

// spec: ext-tasks-29
#[tokio::test]
async fn dropping_a_call_cancels_its_task_and_dropping_a_handle_does_not() {
    let states = std::iter::repeat_with(|| task("working", json!({})))
        .take(1000)
        .collect();
    let (client, log) = server_with_states(|builder| builder, states);
    let waiting = tokio::time::timeout(
        Duration::from_millis(100),
        client.call("t", ()).into_future(),
    )
    .await;
    assert!(waiting.is_err());
    for _ in 0..500 {
        if count(&log, "tasks/cancel") == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count(&log, "tasks/cancel"), 1);
    let RoundOutcome::Task(handle) = client.call("t", ()).once().await.unwrap() else {
        panic!("no task")
    };
    drop(tokio::time::timeout(Duration::from_millis(100), handle.wait()).await);
    drop(handle);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(count(&log, "tasks/cancel"), 1);
}

// spec: ext-tasks-15
#[tokio::test(start_paused = true)]
async fn a_task_can_be_queried_by_its_id() {
    let (client, log) = server_with_states(
        |builder| builder,
        vec![task("working", json!({})), done(), input_required(), done()],
    );
    let RoundOutcome::Task(handle) = client.call("t", ()).once().await.unwrap() else {
        panic!("no task")
    };
    let kept = handle.id().to_owned();
    let handle = client.task(kept);
    assert_eq!(handle.wait_for::<ToolValue<i64>>().await.unwrap(), 42);
    assert_eq!(
        handle.get().await.unwrap().task.status,
        TaskStatus::InputRequired
    );
    handle.update(InputResponses::new()).await.unwrap();
    handle.cancel().await.unwrap();
    assert_eq!(count(&log, "tasks/update") + count(&log, "tasks/cancel"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_yields_a_state_when_it_has_changed() {
    let states = vec![
        task("working", json!({})),
        task("working", json!({})),
        input_required(),
        input_required(),
        done(),
    ];
    let (client, _) = server_with_states(|builder| builder, states);
    let mut watch = client.task("t1").watch();
    let mut seen = Vec::new();
    while !seen
        .last()
        .is_some_and(|status: &TaskStatus| status.is_terminal())
    {
        seen.push(watch.next().await.unwrap().task.status);
    }
    assert_eq!(
        seen,
        [
            TaskStatus::Working,
            TaskStatus::InputRequired,
            TaskStatus::Completed
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn with_notifications_polling_is_reduced() {
    let (client, log) = serving_with(ClientBuilder::tasks, |seen| match seen.method.as_str() {
        "tools/call" => created(),
        "tasks/get" => Does::Result(complete(task("working", json!({"pollIntervalMs": 1000})))),
        "subscriptions/listen" => Does::Say(vec![
            Says::Note(
                "notifications/subscriptions/acknowledged",
                json!({"notifications": {"taskIds": ["t1"]}}),
            ),
            Says::Wait(Duration::from_secs(5)),
            Says::Note("notifications/tasks", done()),
            Says::Wait(Duration::from_secs(500)),
        ]),
        other => panic!("{other}"),
    });
    let answer: i64 = client.call("t", ()).typed().await.unwrap();
    assert_eq!(answer, 42);
    assert_eq!(
        count(&log, "tasks/get"),
        1,
        "polling is five times less frequent"
    );
}

#[tokio::test(start_paused = true)]
async fn polling_continues_when_the_subscription_breaks() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let (client, _) = serving_with(ClientBuilder::tasks, move |seen| {
        match seen.method.as_str() {
            "tools/call" => created(),
            "tasks/get" => match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0..3 => Does::Result(complete(task("working", json!({})))),
                _ => Does::Result(complete(done())),
            },
            "subscriptions/listen" => Does::Say(vec![
                Says::Note(
                    "notifications/subscriptions/acknowledged",
                    json!({"notifications": {"taskIds": ["t1"]}}),
                ),
                Says::Break,
            ]),
            other => panic!("{other}"),
        }
    });
    let answer: i64 = client.call("t", ()).typed().await.unwrap();
    assert_eq!(answer, 42);
}
