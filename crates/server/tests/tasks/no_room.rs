//! Calls that may become tasks, where there can be no further task.

use crate::replicas::Unreliable;
use crate::world::*;
use carryall_server::{Ctx, HandlerError, Server, TaskSupport, Tool};
use carryall_store::Memory;
use carryall_testkit::answer;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// How many attempts at a store a request makes.
const TRIES: usize = 3;

/// A server of which the only place for a task is taken.
async fn full(world: &World) -> Server {
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
    let server = builder(world)
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
async fn a_call_that_has_begun_goes_on_as_a_plain_one() {
    let world = World::default();
    let server = full(&world).await;
    assert_eq!(answer(&server, tool("soon")).await.text(), "in the end");
    assert_eq!(
        world.seen(),
        ["begun", "begun", "ended"],
        "it is neither dropped nor started again"
    );
}

// spec: ext-tasks-02
#[tokio::test]
async fn a_call_that_may_be_a_task_is_a_plain_one_and_one_that_must_be_is_refused() {
    let server = full(&World::default()).await;
    let answered = answer(&server, tool("possible")).await;
    assert_eq!(
        (answered.text(), &answered.result()["resultType"]),
        ("later", &json!("complete"))
    );
    assert_eq!(answer(&server, tool("always")).await.code(), -32603);
}

#[tokio::test]
async fn a_call_that_goes_on_as_a_plain_one_has_the_time_of_one() {
    let server = full(&World::default()).await;
    let answered = answer(&server, tool("endless")).await;
    assert_eq!(answered.result()["isError"], true, "{answered:?}");
}

#[tokio::test]
async fn a_handler_that_wants_a_task_is_told_that_there_is_none() {
    let server = full(&World::default()).await;
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
async fn without_a_store_a_call_goes_on_unless_what_it_does_could_be_done_again() {
    let soon = |name: &str| {
        Tool::new(name, async |ctx: Ctx| {
            world_of(&ctx, "begun");
            sleep(Duration::from_millis(50)).await;
            "in the end"
        })
        .as_task(TaskSupport::After(Duration::from_millis(10)))
    };
    let (world, store) = (World::default(), Unreliable::default());
    let server = builder(&world)
        .tool(soon("once"))
        .tool(soon("again").resumable())
        .store(store.clone())
        .tasks(settings())
        .build()
        .unwrap();
    store.failing.store(TRIES, Ordering::SeqCst);
    assert_eq!(answer(&server, tool("once")).await.text(), "in the end");
    store.failing.store(TRIES, Ordering::SeqCst);
    assert_eq!(
        answer(&server, tool("again")).await.code(),
        -32603,
        "its task may be there, and is resumed then"
    );
    assert_eq!(world.seen(), ["begun", "begun"]);
}
