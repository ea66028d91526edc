//! The tools, servers and client that the tests of tasks share.

use carryall_proto::Call;
use carryall_server::{
    Ctx, ElicitOutcome, Form, HandlerError, Server, ServerBuilder, TaskOptions, TaskSupport, Tool,
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

/// Records what the tools of all replicas do, and lets them proceed.
#[derive(Clone, Default)]
pub(crate) struct Probe {
    pub(crate) effects: Arc<Mutex<Vec<String>>>,
    pub(crate) go: Arc<Notify>,
}

impl Probe {
    pub(crate) fn record(&self, effect: impl Into<String>) {
        self.effects.lock().unwrap().push(effect.into());
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.effects.lock().unwrap().clone()
    }
}

pub(crate) fn probe(ctx: &Ctx) -> Arc<Probe> {
    Arc::new(ctx.state::<Probe>().unwrap().clone())
}

/// Records when it is dropped unfinished.
pub(crate) struct Unfinished(Arc<Probe>, bool);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.1 {
            self.0.record("dropped");
        }
    }
}

pub(crate) fn builder(probe: &Probe) -> ServerBuilder {
    let waits = async |ctx: Ctx| {
        let probe = self::probe(&ctx);
        let mut unfinished = Unfinished(Arc::clone(&probe), false);
        probe.record("begun");
        probe.go.notified().await;
        unfinished.1 = true;
        "done"
    };
    Server::new("tasks", "1")
        .state(probe.clone())
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
                record(&ctx, "begun");
                sleep(Duration::from_millis(120)).await;
                record(&ctx, "ended");
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
                record(&ctx, "asked");
                ctx.become_task().await?;
                record(&ctx, "a task now");
                Ok::<_, HandlerError>(named.accepted().map(|named| named.name).unwrap_or_default())
            })
            .as_task(TaskSupport::OnDemand),
        )
        .tool(
            Tool::new("asks", async |ctx: Ctx| {
                let order: String = ctx
                    .once("order", async || {
                        Ok::<_, HandlerError>(record(&ctx, "ordered").to_owned())
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
                self::probe(&ctx).go.notified().await;
                "reported"
            })
            .as_task(TaskSupport::Always),
        )
}

pub(crate) fn record(ctx: &Ctx, effect: &'static str) -> &'static str {
    probe(ctx).record(effect);
    effect
}

pub(crate) fn settings() -> TaskOptions {
    TaskOptions::new().lease(LEASE)
}

pub(crate) fn server(probe: &Probe, store: &Memory) -> Server {
    builder(probe)
        .store(store.clone())
        .tasks(settings())
        .build()
        .map(maintained)
        .unwrap()
}

/// Does the server's background work until the test ends.
pub(crate) fn maintained(server: Server) -> Server {
    tokio::spawn(server.maintain());
    server
}

/// One server with a store of its own.
pub(crate) fn single_server() -> (Probe, Memory, Server) {
    let (probe, store) = (Probe::default(), Memory::new());
    let server = server(&probe, &store);
    (probe, store, server)
}

/// The `_meta` of a client that accepts tasks and can fill in forms.
pub(crate) fn capable_meta() -> Value {
    let extensions = json!({"io.modelcontextprotocol/tasks": {}});
    let capabilities = json!({"elicitation": {"form": {}}, "extensions": extensions});
    meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": capabilities}))
}

pub(crate) fn with_meta(mut params: Value) -> Value {
    params["_meta"] = capable_meta();
    params
}

pub(crate) fn tool(name: &str) -> Call {
    call(
        "tools/call",
        with_meta(json!({"name": name, "arguments": {}})),
    )
}

pub(crate) async fn created(server: &Server, name: &str) -> String {
    let created = answer(server, tool(name)).await;
    assert_eq!(created.result()["resultType"], "task", "{created:?}");
    created.result()["taskId"].as_str().unwrap().to_owned()
}

pub(crate) async fn get(server: &Server, id: &str) -> TestReply {
    answer(server, call("tasks/get", with_meta(json!({"taskId": id})))).await
}

pub(crate) async fn update(server: &Server, id: &str, answers: Value) -> TestReply {
    answer(
        server,
        call(
            "tasks/update",
            with_meta(json!({"taskId": id, "inputResponses": answers})),
        ),
    )
    .await
}

pub(crate) async fn cancel(server: &Server, id: &str) -> TestReply {
    answer(
        server,
        call("tasks/cancel", with_meta(json!({"taskId": id}))),
    )
    .await
}

/// Polls a task until `wanted` holds; fails after a while.
pub(crate) async fn until(server: &Server, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let task = get(server, id).await.result().clone();
        if wanted(&task) {
            return task;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("not within the time allowed: {:?}", get(server, id).await);
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
