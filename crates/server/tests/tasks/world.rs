//! The tools, the servers and the client that the tests of tasks have in common.

use carryall_proto::Call;
use carryall_server::{
    Ctx, ElicitOutcome, Form, HandlerError, Server, ServerBuilder, TaskSupport, Tasks, Tool,
};
use carryall_store::Memory;
use carryall_testkit::{TestReply, answer, call, meta_with};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

pub(crate) const LEASE: Duration = Duration::from_millis(150);

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Named {
    pub(crate) name: String,
}

/// What the tools of all replicas have done, and when they may go on.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) effects: Arc<Mutex<Vec<String>>>,
    pub(crate) go: Arc<Notify>,
}

impl World {
    pub(crate) fn note(&self, effect: impl Into<String>) {
        self.effects.lock().unwrap().push(effect.into());
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.effects.lock().unwrap().clone()
    }
}

pub(crate) fn world(ctx: &Ctx) -> Arc<World> {
    Arc::new(ctx.state::<World>().unwrap().clone())
}

/// Notes when it is dropped before it was done.
pub(crate) struct Unfinished(Arc<World>, bool);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.1 {
            self.0.note("dropped");
        }
    }
}

pub(crate) fn builder(world: &World) -> ServerBuilder {
    let waits = async |ctx: Ctx| {
        let world = self::world(&ctx);
        let mut unfinished = Unfinished(Arc::clone(&world), false);
        world.note("begun");
        world.go.notified().await;
        unfinished.1 = true;
        "done"
    };
    Server::new("tasks", "1")
        .state(world.clone())
        .tool(Tool::new("plain", async || "at once"))
        .tool(Tool::new("always", async || "later").as_task(TaskSupport::Always))
        .tool(Tool::new("possible", async || "later").as_task(TaskSupport::WhenPossible))
        .tool(Tool::new("waits", waits).as_task(TaskSupport::Always))
        .tool(
            Tool::new("resumes", waits)
                .as_task(TaskSupport::Always)
                .resumable(),
        )
        .tool(
            Tool::new("soon", async |ctx: Ctx| {
                world_of(&ctx, "begun");
                sleep(Duration::from_millis(120)).await;
                world_of(&ctx, "ended");
                "in the end"
            })
            .as_task(TaskSupport::After(Duration::from_millis(40))),
        )
        .tool(
            Tool::new("quick", async || "at once")
                .as_task(TaskSupport::After(Duration::from_secs(5))),
        )
        .tool(
            Tool::new("demands", async |ctx: Ctx| {
                let named = ctx.ask(Form::<Named>::new("Who?")).await?;
                world_of(&ctx, "asked");
                ctx.become_task().await?;
                world_of(&ctx, "a task now");
                Ok::<_, HandlerError>(named.accepted().map(|named| named.name).unwrap_or_default())
            })
            .as_task(TaskSupport::OnDemand),
        )
        .tool(
            Tool::new("asks", async |ctx: Ctx| {
                let order: String = ctx
                    .once("order", async || {
                        Ok::<_, HandlerError>(world_of(&ctx, "ordered").to_owned())
                    })
                    .await?;
                let one = ctx.ask(Form::<Named>::new("One?")).await?;
                let two = ctx
                    .ask((Form::<Named>::new("One?"), Form::<Named>::new("Two?")))
                    .await?;
                let (
                    ElicitOutcome::Accepted(one),
                    (ElicitOutcome::Accepted(again), ElicitOutcome::Accepted(two)),
                ) = (one, two)
                else {
                    return Ok("no".to_owned());
                };
                Ok::<_, HandlerError>(format!("{order} {} {} {}", one.name, again.name, two.name))
            })
            .as_task(TaskSupport::Always)
            .resumable(),
        )
        .tool(
            Tool::new("fails", async || Err::<(), _>(HandlerError::new("no")))
                .as_task(TaskSupport::Always),
        )
        .tool(Tool::new("panics", async || -> String { panic!("oh") }).as_task(TaskSupport::Always))
        .tool(
            Tool::new("reports", async |ctx: Ctx| {
                ctx.progress(1.0).of(2.0).await;
                sleep(Duration::from_millis(20)).await;
                ctx.progress(2.0).of(2.0).message("nearly there").await;
                self::world(&ctx).go.notified().await;
                "reported"
            })
            .as_task(TaskSupport::Always),
        )
}

pub(crate) fn world_of(ctx: &Ctx, effect: &'static str) -> &'static str {
    world(ctx).note(effect);
    effect
}

pub(crate) fn settings() -> Tasks {
    Tasks::new().lease(LEASE)
}

pub(crate) fn server(world: &World, store: &Memory) -> Server {
    builder(world)
        .store(store.clone())
        .tasks(settings())
        .build()
        .unwrap()
}

/// Everything on a server of its own.
pub(crate) fn alone() -> (World, Memory, Server) {
    let (world, store) = (World::default(), Memory::new());
    let server = server(&world, &store);
    (world, store, server)
}

/// A client that takes tasks and can fill in forms.
pub(crate) fn able() -> Value {
    let extensions = json!({"io.modelcontextprotocol/tasks": {}});
    let capabilities = json!({"elicitation": {"form": {}}, "extensions": extensions});
    meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": capabilities}))
}

pub(crate) fn with(mut params: Value) -> Value {
    params["_meta"] = able();
    params
}

pub(crate) fn tool(name: &str) -> Call {
    call("tools/call", with(json!({"name": name, "arguments": {}})))
}

pub(crate) async fn created(server: &Server, name: &str) -> String {
    let created = answer(server, tool(name)).await;
    assert_eq!(created.result()["resultType"], "task", "{created:?}");
    created.result()["taskId"].as_str().unwrap().to_owned()
}

pub(crate) async fn get(server: &Server, id: &str) -> TestReply {
    answer(server, call("tasks/get", with(json!({"taskId": id})))).await
}

pub(crate) async fn update(server: &Server, id: &str, answers: Value) -> TestReply {
    answer(
        server,
        call(
            "tasks/update",
            with(json!({"taskId": id, "inputResponses": answers})),
        ),
    )
    .await
}

pub(crate) async fn cancel(server: &Server, id: &str) -> TestReply {
    answer(server, call("tasks/cancel", with(json!({"taskId": id})))).await
}

/// The task as soon as `wanted` holds, which has to be soon.
pub(crate) async fn until(server: &Server, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let task = get(server, id).await.result().clone();
        if wanted(&task) {
            return task;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to that: {:?}", get(server, id).await);
}

pub(crate) async fn ended(server: &Server, id: &str) -> Value {
    until(server, id, |task| {
        ["completed", "failed", "cancelled"].contains(&task["status"].as_str().unwrap())
    })
    .await
}

pub(crate) fn accept(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}

pub(crate) fn keys(task: &Value) -> Vec<String> {
    task["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}
