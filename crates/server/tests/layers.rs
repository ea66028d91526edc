//! `tower` layers around the whole server and around one tool.

use carryall_proto::{BoxFuture, Call, CallError, Outcome, Reply, Response, SharedService};
use carryall_server::{Ctx, Server, Tool};
use carryall_testkit::{answer, call, stream};
use carryall_types::{ErrorObject, JsonObject, RawJson};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

type Answer = BoxFuture<Result<Reply, CallError>>;

/// A layer made of a function of the inner service and the call.
#[derive(Clone)]
struct Around<F>(F);

#[derive(Clone)]
struct Wrapped<F>(F, SharedService);

impl<F: Clone> Layer<SharedService> for Around<F> {
    type Service = Wrapped<F>;

    fn layer(&self, inner: SharedService) -> Wrapped<F> {
        Wrapped(self.0.clone(), inner)
    }
}

impl<F: Fn(SharedService, Call) -> Answer> Service<Call> for Wrapped<F> {
    type Response = Reply;
    type Error = CallError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Answer {
        (self.0)(self.1.clone(), call)
    }
}

type Log = Arc<Mutex<Vec<String>>>;

fn noting(
    log: &Log,
    name: &'static str,
) -> Around<impl Fn(SharedService, Call) -> Answer + Clone + Send + Sync + 'static> {
    let log = Arc::clone(log);
    Around(move |inner: SharedService, call: Call| -> Answer {
        let log = Arc::clone(&log);
        Box::pin(async move {
            log.lock().unwrap().push(format!("{name}>"));
            let reply = inner.answer(call).await;
            log.lock().unwrap().push(format!("<{name}"));
            reply
        })
    })
}

fn echo() -> Tool {
    let Value::Object(schema) = json!({"type": "object", "properties": {"n": {"type": "integer"}}})
    else {
        unreachable!()
    };
    Tool::dynamic("echo", schema, async |ctx: Ctx, arguments: JsonObject| {
        let left = ctx.extensions().get::<&str>().copied().unwrap_or_default();
        format!(
            "{left}{}",
            arguments
                .get("n")
                .map(ToString::to_string)
                .unwrap_or_default()
        )
    })
}

fn named(name: &str, arguments: Value) -> Call {
    call("tools/call", json!({"name": name, "arguments": arguments}))
}

#[tokio::test]
async fn the_first_layer_is_the_innermost_and_tool_layers_are_inside_server_layers() {
    let log = Log::default();
    let server = Server::new("x", "1")
        .tool(
            echo()
                .layer(noting(&log, "tool-1"))
                .layer(noting(&log, "tool-2")),
        )
        .tool(Tool::new("plain", async || "ok"))
        .layer(noting(&log, "server-1"))
        .layer(noting(&log, "server-2"))
        .build()
        .unwrap();
    let taken = || std::mem::take(&mut *log.lock().unwrap()).join(" ");
    assert_eq!(
        answer(&server, named("echo", json!({"n": 1}))).await.text(),
        "1"
    );
    assert_eq!(
        taken(),
        "server-2> server-1> tool-2> tool-1> <tool-1 <tool-2 <server-1 <server-2"
    );
    answer(&server, named("plain", json!({}))).await;
    assert_eq!(taken(), "server-2> server-1> <server-1 <server-2");
    answer(&server, call("tools/list", json!({}))).await;
    assert_eq!(
        taken(),
        "server-2> server-1> <server-1 <server-2",
        "layers see every method"
    );
    let mut listener = stream(
        &server,
        call("subscriptions/listen", json!({"notifications": {}})),
    )
    .await;
    carryall_testkit::next_notification(&mut listener).await;
    assert_eq!(taken(), "server-2> server-1> <server-1 <server-2");
}

#[tokio::test]
async fn a_layer_can_answer_change_the_call_and_pass_values_to_the_handler() {
    let refusing = Around(|_: SharedService, call: Call| -> Answer {
        let error = ErrorObject::new(42, "not today");
        Box::pin(async move { Ok(Response::error(call.id().clone(), error).into()) })
    });
    let changing = Around(|inner: SharedService, mut call: Call| -> Answer {
        call.set_param("arguments", &RawJson::from(&json!({"n": 7})));
        call.extensions_mut().insert("seen:");
        inner.answer(call)
    });
    let spoiling = Around(|inner: SharedService, mut call: Call| -> Answer {
        call.set_param("arguments", &RawJson::from(&json!({"n": "seven"})));
        inner.answer(call)
    });
    let server = |layered: Tool| Server::new("x", "1").tool(layered).build().unwrap();
    let refused = answer(&server(echo().layer(refusing)), named("echo", json!({}))).await;
    assert_eq!(
        refused.error(),
        &json!({"code": 42, "message": "not today"})
    );
    assert_eq!(
        answer(
            &server(echo().layer(changing)),
            named("echo", json!({"n": 1}))
        )
        .await
        .text(),
        "seen:7"
    );
    let spoilt = answer(
        &server(echo().layer(spoiling)),
        named("echo", json!({"n": 1})),
    )
    .await;
    assert_eq!(
        spoilt.result()["isError"],
        json!(true),
        "calls that a layer changes are validated too"
    );
}

#[tokio::test]
async fn the_failure_of_a_layer_fails_its_call_without_the_cause() {
    let failing = Around(|_: SharedService, _: Call| -> Answer {
        let cause: Box<dyn std::error::Error + Send + Sync> = "password=swordfish".into();
        Box::pin(async { Err(CallError::from(cause)) })
    });
    let panicking = Around(|_: SharedService, _: Call| -> Answer { panic!("password=swordfish") });
    let late = Around(|_: SharedService, _: Call| -> Answer {
        Box::pin(async {
            tokio::task::yield_now().await;
            panic!("password=swordfish")
        })
    });
    let builder = || Server::new("x", "1").tool(Tool::new("fine", async || "ok"));
    let servers = [
        builder().tool(echo().layer(failing.clone())),
        builder().tool(echo().layer(panicking.clone())),
        builder().tool(echo().layer(late.clone())),
    ];
    for server in servers {
        let server = server.build().unwrap();
        let failed = answer(&server, named("echo", json!({}))).await;
        assert_eq!(
            failed.error(),
            &json!({"code": -32603, "message": "Internal error"})
        );
        assert_eq!(answer(&server, named("fine", json!({}))).await.text(), "ok");
    }
    for server in [builder().layer(failing), builder().layer(late)] {
        let failed = answer(&server.build().unwrap(), named("fine", json!({}))).await;
        assert_eq!(
            failed.error(),
            &json!({"code": -32603, "message": "Internal error"})
        );
    }
    let failed = answer(
        &builder().layer(panicking).build().unwrap(),
        named("fine", json!({})),
    )
    .await;
    assert_eq!(
        failed.error(),
        &json!({"code": -32603, "message": "Internal error"})
    );
}

#[tokio::test]
async fn a_layer_may_call_again_and_each_run_takes_a_permit() {
    let twice = Around(|inner: SharedService, call: Call| -> Answer {
        Box::pin(async move {
            let first = inner.answer(call.clone()).await?;
            let Reply::Once(Response {
                outcome: Outcome::Result(_),
                ..
            }) = first
            else {
                return Ok(first);
            };
            inner.answer(call).await
        })
    });
    let runs = Arc::new(Mutex::new(0));
    let counting = Arc::clone(&runs);
    let tool = Tool::new("count", move || {
        let counting = Arc::clone(&counting);
        async move {
            let mut runs = counting.lock().unwrap();
            *runs += 1;
            *runs
        }
    });
    let server = Server::new("x", "1")
        .max_running(2)
        .tool(tool.layer(twice))
        .build()
        .unwrap();
    for expected in ["2", "4", "6"] {
        assert_eq!(
            answer(&server, named("count", json!({}))).await.text(),
            expected
        );
    }
}
