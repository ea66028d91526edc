//! Tasks: calls whose result comes later, from whichever replica, and once.

use bytes::Bytes;
use carryall_proto::{Call, MessageStream};
use carryall_server::{Ctx, Elicited, Failure, Form, Server, ServerBuilder, TaskSupport, Tasks, Tool, ToolError};
use carryall_store::{BoxFuture, Changes, Memory, Row, Store, StoreError, StoreResult};
use carryall_testkit::{Answered, answer, call, call_as, meta_with, next_notification, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

const LEASE: Duration = Duration::from_millis(150);

#[derive(Deserialize, JsonSchema)]
struct Named {
    name: String,
}

/// What the tools of all replicas have done, and when they may go on.
#[derive(Clone, Default)]
struct World {
    effects: Arc<Mutex<Vec<String>>>,
    go: Arc<Notify>,
}

impl World {
    fn note(&self, effect: impl Into<String>) {
        self.effects.lock().unwrap().push(effect.into());
    }

    fn seen(&self) -> Vec<String> {
        self.effects.lock().unwrap().clone()
    }
}

fn world(ctx: &Ctx) -> Arc<World> {
    ctx.state().unwrap()
}

/// Notes when it is dropped before it was done.
struct Unfinished(Arc<World>, bool);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.1 {
            self.0.note("dropped");
        }
    }
}

fn builder(world: &World) -> ServerBuilder {
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
        .tool(Tool::without_arguments("plain", async |_| "at once"))
        .tool(Tool::without_arguments("always", async |_| "later").as_task(TaskSupport::Always))
        .tool(Tool::without_arguments("possible", async |_| "later").as_task(TaskSupport::WhenPossible))
        .tool(Tool::without_arguments("waits", waits).as_task(TaskSupport::Always))
        .tool(Tool::without_arguments("resumes", waits).as_task(TaskSupport::Always).resumable())
        .tool(
            Tool::without_arguments("soon", async |ctx: Ctx| {
                world_of(&ctx, "begun");
                sleep(Duration::from_millis(120)).await;
                world_of(&ctx, "ended");
                "in the end"
            })
            .as_task(TaskSupport::After(Duration::from_millis(40))),
        )
        .tool(Tool::without_arguments("quick", async |_| "at once").as_task(TaskSupport::After(Duration::from_secs(5))))
        .tool(
            Tool::without_arguments("demands", async |ctx: Ctx| {
                let named = ctx.ask(Form::<Named>::new("Who?")).await?;
                world_of(&ctx, "asked");
                ctx.become_task().await?;
                world_of(&ctx, "a task now");
                Ok::<_, ToolError>(named.accepted().map(|named| named.name).unwrap_or_default())
            })
            .as_task(TaskSupport::OnDemand),
        )
        .tool(
            Tool::without_arguments("asks", async |ctx: Ctx| {
                let order: String =
                    ctx.once("order", async || Ok::<_, Failure>(world_of(&ctx, "ordered").to_owned())).await?;
                let one = ctx.ask(Form::<Named>::new("One?")).await?;
                let two = ctx.ask((Form::<Named>::new("One?"), Form::<Named>::new("Two?"))).await?;
                let (Elicited::Accepted(one), (Elicited::Accepted(again), Elicited::Accepted(two))) = (one, two) else {
                    return Ok("no".to_owned());
                };
                Ok::<_, ToolError>(format!("{order} {} {} {}", one.name, again.name, two.name))
            })
            .as_task(TaskSupport::Always)
            .resumable(),
        )
        .tool(
            Tool::without_arguments("fails", async |_| Err::<(), _>(ToolError::new("no"))).as_task(TaskSupport::Always),
        )
        .tool(Tool::without_arguments("panics", async |_| -> String { panic!("oh") }).as_task(TaskSupport::Always))
        .tool(
            Tool::without_arguments("reports", async |ctx: Ctx| {
                ctx.progress(1.0, Some(2.0), None).await;
                sleep(Duration::from_millis(20)).await;
                ctx.progress(2.0, Some(2.0), Some("nearly there")).await;
                self::world(&ctx).go.notified().await;
                "reported"
            })
            .as_task(TaskSupport::Always),
        )
}

fn world_of(ctx: &Ctx, effect: &'static str) -> &'static str {
    world(ctx).note(effect);
    effect
}

fn settings() -> Tasks {
    Tasks::new().lease(LEASE)
}

fn server(world: &World, store: &Memory) -> Server {
    builder(world).store(store.clone()).tasks(settings()).build().unwrap()
}

/// Everything on a server of its own.
fn alone() -> (World, Memory, Server) {
    let (world, store) = (World::default(), Memory::new());
    let server = server(&world, &store);
    (world, store, server)
}

/// A client that takes tasks and can fill in forms.
fn able() -> Value {
    let extensions = json!({"io.modelcontextprotocol/tasks": {}});
    let capabilities = json!({"elicitation": {"form": {}}, "extensions": extensions});
    meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": capabilities}))
}

fn with(mut params: Value) -> Value {
    params["_meta"] = able();
    params
}

fn tool(name: &str) -> Call {
    call("tools/call", with(json!({"name": name, "arguments": {}})))
}

async fn created(server: &Server, name: &str) -> String {
    let created = answer(server, tool(name)).await;
    assert_eq!(created.result()["resultType"], "task", "{created:?}");
    created.result()["taskId"].as_str().unwrap().to_owned()
}

async fn get(server: &Server, id: &str) -> Answered {
    answer(server, call("tasks/get", with(json!({"taskId": id})))).await
}

async fn update(server: &Server, id: &str, answers: Value) -> Answered {
    answer(server, call("tasks/update", with(json!({"taskId": id, "inputResponses": answers})))).await
}

async fn cancel(server: &Server, id: &str) -> Answered {
    answer(server, call("tasks/cancel", with(json!({"taskId": id})))).await
}

/// The task as soon as `wanted` holds, which has to be soon.
async fn until(server: &Server, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let task = get(server, id).await.result().clone();
        if wanted(&task) {
            return task;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to that: {:?}", get(server, id).await);
}

async fn ended(server: &Server, id: &str) -> Value {
    until(server, id, |task| ["completed", "failed", "cancelled"].contains(&task["status"].as_str().unwrap())).await
}

fn accept(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}

fn keys(task: &Value) -> Vec<String> {
    task["inputRequests"].as_object().unwrap().keys().cloned().collect()
}

// spec: ext-tasks-01
#[tokio::test]
async fn the_extension_is_advertised_by_servers_that_have_tasks() {
    let (_, _, server) = alone();
    let capabilities = |answered: Answered| answered.result()["capabilities"].clone();
    let discovered = capabilities(answer(&server, call("server/discover", json!({}))).await);
    assert_eq!(discovered["extensions"]["io.modelcontextprotocol/tasks"], json!({}));
    assert!(discovered.get("tasks").is_none());
    let without = Server::new("plain", "1").tool(Tool::without_arguments("a", async |_| "a")).build().unwrap();
    let discovered = capabilities(answer(&without, call("server/discover", json!({}))).await);
    assert!(discovered.get("extensions").is_none());
    let unknown = answer(&without, call("tasks/get", with(json!({"taskId": "t"})))).await;
    assert_eq!(unknown.code(), -32601);
}

#[tokio::test]
async fn a_task_is_there_when_its_creation_is_answered_and_has_the_result_of_the_call() {
    let (_, _, server) = alone();
    let made = answer(&server, tool("always")).await;
    let made = made.result();
    assert_eq!(made["status"], "working");
    assert_eq!(made["ttlMs"], 3_600_000);
    assert_eq!(made["pollIntervalMs"], 1000);
    assert!(made.get("result").is_none() && made.get("inputRequests").is_none() && made.get("requestState").is_none());
    assert_eq!(made["createdAt"], made["lastUpdatedAt"]);
    let id = made["taskId"].as_str().unwrap();
    assert!(id.len() >= 32, "{id}");
    assert_eq!(get(&server, id).await.result()["taskId"], id);
    let task = ended(&server, id).await;
    assert_eq!(task["status"], "completed");
    assert_eq!(task["resultType"], "complete");
    assert_eq!(task["result"]["content"][0]["text"], "later");
    assert_ne!(answer(&server, tool("always")).await.result()["taskId"], *id);
}

#[tokio::test]
async fn a_client_that_takes_no_tasks_gets_none() {
    let (_, _, server) = alone();
    let plainly = |name: &str| call("tools/call", json!({"name": name, "arguments": {}}));
    assert_eq!(answer(&server, plainly("possible")).await.text(), "later");
    assert_eq!(answer(&server, plainly("soon")).await.text(), "in the end");
    let refused = answer(&server, plainly("always")).await;
    assert_eq!(refused.code(), -32021);
    let required = &refused.error()["data"]["requiredCapabilities"];
    assert_eq!(*required, json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}));
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let refused = answer(&server, call(method, json!({"taskId": "t", "inputResponses": {}}))).await;
        assert_eq!(refused.code(), -32021, "{method}");
        assert!(refused.error()["data"]["requiredCapabilities"]["extensions"].is_object());
    }
    let listen = json!({"notifications": {"taskIds": ["t"]}});
    assert_eq!(answer(&server, call("subscriptions/listen", listen)).await.code(), -32021);
    assert_eq!(answer(&server, call("tasks/list", with(json!({})))).await.code(), -32601);
    assert_eq!(answer(&server, call("tasks/result", with(json!({"taskId": "t"})))).await.code(), -32601);
}

#[tokio::test]
async fn what_is_quick_is_no_task_and_what_takes_longer_goes_on_as_one() {
    let (world, _, server) = alone();
    assert_eq!(answer(&server, tool("quick")).await.text(), "at once");
    assert_eq!(answer(&server, tool("plain")).await.text(), "at once");
    let id = created(&server, "soon").await;
    assert_eq!(ended(&server, &id).await["result"]["content"][0]["text"], "in the end");
    assert_eq!(world.seen(), ["begun", "ended"], "nothing was started again");
}

#[tokio::test]
async fn rounds_come_first_and_then_the_task() {
    let (world, _, server) = alone();
    let asked = answer(&server, tool("demands")).await;
    assert_eq!(asked.result()["resultType"], "input_required");
    assert!(asked.result().get("taskId").is_none());
    let key = keys(asked.result()).remove(0);
    let round = json!({
        "name": "demands", "arguments": {}, "requestState": asked.result()["requestState"],
        "inputResponses": {&key: accept("Ada")},
    });
    let made = answer(&server, call("tools/call", with(round))).await;
    assert_eq!(made.result()["resultType"], "task");
    assert!(made.result().get("requestState").is_none());
    let id = made.result()["taskId"].as_str().unwrap();
    assert_eq!(ended(&server, id).await["result"]["content"][0]["text"], "Ada");
    assert_eq!(world.seen(), ["asked", "a task now"], "the handler goes on where it was");
    let without = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}));
    let round = json!({"name": "demands", "arguments": {}, "inputResponses": {&key: accept("Ada")}, "_meta": without});
    assert_eq!(answer(&server, call("tools/call", round)).await.code(), -32021);
}

#[tokio::test]
async fn a_failure_is_a_result_and_an_error_is_a_failed_task() {
    let (_, _, server) = alone();
    let failed = ended(&server, &created(&server, "fails").await).await;
    assert_eq!(failed["status"], "completed");
    assert_eq!(failed["result"]["isError"], true);
    let panicked = ended(&server, &created(&server, "panics").await).await;
    assert_eq!(panicked["status"], "failed");
    assert_eq!(panicked["error"]["code"], -32603);
    assert!(panicked.get("result").is_none());
    assert!(panicked["statusMessage"].is_string());
}

#[tokio::test]
async fn a_task_asks_by_itself_and_each_question_has_a_key_of_its_own() {
    let (world, _, server) = alone();
    let id = created(&server, "asks").await;
    let task = until(&server, &id, |task| task["status"] == "input_required").await;
    let first = keys(&task);
    assert_eq!(first.len(), 1);
    assert_eq!(task["inputRequests"][&first[0]]["method"], "elicitation/create");

    let wrong = update(&server, &id, json!({&first[0]: {"action": "accept", "content": {"name": 7}}})).await;
    assert_eq!(wrong.code(), -32602);
    assert!(wrong.error()["message"].as_str().unwrap().contains(&first[0]));
    let ignored = update(&server, &id, json!({"never-asked": accept("x")})).await;
    assert_eq!(ignored.result()["resultType"], "complete");
    assert_eq!(keys(&get(&server, &id).await.result().clone()), first);

    let acknowledged = update(&server, &id, json!({&first[0]: accept("a")})).await;
    let acknowledged = acknowledged.result().as_object().unwrap();
    assert!(acknowledged.keys().all(|key| key == "resultType" || key == "_meta"), "{acknowledged:?}");
    let task =
        until(&server, &id, |task| task["inputRequests"].as_object().is_some_and(|asked| asked.len() == 2)).await;
    let second = keys(&task);
    assert!(!second.contains(&first[0]), "the same question is another one the second time");

    // One of two: the other one is still asked. The one that was answered is not asked again, whatever comes for it.
    update(&server, &id, json!({&second[1]: accept("c"), &first[0]: accept("late")})).await;
    let task = get(&server, &id).await.result().clone();
    assert_eq!((task["status"].as_str(), keys(&task)), (Some("input_required"), vec![second[0].clone()]));
    update(&server, &id, json!({&second[0]: accept("b"), &second[1]: accept("late")})).await;
    assert_eq!(ended(&server, &id).await["result"]["content"][0]["text"], "ordered a b c");
    assert_eq!(world.seen(), ["ordered"]);
    assert!(update(&server, &id, json!({&second[0]: accept("b")})).await.result().is_object(), "too late is no error");
}

#[tokio::test]
async fn a_question_that_the_client_cannot_answer_fails_the_task() {
    let (_, _, server) = alone();
    let extensions = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let meta = meta_with(&json!({"io.modelcontextprotocol/clientCapabilities": extensions}));
    let made = answer(&server, call("tools/call", json!({"name": "asks", "arguments": {}, "_meta": meta}))).await;
    let task = ended(&server, made.result()["taskId"].as_str().unwrap()).await;
    assert_eq!((task["status"].as_str(), task["error"]["code"].as_i64()), (Some("failed"), Some(-32021)));
}

#[tokio::test]
async fn a_cancelled_task_stays_cancelled_and_its_handler_is_dropped() {
    let (world, _, server) = alone();
    let id = created(&server, "waits").await;
    for _ in 0..2 {
        let acknowledged = cancel(&server, &id).await;
        assert_eq!(acknowledged.result()["resultType"], "complete", "twice is as good as once");
    }
    assert_eq!(get(&server, &id).await.result()["status"], "cancelled");
    for _ in 0..500 {
        if world.seen().contains(&"dropped".to_owned()) {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.seen(), ["begun", "dropped"]);
    world.go.notify_one();
    sleep(LEASE).await;
    assert_eq!(get(&server, &id).await.result()["status"], "cancelled");

    let done = created(&server, "always").await;
    ended(&server, &done).await;
    assert!(cancel(&server, &done).await.result().is_object());
    assert_eq!(get(&server, &done).await.result()["status"], "completed", "what has ended is not cancelled");
}

#[tokio::test]
async fn how_far_it_has_come_is_its_status_message() {
    let (world, _, server) = alone();
    let asked = meta_with(&json!({"progressToken": "p", "io.modelcontextprotocol/clientCapabilities":
        {"extensions": {"io.modelcontextprotocol/tasks": {}}}}));
    let made = answer(&server, call("tools/call", json!({"name": "reports", "arguments": {}, "_meta": asked}))).await;
    assert!(made.notifications.is_empty(), "no progress notifications from tasks");
    let id = made.result()["taskId"].as_str().unwrap();
    until(&server, id, |task| task["statusMessage"] == "1 of 2").await;
    // The second report came too soon to be written by itself; it goes along with the next renewal.
    let task = until(&server, id, |task| task["statusMessage"] == "nearly there").await;
    assert_eq!(task["status"], "working");
    world.go.notify_one();
    ended(&server, id).await;
}

#[tokio::test]
async fn a_task_belongs_to_whoever_made_it() {
    let (_, _, server) = alone();
    let made =
        answer(&server, call_as("ada", &[], "tools/call", with(json!({"name": "waits", "arguments": {}})))).await;
    let id = made.result()["taskId"].as_str().unwrap();
    let theirs = |subject: Option<&str>, method: &str, id: &str| {
        let params = with(json!({"taskId": id, "inputResponses": {}}));
        match subject {
            Some(subject) => call_as(subject, &[], method, params),
            None => call(method, params),
        }
    };
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for stranger in [Some("bob"), None] {
            let stolen = answer(&server, theirs(stranger, method, id)).await;
            let guessed = answer(&server, theirs(stranger, method, &id.replace(|_| true, "0"))).await;
            assert_eq!(stolen.code(), -32602);
            let message = |answered: &Answered| {
                answered.error()["message"].as_str().unwrap().split(':').next().map(str::to_owned)
            };
            assert_eq!(message(&stolen), message(&guessed), "a stranger cannot tell that there is such a task");
        }
    }
    assert_eq!(answer(&server, theirs(Some("ada"), "tasks/get", id)).await.result()["status"], "working");
    let listen = |subject: &str| {
        call_as(subject, &[], "subscriptions/listen", with(json!({"notifications": {"taskIds": [id, "guessed"]}})))
    };
    let mut hers = stream(&server, listen("ada")).await;
    let (_, acknowledged) = next_notification(&mut hers).await;
    assert_eq!(acknowledged["notifications"]["taskIds"], json!([id]));
    let mut his = stream(&server, listen("bob")).await;
    let (_, acknowledged) = next_notification(&mut his).await;
    assert_eq!(acknowledged["notifications"]["taskIds"], json!([]), "nor by listening");
}

async fn told(listening: &mut MessageStream) -> Value {
    let (method, params) = next_notification(listening).await;
    assert_eq!(method, "notifications/tasks");
    params
}

#[tokio::test]
async fn listeners_are_told_how_a_task_stands_on_whichever_replica_they_listen() {
    let (world, store, here) = alone();
    let there = server(&world, &store);
    let id = created(&here, "asks").await;
    until(&here, &id, |task| task["status"] == "input_required").await;
    let listen = with(json!({"notifications": {"taskIds": [id]}}));
    let mut listening = stream(&there, call("subscriptions/listen", listen)).await;
    let (method, acknowledged) = next_notification(&mut listening).await;
    assert_eq!(method, "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["notifications"], json!({"taskIds": [id]}));
    let task = told(&mut listening).await;
    assert_eq!((task["taskId"].as_str(), task["status"].as_str()), (Some(&*id), Some("input_required")));
    assert!(task.get("resultType").is_none() && task["_meta"]["io.modelcontextprotocol/subscriptionId"] == 1);
    // Renewals are no news.
    sleep(LEASE * 2).await;
    carryall_testkit::assert_idle(&mut listening);
    let one = keys(&task).remove(0);
    update(&there, &id, json!({&one: {"action": "decline"}})).await;
    let mut task = told(&mut listening).await;
    while task["status"] != "input_required" {
        task = told(&mut listening).await;
    }
    assert!(!keys(&task).contains(&one));
    cancel(&here, &id).await;
    assert_eq!(told(&mut listening).await["status"], "cancelled");
}

/// A process that ends without a word: its tasks stop, and nothing of it writes any more.
fn kill(replica: tokio::runtime::Runtime) {
    replica.shutdown_background();
}

/// Runs `first` on an executor of its own, and ends that in the middle of what it has begun.
fn on_a_replica_that_dies<T: Send + 'static>(first: impl Future<Output = T> + Send + 'static) -> T {
    let replica = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let value = std::thread::scope(|scope| scope.spawn(|| replica.block_on(first)).join().unwrap());
    kill(replica);
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_resumes_where_the_first_one_died() {
    let (world, store) = (World::default(), Memory::new());
    let dying = {
        let (world, store) = (world.clone(), store.clone());
        async move {
            let server = server(&world, &store);
            let id = created(&server, "asks").await;
            let task = until(&server, &id, |task| task["status"] == "input_required").await;
            let key = keys(&task).remove(0);
            update(&server, &id, json!({&key: accept("a")})).await;
            until(&server, &id, |task| task["inputRequests"].as_object().is_some_and(|asked| asked.len() == 2)).await;
            (id, server)
        }
    };
    let (id, dead) = tokio::task::spawn_blocking(|| on_a_replica_that_dies(dying)).await.unwrap();
    let heir = server(&world, &store);
    let task = until(&heir, &id, |task| task["status"] == "input_required").await;
    let asked = keys(&task);
    assert_eq!(asked.len(), 2, "nothing that was answered is asked again");
    update(&heir, &id, json!({&asked[0]: accept("b"), &asked[1]: accept("c")})).await;
    assert_eq!(ended(&heir, &id).await["result"]["content"][0]["text"], "ordered a b c");
    assert_eq!(world.seen(), ["ordered"], "what was recorded is not done again");
    drop(dead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_resumed_fails_honestly() {
    let (world, store) = (World::default(), Memory::new());
    let dying = {
        let (world, store) = (world.clone(), store.clone());
        async move {
            let server = server(&world, &store);
            (created(&server, "waits").await, server)
        }
    };
    let (id, dead) = tokio::task::spawn_blocking(|| on_a_replica_that_dies(dying)).await.unwrap();
    let heir = server(&world, &store);
    let task = ended(&heir, &id).await;
    assert_eq!(task["status"], "failed");
    assert!(task["error"]["message"].as_str().unwrap().contains("cannot be resumed"), "{task}");
    drop(dead);
}

/// A store that a worker cannot reach for a while, and that loses the answers to its writes.
#[derive(Clone, Debug, Default)]
struct Unreliable {
    rows: Memory,
    /// How many writes are yet to be done, and said to have failed.
    lost_answers: Arc<AtomicUsize>,
    /// How many operations are yet to fail.
    failing: Arc<AtomicUsize>,
}

impl Unreliable {
    fn takes(counter: &AtomicUsize) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn write<'a, T: Send + 'a>(&'a self, write: BoxFuture<'a, StoreResult<T>>) -> BoxFuture<'a, StoreResult<T>> {
        Box::pin(async move {
            if Self::takes(&self.failing) {
                return Err(StoreError::new("out of reach"));
            }
            let written = write.await;
            if Self::takes(&self.lost_answers) { Err(StoreError::new("the answer got lost")) } else { written }
        })
    }
}

impl Store for Unreliable {
    fn insert(&self, row: Row, now: u64) -> BoxFuture<'_, StoreResult<bool>> {
        self.write(Box::pin(async move { self.rows.insert(row, now).await }))
    }

    fn get<'a>(&'a self, kind: &'static str, key: &'a str, now: u64) -> BoxFuture<'a, StoreResult<Option<Row>>> {
        Box::pin(async move {
            if Self::takes(&self.failing) {
                return Err(StoreError::new("out of reach"));
            }
            self.rows.get(kind, key, now).await
        })
    }

    fn replace(&self, row: Row) -> BoxFuture<'_, StoreResult<bool>> {
        self.write(Box::pin(async move { self.rows.replace(row).await }))
    }

    fn remove<'a>(&'a self, kind: &'static str, key: &'a str, version: u64) -> BoxFuture<'a, StoreResult<bool>> {
        self.write(self.rows.remove(kind, key, version))
    }

    fn due(&self, kind: &'static str, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<Vec<Row>>> {
        self.rows.due(kind, now, limit)
    }

    fn expire(&self, now: u64, limit: usize) -> BoxFuture<'_, StoreResult<usize>> {
        self.rows.expire(now, limit)
    }

    fn changes(&self, kind: &'static str) -> Changes {
        self.rows.changes(kind)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_costs_time_and_nothing_else() {
    let world = World::default();
    for (lost_answers, failing) in [(1, 0), (2, 0), (0, 1), (0, 2), (1, 1)] {
        let store = Unreliable::default();
        let server =
            builder(&world).store(store.clone()).tasks(Tasks::new().lease(Duration::from_secs(10))).build().unwrap();
        store.lost_answers.store(lost_answers, Ordering::SeqCst);
        store.failing.store(failing, Ordering::SeqCst);
        let id = created(&server, "waits").await;
        store.lost_answers.store(lost_answers, Ordering::SeqCst);
        store.failing.store(failing + 1, Ordering::SeqCst);
        world.go.notify_one();
        let task = ended(&server, &id).await;
        assert_eq!(task["result"]["content"][0]["text"], "done", "{lost_answers} {failing}");
    }
}

#[tokio::test]
async fn a_store_that_keeps_failing_is_an_error_and_no_task() {
    let world = World::default();
    let store = Unreliable::default();
    let server = builder(&world).store(store.clone()).build().unwrap();
    store.failing.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(answer(&server, tool("always")).await.code(), -32603);
    assert_eq!(get(&server, "t").await.code(), -32603, "it may be there");
    store.failing.store(0, Ordering::SeqCst);
    assert_eq!(get(&server, "t").await.code(), -32602);
}

/// Takes a task away from its worker, as a replica does that has not heard of it for too long.
async fn take_away(store: &Memory, id: &str) {
    for _ in 0..100 {
        let row = store.get("task", id, 0).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&row.value).unwrap();
        record["lease"] = json!({"number": record["lease"]["number"].as_u64().unwrap() + 1, "until": u64::MAX / 2});
        let value = Bytes::from(record.to_string());
        let row = Row { version: row.version + 1, value, due_at: None, ..row };
        if store.replace(row).await.unwrap() {
            return;
        }
    }
    panic!("somebody is always ahead");
}

#[tokio::test]
async fn a_worker_whose_lease_was_taken_over_writes_nothing_more() {
    let (world, store, server) = alone();
    let id = created(&server, "resumes").await;
    take_away(&store, &id).await;
    // Done at the same moment: whoever holds the lease has the say.
    world.go.notify_one();
    sleep(LEASE * 2).await;
    assert_eq!(get(&server, &id).await.result()["status"], "working", "the result is not its to write");
}

#[tokio::test]
async fn a_worker_whose_lease_was_taken_over_stops() {
    let (world, store, server) = alone();
    let id = created(&server, "resumes").await;
    while world.seen().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    take_away(&store, &id).await;
    sleep(LEASE).await;
    assert_eq!(world.seen(), ["begun", "dropped"]);
    assert_eq!(get(&server, &id).await.result()["status"], "working");
}

#[tokio::test]
async fn two_workers_are_never_at_one_task() {
    let (world, store, here) = alone();
    let there = server(&world, &store);
    let id = created(&here, "resumes").await;
    answer(&there, call("server/discover", json!({}))).await;
    sleep(LEASE * 4).await;
    assert_eq!(world.seen(), ["begun"], "whoever renews a lease keeps it");
    world.go.notify_one();
    assert_eq!(ended(&there, &id).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_workers_die_of_is_given_up() {
    let (world, store) = (World::default(), Memory::new());
    let mut id = String::new();
    let mut dead = Vec::new();
    for attempt in 0..3 {
        let (theirs, store, known) = (world.clone(), store.clone(), id.clone());
        let dying = async move {
            let server = builder(&theirs).store(store.clone()).tasks(settings().max_attempts(3)).build().unwrap();
            let id = if attempt == 0 { created(&server, "resumes").await } else { known };
            for _ in 0..1000 {
                if theirs.seen().iter().filter(|effect| *effect == "begun").count() > attempt {
                    return (id, server);
                }
                sleep(Duration::from_millis(10)).await;
            }
            panic!("nobody takes it over");
        };
        let (made, server) = tokio::task::spawn_blocking(|| on_a_replica_that_dies(dying)).await.unwrap();
        id = made;
        dead.push(server);
    }
    let heir = builder(&world).store(store.clone()).tasks(settings().max_attempts(3)).build().unwrap();
    let task = ended(&heir, &id).await;
    assert_eq!(task["status"], "failed");
    assert!(task["error"]["message"].as_str().unwrap().contains("given up"), "{task}");
}

#[tokio::test]
async fn a_task_ends_with_its_time() {
    let (world, store) = (World::default(), Memory::new());
    let brief = settings().ttl(Some(Duration::from_millis(200)));
    let server = builder(&world).store(store.clone()).tasks(brief).build().unwrap();
    let id = created(&server, "waits").await;
    for _ in 0..500 {
        if world.seen().contains(&"dropped".to_owned()) {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(get(&server, &id).await.code(), -32602);
    assert_eq!(store.expire(u64::MAX / 2, 10).await.unwrap(), 1, "what is left of it is removed with what has ended");
    assert_eq!(world.seen(), ["begun", "dropped"]);
}

#[tokio::test]
async fn a_flood_of_tasks_is_refused() {
    let (world, store) = (World::default(), Memory::new());
    let server = builder(&world).store(store.clone()).tasks(settings().max_running(3)).build().unwrap();
    let one = created(&server, "waits").await;
    for _ in 1..3 {
        created(&server, "waits").await;
    }
    let refused = answer(&server, tool("waits")).await;
    assert_eq!(refused.code(), -32603);
    assert!(refused.error()["message"].as_str().unwrap().contains("limit of running tasks"));
    assert_eq!(store.len(), 3);
    cancel(&server, &one).await;
    for _ in 0..500 {
        if answer(&server, tool("waits")).await.response["result"].is_object() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("no place becomes free");
}

#[tokio::test]
async fn ten_thousand_answers_to_what_was_not_asked_leave_nothing_behind() {
    let (_, store, server) = alone();
    let id = created(&server, "asks").await;
    until(&server, &id, |task| task["status"] == "input_required").await;
    let size = async || store.get("task", &id, 0).await.unwrap().unwrap().value.len();
    let before = size().await;
    let answers: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), accept("x"))).collect();
    assert!(update(&server, &id, Value::Object(answers)).await.result().is_object());
    assert!(size().await <= before + 16);
}

#[test]
fn replicas_need_a_store_that_they_share() {
    let key = carryall_proto::seal::Keyring::new(carryall_proto::seal::Key::new(1, [1; 32]));
    let problem = builder(&World::default()).keyring(key).replicated().build().unwrap_err().to_string();
    assert!(problem.contains("ServerBuilder::store"), "{problem}");
}

#[tokio::test]
async fn a_tool_that_may_be_a_task_needs_a_server_that_has_tasks() {
    let server = Server::new("plain", "1").build().unwrap();
    let later = || Tool::without_arguments("later", async |_| "later").as_task(TaskSupport::Always);
    let problem = server
        .change(|catalogue| {
            catalogue.tool(later());
        })
        .unwrap_err()
        .to_string();
    assert!(problem.contains("later") && problem.contains("ServerBuilder::tasks"), "{problem}");
    let server = Server::new("plain", "1").tasks(Tasks::default()).build().unwrap();
    server
        .change(|catalogue| {
            catalogue.tool(later());
        })
        .unwrap();
    created(&server, "later").await;
}
