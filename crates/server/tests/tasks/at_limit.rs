//! Calls that may become tasks, where there is no room for a task.

use crate::fixture::*;
use crate::replicas::UnreliableStore;
use carryall_server::{Ctx, HandlerError, Server, TaskSupport, Tool};
use carryall_store::Memory;
use carryall_testkit::answer;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// The attempts that a request makes while the store fails.
const MAX_ATTEMPTS: usize = 3;

/// A server that runs one task at a time, and runs one.
async fn full(probe: &Probe) -> Server {
    let soon = || Duration::from_millis(10);
    let undecided = Tool::new("undecided", async |ctx: Ctx| {
        let mut refused = 0;
        while ctx.become_task().await.is_err() {
            refused += 1;
            if refused == 2 {
                return Ok::<_, HandlerError>("a plain call, then".to_owned());
            }
        }
        Ok("a task".to_owned())
    });
    let server = builder(probe)
        .tool(undecided.as_task(TaskSupport::OnDemand))
        .tool(
            Tool::new("demanding", async |ctx: Ctx| {
                ctx.become_task().await?;
                Ok::<_, HandlerError>("a task")
            })
            .as_task(TaskSupport::OnDemand),
        )
        .tool(
            Tool::new("endless", async || std::future::pending::<&str>().await)
                .as_task(TaskSupport::After(soon()))
                .timeout(Duration::from_millis(100)),
        )
        .store(Memory::new())
        .tasks(settings().max_running(1))
        .build()
        .unwrap();
    created(&server, "waits").await;
    server
}

#[tokio::test]
async fn a_call_that_has_begun_goes_on_as_a_plain_call() {
    let probe = Probe::default();
    let server = full(&probe).await;
    assert_eq!(answer(&server, tool("soon")).await.text(), "in the end");
    assert_eq!(
        probe.seen(),
        ["begun", "begun", "ended"],
        "it is neither dropped nor restarted"
    );
}

// spec: ext-tasks-02
#[tokio::test]
async fn an_optional_task_becomes_a_plain_call_and_a_required_one_is_refused() {
    let server = full(&Probe::default()).await;
    let answered = answer(&server, tool("possible")).await;
    assert_eq!(
        (answered.text(), &answered.result()["resultType"]),
        ("later", &json!("complete"))
    );
    assert_eq!(answer(&server, tool("always")).await.code(), -32603);
}

#[tokio::test]
async fn a_call_that_goes_on_as_a_plain_call_has_its_timeout() {
    let server = full(&Probe::default()).await;
    let answered = answer(&server, tool("endless")).await;
    assert_eq!(answered.result()["isError"], true, "{answered:?}");
}

#[tokio::test]
async fn a_handler_that_asks_for_a_task_gets_the_refusal() {
    let server = full(&Probe::default()).await;
    assert_eq!(
        answer(&server, tool("undecided")).await.text(),
        "a plain call, then"
    );
    let refused = answer(&server, tool("demanding")).await;
    assert_eq!(refused.code(), -32603);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("limit of running tasks"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn without_a_store_a_call_goes_on_unless_its_work_could_be_repeated() {
    let soon = |name: &str| {
        Tool::new(name, async |ctx: Ctx| {
            record(&ctx, "begun");
            sleep(Duration::from_millis(50)).await;
            "in the end"
        })
        .as_task(TaskSupport::After(Duration::from_millis(10)))
    };
    let (probe, store) = (Probe::default(), UnreliableStore::default());
    let server = builder(&probe)
        .tool(soon("once"))
        .tool(soon("again").resumable())
        .store(store.clone())
        .tasks(settings())
        .build()
        .unwrap();
    store.failing.store(MAX_ATTEMPTS, Ordering::SeqCst);
    assert_eq!(answer(&server, tool("once")).await.text(), "in the end");
    store.failing.store(MAX_ATTEMPTS, Ordering::SeqCst);
    assert_eq!(
        answer(&server, tool("again")).await.code(),
        -32603,
        "its task may be stored, and would be resumed"
    );
    assert_eq!(probe.seen(), ["begun", "begun"]);
}
