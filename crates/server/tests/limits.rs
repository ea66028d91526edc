//! Limits on calls, subscriptions, time and queues, and what cancelling releases.
#![allow(deprecated)]

use carryall_proto::{Call, CallSource, Outcome, Reply};
use carryall_server::{Ctx, Prompt, Server, ServerBuilder, Tool};
use carryall_testkit::{
    TIMEOUT, answer, assert_idle, call, collect, meta_with, next, next_notification, stream,
};
use carryall_types::LoggingLevel;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tower_service::Service as _;

/// Counts the handlers that have started, and those that have ended or were dropped.
#[derive(Clone, Default)]
struct Counter(Arc<(AtomicUsize, AtomicUsize)>);

struct Inside(Counter);

impl Counter {
    fn enter(&self) -> Inside {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        Inside(self.clone())
    }

    fn inside(&self) -> usize {
        self.0.0.load(Ordering::SeqCst) - self.0.1.load(Ordering::SeqCst)
    }

    async fn until(&self, inside: usize) {
        let reached = async {
            while self.inside() != inside {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, reached)
            .await
            .expect("the handlers to come and go");
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.1.fetch_add(1, Ordering::SeqCst);
    }
}

fn waiting(counter: &Counter) -> ServerBuilder {
    let (in_tool, in_prompt, in_loud) = (counter.clone(), counter.clone(), counter.clone());
    Server::new("limits", "1")
        .with_logging()
        .tool(Tool::new("wait", move || {
            let inside = in_tool.enter();
            async move {
                let _inside = inside;
                std::future::pending::<()>().await;
            }
        }))
        .tool(Tool::new("loud", move |ctx: Ctx| {
            let inside = in_loud.enter();
            async move {
                let _inside = inside;
                ctx.log(LoggingLevel::Info, None, "here").await;
                std::future::pending::<()>().await;
            }
        }))
        .tool(Tool::new("quick", async || "ok"))
        .prompt(Prompt::new("wait", move || {
            let inside = in_prompt.enter();
            async move {
                let _inside = inside;
                std::future::pending::<String>().await
            }
        }))
}

fn named(name: &str) -> Value {
    json!({"name": name})
}

fn loud(name: &str) -> Value {
    json!({"name": name, "_meta": meta_with(&json!({"io.modelcontextprotocol/logLevel": "debug"}))})
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_until_others_end() {
    let counter = Counter::default();
    let server = waiting(&counter).max_running(2).build().unwrap();
    let spawn = |method: &'static str| {
        let mut server = server.clone();
        tokio::spawn(async move { server.call(call(method, named("wait"))).await.map(drop) })
    };
    let running = [spawn("tools/call"), spawn("prompts/get")];
    counter.until(2).await;
    for method in ["tools/call", "prompts/get"] {
        let refused = answer(&server, call(method, named("wait"))).await;
        assert_eq!(refused.code(), -32603, "{method}");
        assert!(
            refused.error()["message"]
                .as_str()
                .unwrap()
                .contains("limit"),
            "{method}"
        );
    }
    assert!(
        answer(&server, call("tools/list", json!({})))
            .await
            .result()
            .is_object(),
        "lists need no permit"
    );
    running[0].abort();
    counter.until(1).await;
    assert_eq!(
        answer(&server, call("tools/call", named("quick")))
            .await
            .text(),
        "ok"
    );
    running[1].abort();
    counter.until(0).await;
    for _ in 0..5 {
        assert_eq!(
            answer(&server, call("tools/call", named("quick")))
                .await
                .text(),
            "ok",
            "permits are released"
        );
    }
}

#[tokio::test]
async fn refused_and_failed_calls_release_their_permit() {
    let server = waiting(&Counter::default())
        .max_running(1)
        .tool(Tool::new("panic", async || -> String { panic!("boom") }))
        .tool(Tool::new("limited", async || "ok").rate_limit(1, Duration::from_secs(3600)))
        .build()
        .unwrap();
    for params in [
        named("panic"),
        named("limited"),
        named("limited"),
        json!({"name": "quick", "arguments": {"no": 1}}),
    ] {
        answer(&server, call("tools/call", params)).await;
        assert_eq!(
            answer(&server, call("tools/call", named("quick")))
                .await
                .text(),
            "ok"
        );
    }
}

// spec: cancellation-04, cancellation-13, http-receive-12, cancellation-16
#[tokio::test]
async fn dropping_a_reply_drops_the_handler_before_and_after_its_first_notification() {
    let counter = Counter::default();
    let server = waiting(&counter).build().unwrap();
    let mut service = server.clone();
    let mut silent = Box::pin(service.call(call("tools/call", named("wait"))));
    let polled =
        std::future::poll_fn(|cx| std::task::Poll::Ready(silent.as_mut().poll(cx).is_pending()))
            .await;
    assert!(polled && counter.inside() == 1);
    drop(silent);
    assert_eq!(counter.inside(), 0);
    let mut speaking = stream(&server, call("tools/call", loud("loud"))).await;
    assert_eq!(
        next_notification(&mut speaking).await.0,
        "notifications/message"
    );
    assert_idle(&mut speaking);
    assert_eq!(counter.inside(), 1);
    drop(speaking);
    assert_eq!(counter.inside(), 0);
    drop(service.call(call("tools/call", named("wait"))));
    assert_eq!(counter.inside(), 0, "never polled");
}

// spec: http-receive-12, progress-11
#[tokio::test]
async fn a_context_that_outlives_its_call_sends_nothing_and_does_not_wait() {
    let (handed, mut contexts) = tokio::sync::mpsc::unbounded_channel::<Ctx>();
    let tool = Tool::new("leak", move |ctx: Ctx| {
        let handed = handed.clone();
        async move {
            ctx.log(LoggingLevel::Info, None, 0).await;
            handed
                .send(ctx)
                .map_err(|_| std::io::Error::other("closed"))
        }
    });
    let server = Server::new("x", "1")
        .with_logging()
        .tool(tool)
        .build()
        .unwrap();
    let mut service = server.clone();
    let reply = service
        .call(call("tools/call", loud("leak")))
        .await
        .unwrap();
    let ctx = contexts.recv().await.unwrap();
    // The handler has ended and the response is not read yet: later notifications are dropped.
    let late = async {
        for n in 1..500 {
            ctx.log(LoggingLevel::Info, None, n).await;
        }
    };
    tokio::time::timeout(TIMEOUT, late)
        .await
        .expect("nobody waits for a call that has ended");
    assert_eq!(
        collect(reply)
            .await
            .params_of("notifications/message")
            .len(),
        1
    );
}

#[tokio::test]
async fn a_handler_that_exceeds_its_timeout_is_dropped() {
    let counter = Counter::default();
    let limit = Duration::from_millis(30);
    let server = waiting(&counter).timeout(Some(limit)).build().unwrap();
    let tool = answer(&server, call("tools/call", named("wait"))).await;
    assert_eq!(
        (tool.result()["isError"].clone(), tool.text()),
        (json!(true), "The tool did not finish within 30ms")
    );
    let prompt = answer(&server, call("prompts/get", named("wait"))).await;
    assert_eq!(
        (prompt.code(), &prompt.error()["message"]),
        (-32603, &json!("Not finished within 30ms"))
    );
    let spoken = answer(&server, call("tools/call", loud("loud"))).await;
    assert_eq!(
        (
            spoken.notifications.len(),
            spoken.result()["isError"].clone()
        ),
        (1, json!(true))
    );
    assert_eq!(counter.inside(), 0);
}

#[tokio::test]
async fn a_tool_can_have_its_own_timeout_and_subscriptions_have_none() {
    let slow = || {
        Tool::new("slow", async || {
            tokio::time::sleep(Duration::from_millis(80)).await
        })
    };
    let short = Duration::from_millis(20);
    let server = Server::new("x", "1")
        .timeout(Some(short))
        .tool(slow().timeout(TIMEOUT))
        .build()
        .unwrap();
    let mut listener = stream(
        &server,
        call("subscriptions/listen", json!({"notifications": {}})),
    )
    .await;
    next_notification(&mut listener).await;
    assert!(
        answer(&server, call("tools/call", named("slow")))
            .await
            .result()
            .get("isError")
            .is_none()
    );
    assert_idle(&mut listener);
    let server = Server::new("x", "1")
        .timeout(None)
        .tool(slow().timeout(short))
        .build()
        .unwrap();
    assert_eq!(
        answer(&server, call("tools/call", named("slow")))
            .await
            .result()["isError"],
        json!(true)
    );
    let server = Server::new("x", "1")
        .timeout(None)
        .tool(slow())
        .build()
        .unwrap();
    assert!(
        answer(&server, call("tools/call", named("slow")))
            .await
            .result()
            .get("isError")
            .is_none()
    );
}

#[tokio::test]
async fn a_handler_that_outruns_its_client_waits() {
    let said = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&said);
    let tool = Tool::new("flood", move |ctx: Ctx| {
        let count = Arc::clone(&count);
        async move {
            for n in 0..500 {
                ctx.log(LoggingLevel::Info, None, n).await;
                count.store(n + 1, Ordering::SeqCst);
            }
        }
    });
    let server = Server::new("x", "1")
        .with_logging()
        .tool(tool)
        .build()
        .unwrap();
    let mut flood = stream(&server, call("tools/call", loud("flood"))).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let bound = 64;
    assert!(
        said.load(Ordering::SeqCst) <= bound,
        "nothing has been read yet"
    );
    next(&mut flood).await;
    assert!(said.load(Ordering::SeqCst) <= bound + 1);
    let rest = collect(Reply::Stream(flood)).await;
    let data: Vec<u64> = rest
        .params_of("notifications/message")
        .iter()
        .map(|m| m["data"].as_u64().unwrap())
        .collect();
    assert_eq!(data, (1..500).collect::<Vec<_>>(), "all of them, in order");
    assert_eq!(said.load(Ordering::SeqCst), 500);
}

#[tokio::test]
async fn subscriptions_beyond_the_limit_are_refused() {
    let server = Server::new("x", "1").max_subscriptions(2).build().unwrap();
    let listen = || call("subscriptions/listen", json!({"notifications": {}}));
    let first = stream(&server, listen()).await;
    let _second = stream(&server, listen()).await;
    let refused = answer(&server, listen()).await;
    assert_eq!(refused.code(), -31001);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("limit of 2")
    );
    drop(first);
    let _third = stream(&server, listen()).await;
    assert_eq!(server.subscriptions(), 2);
}

async fn reply_to(server: &Server, call: Call) -> Reply {
    server.clone().call(call).await.unwrap()
}

fn listen_from(host: u8, filter: Value) -> Call {
    let mut listen = call("subscriptions/listen", json!({"notifications": filter}));
    listen.set_source(CallSource::new(None, Some([10, 0, 0, host].into())));
    listen
}

#[tokio::test]
async fn a_caller_at_its_limit_of_subscriptions_does_not_lock_out_others() {
    let server = Server::new("x", "1")
        .max_subscriptions(3)
        .max_subscriptions_per_caller(2)
        .build()
        .unwrap();
    let first = stream(&server, listen_from(1, json!({}))).await;
    let _second = stream(&server, listen_from(1, json!({}))).await;
    let refused = answer(&server, listen_from(1, json!({}))).await;
    assert_eq!(refused.code(), -31001);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("one caller"),
        "{refused:?}"
    );
    let _other = stream(&server, listen_from(2, json!({}))).await;
    drop(first);
    let _third = stream(&server, listen_from(1, json!({}))).await;
}

#[tokio::test]
async fn the_names_in_subscriptions_are_bounded_in_bytes() {
    let server = Server::new("x", "1").with_resources().build().unwrap();
    let long = |n: usize| format!("file:///{n:04}{}", "x".repeat(8 * 1024 - 12));
    assert_eq!(long(1).len(), 8 * 1024);
    let filter =
        json!({"resourceSubscriptions": [long(1), format!("{}x", long(2)), "file:///short"]});
    let mut listening = stream(&server, listen_from(1, filter)).await;
    let (_, acknowledged) = next_notification(&mut listening).await;
    let honoured = acknowledged["notifications"]["resourceSubscriptions"]
        .as_array()
        .unwrap();
    assert_eq!(honoured.len(), 2, "a URI that is too long is left out");
    drop(listening);

    let all: Vec<String> = (0..1_000).map(long).collect();
    let filter = json!({"resourceSubscriptions": all});
    let mut open = Vec::new();
    let refused = loop {
        let reply = reply_to(&server, listen_from(1, filter.clone())).await;
        match reply {
            Reply::Stream(stream) => open.push(stream),
            Reply::Once(response) => break response,
        }
        assert!(open.len() < 10, "8 MB each");
    };
    assert!(matches!(refused.outcome, Outcome::Error(error) if error.code == -31001));
    assert!(!open.is_empty());
    let _other = stream(&server, listen_from(2, filter)).await;
}

#[tokio::test]
async fn a_slow_subscriber_costs_bounded_memory_and_misses_nothing() {
    let server = Server::new("x", "1").with_resources().build().unwrap();
    let filter = json!({"resourceSubscriptions": ["file:///p"], "resourcesListChanged": true});
    let slow = stream(
        &server,
        call("subscriptions/listen", json!({"notifications": filter})),
    )
    .await;
    for n in 0..10_000 {
        server.resource_updated(&format!("file:///p/{n}"));
    }
    server.close_subscriptions();
    let told = collect(Reply::Stream(slow)).await;
    let uris: HashSet<String> = told
        .params_of("notifications/resources/updated")
        .iter()
        .map(|params| params["uri"].as_str().unwrap().to_owned())
        .collect();
    assert!(uris.len() <= 64, "{}", uris.len());
    assert!(
        uris.contains("file:///p"),
        "merged changes name the resource of the filter"
    );
}
