//! Middleware as functions, and time limits for whole calls.

use carryall_proto::{CallEnd, CallError, OutcomeStatus, Reply, Response};
use carryall_server::{Ctx, HandlerError, Prompt, Server, ServerBuilder, Timeout, Tool, layer_fn};
use carryall_testkit::{answer, call, next, next_notification, stream};
use carryall_types::ErrorObject;
use serde_json::{Value, json};
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn builder() -> ServerBuilder {
    Server::new("layered", "1")
        .tool(Tool::new("works", async || "ok"))
        .tool(Tool::new("fails", async || {
            Err::<(), _>(HandlerError::new("no"))
        }))
        .tool(Tool::new("streams", async |ctx: Ctx| {
            ctx.progress(1).of(2).message("half").await;
            tokio::task::yield_now().await;
            "streamed"
        }))
        .tool(Tool::new("hangs", async |ctx: Ctx| {
            ctx.progress(1).await;
            pending::<()>().await;
        }))
        .tool(Tool::new("silent", async || pending::<()>().await))
        .prompt(Prompt::new("fails", async || {
            Err::<String, _>(HandlerError::invalid_params("no"))
        }))
}

fn tool(name: &str) -> carryall_proto::Call {
    let meta = carryall_testkit::meta_with(&json!({"progressToken": 1}));
    call(
        "tools/call",
        json!({"name": name, "arguments": {}, "_meta": meta}),
    )
}

/// A server whose layer notes how each call ends.
fn observed() -> (Server, Arc<Mutex<Vec<String>>>) {
    let ends: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&ends);
    let layer = layer_fn(move |call, next| {
        let log = Arc::clone(&log);
        async move {
            let name = call.log_name().unwrap_or_default().into_owned();
            let reply = next.run(call).await?;
            Ok(reply.on_end(move |end| {
                let end = match end {
                    CallEnd::Response(response) => format!("{:?}", response.outcome.status()),
                    end => format!("{end:?}"),
                };
                log.lock().unwrap().push(format!("{name}: {end}"));
            }))
        }
    });
    (builder().layer(layer).build().unwrap(), ends)
}

#[tokio::test]
async fn a_layer_sees_how_calls_end() {
    let (server, ends) = observed();
    for name in ["works", "fails", "streams"] {
        answer(&server, tool(name)).await;
    }
    answer(&server, call("prompts/get", json!({"name": "fails"}))).await;
    let mut cancelled = stream(&server, tool("hangs")).await;
    next_notification(&mut cancelled).await;
    drop(cancelled);
    assert_eq!(
        *ends.lock().unwrap(),
        [
            "works: Complete",
            "fails: ToolError",
            "streams: Complete",
            "fails: Error(-32602)",
            "hangs: Dropped",
        ]
    );
}

#[tokio::test]
async fn a_layer_can_answer_instead_and_its_errors_are_internal() {
    let server = builder()
        .layer(layer_fn(
            async |call: carryall_proto::Call, next: carryall_server::Next| match call.name() {
                Some("works") => {
                    let error = ErrorObject::new(-31_000, "closed");
                    Ok(Reply::from(Response::error(call.id().clone(), error)))
                }
                Some("fails") => Err(CallError::Refused("secret".into())),
                _ => next.run(call).await,
            },
        ))
        .build()
        .unwrap();
    assert_eq!(answer(&server, tool("works")).await.code(), -31_000);
    let failed = answer(&server, tool("fails")).await;
    assert_eq!(
        failed.error(),
        &json!({"code": -32603, "message": "Internal error"})
    );
    assert_eq!(answer(&server, tool("streams")).await.text(), "streamed");
}

#[tokio::test]
async fn one_countingcan_have_a_layer_of_its_own() {
    let twice = layer_fn(async |call, next| {
        let _ = next.run(call.clone()).await?;
        next.run(call).await
    });
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let counting = Tool::new("counts", move || {
        let counted = Arc::clone(&counted);
        async move { *counted.lock().unwrap() += 1 }
    });
    let server = Server::new("x", "1")
        .tool(counting.layer(twice))
        .build()
        .unwrap();
    answer(&server, tool("counts")).await;
    assert_eq!(*count.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_silent_calls_and_streams_alike() {
    let limit = Duration::from_secs(2);
    let server = builder().layer(Timeout::new(limit)).build().unwrap();
    let expected = json!({"code": -32603, "message": "Not finished within 2s"});
    assert_eq!(answer(&server, tool("silent")).await.error(), &expected);
    let mut streamed = stream(&server, tool("hangs")).await;
    next_notification(&mut streamed).await;
    let carryall_proto::Message::Response(response) = next(&mut streamed).await else {
        panic!("a notification")
    };
    assert_eq!(response.outcome.status(), OutcomeStatus::Error(-32603));
    assert_eq!(answer(&server, tool("streams")).await.text(), "streamed");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_leaves_subscriptions_alone() {
    let server = builder()
        .layer(Timeout::new(Duration::from_secs(2)))
        .build()
        .unwrap();
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut subscription = stream(&server, call("subscriptions/listen", filter)).await;
    next_notification(&mut subscription).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    server
        .change(|catalogue| {
            catalogue.tool(Tool::new("new", async || ""));
        })
        .unwrap();
    let (method, _): (String, Value) = next_notification(&mut subscription).await;
    assert_eq!(method, "notifications/tools/list_changed");
}
