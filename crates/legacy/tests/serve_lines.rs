//! Legacy clients on a channel of lines, beside calls of 2026-07-28.
#![allow(deprecated, reason = "sampling, roots and logging are what is tested")]

use carryall_legacy::serve::{LegacyOptions, lines};
use carryall_server::{Ctx, HandlerError, Resource, Server, TaskOptions, TaskSupport, Tool};
use carryall_transport::lines::{LineOptions, serve_lines_with};
use carryall_types::{
    CreateMessageRequestParams, CreateMessageResult, ElicitRequestFormParams,
    ElicitRequestURLParams, ElicitResult, InputRequest, InputRequests, InputRequiredResult,
    ListRootsRequestParams, ListRootsResult, LoggingLevel, RequestedSchema, Role, SamplingMessage,
    SamplingMessageContentBlock,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio::time::timeout;

const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// Counts handlers that are dropped.
struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn ask(ctx: &Ctx, question: impl Into<InputRequest>) -> Result<Value, HandlerError> {
    match ctx.input_responses()?.get_as::<Value>("q") {
        Some(answer) => answer.map_err(|error| HandlerError::new(error.to_string())),
        None => {
            let requests = InputRequests::new().with("q", question.into());
            let asked = InputRequiredResult::new()
                .with_input_requests(requests)
                .with_request_state("kept");
            Err(HandlerError::input_required(asked))
        }
    }
}

fn form() -> ElicitRequestFormParams {
    ElicitRequestFormParams::new(
        "Your name?",
        RequestedSchema::new()
            .string("name", |field| field)
            .required(),
    )
}

async fn named(ctx: &Ctx) -> Result<String, HandlerError> {
    let answer = ctx.ask(form()).await?.accepted().unwrap_or_default();
    Ok(answer["name"].as_str().unwrap_or_default().to_owned())
}

fn server(dropped: &Arc<AtomicUsize>) -> Server {
    let dropped = Arc::clone(dropped);
    let in_task = Arc::clone(&dropped);
    let always = |tool: Tool| tool.as_task(TaskSupport::Always);
    Server::new("lines", "1")
        .tasks(TaskOptions::new().poll_interval(Duration::from_millis(20)))
        .tool(always(Tool::new("long", async |ctx: Ctx| {
            named(&ctx).await
        })))
        .tool(always(Tool::new("fails", async || {
            Err::<(), _>(HandlerError::new("no"))
        })))
        .tool(always(Tool::new("hangs", move || {
            let guard = OnDrop(Arc::clone(&in_task));
            async move {
                let _guard = guard;
                std::future::pending::<&'static str>().await
            }
        })))
        .tool(
            Tool::new("demands", async |ctx: Ctx| {
                let first = named(&ctx).await?;
                ctx.become_task().await?;
                Ok::<_, HandlerError>(format!("{first} {}", named(&ctx).await?))
            })
            .as_task(TaskSupport::OnDemand),
        )
        .with_logging()
        .instructions("Be kind.")
        .tool(Tool::new("hello", async || "hello"))
        .tool(Tool::new("steps", async |ctx: Ctx| {
            ctx.log(LoggingLevel::Info, None, "stepping").await;
            ctx.progress(1.0).of(2.0).await;
            "stepped"
        }))
        .tool(Tool::new(
            "name",
            async |ctx: Ctx| -> Result<String, HandlerError> {
                let answer: ElicitResult = serde_json::from_value(ask(&ctx, form())?)
                    .map_err(|e| HandlerError::new(e.to_string()))?;
                assert_eq!(ctx.request_state()?.as_deref(), Some("kept"));
                Ok(format!("{:?} {:?}", answer.action, answer.content))
            },
        ))
        .tool(Tool::new(
            "page",
            async |ctx: Ctx| -> Result<String, HandlerError> {
                let answer = ask(
                    &ctx,
                    ElicitRequestURLParams::new("Sign", "https://example.com/sign"),
                )?;
                Ok(answer["action"].to_string())
            },
        ))
        .tool(Tool::new(
            "model",
            async |ctx: Ctx| -> Result<String, HandlerError> {
                let message =
                    SamplingMessage::new(Role::User, SamplingMessageContentBlock::text("hi"));
                let answer = ask(&ctx, CreateMessageRequestParams::new(vec![message], 10))?;
                let _: CreateMessageResult = serde_json::from_value(answer.clone())
                    .map_err(|error| HandlerError::new(error.to_string()))?;
                Ok(answer["content"]["text"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned())
            },
        ))
        .tool(Tool::new(
            "roots",
            async |ctx: Ctx| -> Result<String, HandlerError> {
                let answer = ask(&ctx, ListRootsRequestParams::new())?;
                let roots: ListRootsResult =
                    serde_json::from_value(answer).map_err(|e| HandlerError::new(e.to_string()))?;
                Ok(roots.roots.len().to_string())
            },
        ))
        .tool(Tool::new("hang", move || {
            let guard = OnDrop(Arc::clone(&dropped));
            async move {
                let _guard = guard;
                std::future::pending::<&'static str>().await
            }
        }))
        .resource(Resource::new("demo://note", "note", async || "a note"))
        .build()
        .unwrap()
}

struct Client {
    server: Server,
    dropped: Arc<AtomicUsize>,
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
}

impl Client {
    fn connect(options: LegacyOptions) -> Self {
        let dropped = Arc::new(AtomicUsize::new(0));
        let server = server(&dropped);
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (reader, writer) = tokio::io::split(far);
        let (serving, alternates) = (server.clone(), lines(server.clone(), options));
        tokio::spawn(async move {
            let forever = std::future::pending();
            serve_lines_with(
                reader,
                writer,
                serving,
                LineOptions::default(),
                Some(&alternates),
                forever,
            )
            .await
        });
        let (reader, writer) = tokio::io::split(near);
        Self {
            server,
            dropped,
            lines: BufReader::new(reader).lines(),
            writer,
        }
    }

    /// Returns a client after the handshake.
    async fn legacy(version: &str, capabilities: Value) -> Self {
        let mut client = Self::connect(LegacyOptions::default());
        let result = client.initialize(version, capabilities).await;
        assert_eq!(result["result"]["protocolVersion"], version);
        client
            .send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        client
    }

    async fn initialize(&mut self, version: &str, capabilities: Value) -> Value {
        let info = json!({"name": "old", "version": "1"});
        let params =
            json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": info});
        self.ask(json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": params}))
            .await
    }

    async fn send(&mut self, message: Value) {
        self.writer
            .write_all(format!("{message}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Value {
        let line = timeout(Duration::from_secs(20), self.lines.next_line())
            .await
            .expect("it hangs")
            .unwrap();
        serde_json::from_str(&line.expect("closed")).unwrap()
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.next().await
    }

    async fn call(&mut self, id: u32, tool: &str) -> Value {
        self.ask(call(id, tool)).await
    }
}

fn call(id: u32, tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}})
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
}

// spec: versioning-08, versioning-09
#[tokio::test]
async fn every_revision_is_served_and_both_eras_share_the_channel() {
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut client = Client::connect(LegacyOptions::default());
        let opened = client.initialize(version, json!({})).await;
        let result = &opened["result"];
        assert_eq!(
            (&result["protocolVersion"], &opened["id"]),
            (&json!(version), &json!("i"))
        );
        assert_eq!(
            (&result["serverInfo"]["name"], &result["instructions"]),
            (&json!("lines"), &json!("Be kind."))
        );
        assert!(result["capabilities"]["tools"].is_object() && result.get("resultType").is_none());
        client
            .send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        assert_eq!(text(&client.call(1, "hello").await), "hello");
        let meta: Value = serde_json::from_str(META).unwrap();
        let modern = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "hello", "_meta": meta}});
        assert_eq!(
            client.ask(modern.clone()).await["result"]["resultType"],
            "complete"
        );
        // Modern requests get modern refusals.
        let mut unknown = modern;
        unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("1999-01-01");
        assert_eq!(client.ask(unknown).await["error"]["code"], -32022);
        assert_eq!(
            client
                .ask(json!({"jsonrpc": "2.0", "id": 2, "method": "ping"}))
                .await["result"],
            json!({})
        );
    }
}

#[tokio::test]
async fn an_unknown_version_is_answered_with_the_newest_legacy_one() {
    let mut client = Client::connect(LegacyOptions::default());
    assert_eq!(
        client.initialize("2099-01-01", json!({})).await["result"]["protocolVersion"],
        "2025-11-25"
    );
}

#[tokio::test]
async fn a_second_initialize_opens_a_new_session() {
    let mut client = Client::legacy("2025-11-25", json!({})).await;
    client.send(call(1, "hang")).await;
    assert_eq!(
        client.call(2, "hello").await["id"],
        2,
        "the handler has started"
    );
    let again = client
        .initialize("2025-06-18", json!({"elicitation": {}}))
        .await;
    assert_eq!(again["result"]["protocolVersion"], "2025-06-18");
    client
        .send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        .await;
    until_dropped(&client, 1).await;
    assert_eq!(text(&client.call(1, "hello").await), "hello");
    client.send(call(2, "name")).await;
    assert_eq!(
        client.next().await["method"],
        "elicitation/create",
        "the last declared capabilities count"
    );
    // A failed one changes nothing.
    let refused = client
        .ask(json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {}}))
        .await;
    assert_eq!(refused["error"]["code"], -32602);
    assert_eq!(text(&client.call(3, "hello").await), "hello");
}

#[tokio::test]
async fn a_request_with_the_id_of_a_cancelled_one_can_be_cancelled() {
    let mut client = Client::legacy("2025-11-25", json!({})).await;
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    // In one write, so that the id is reused before the first request has started.
    let lines: String = [call(1, "hang"), cancel.clone(), call(1, "hang")]
        .map(|line| format!("{line}\n"))
        .concat();
    client.writer.write_all(lines.as_bytes()).await.unwrap();
    assert_eq!(
        client.call(2, "hello").await["id"],
        2,
        "the second request has started"
    );
    assert_eq!(client.dropped.load(SeqCst), 0);
    client.send(cancel).await;
    until_dropped(&client, 1).await;
}

async fn until_dropped(client: &Client, count: usize) {
    for _ in 0..1000 {
        if client.dropped.load(SeqCst) >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a handler is still running");
}

// spec: versioning-08, versioning-12
#[tokio::test]
async fn before_initialize_only_ping_is_answered() {
    let mut client = Client::connect(LegacyOptions::default());
    assert_eq!(
        client
            .ask(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
            .await["result"],
        json!({})
    );
    assert_eq!(client.call(2, "hello").await["error"]["code"], -32602);
    client
        .send(json!({"jsonrpc": "2.0", "id": 9, "result": {}}))
        .await;
    assert_eq!(client.next().await["error"]["code"], -32600);
}

#[tokio::test]
async fn results_and_errors_are_those_of_the_revision() {
    let mut client = Client::legacy("2025-06-18", json!({})).await;
    let listed = client
        .ask(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
        .await;
    let result = listed["result"].as_object().unwrap();
    assert!(result["tools"].as_array().unwrap().len() > 3);
    assert!(
        ["resultType", "ttlMs", "cacheScope", "_meta"]
            .iter()
            .all(|name| !result.contains_key(*name)),
        "{listed}"
    );
    let read = json!({"jsonrpc": "2.0", "id": 2, "method": "resources/read", "params": {"uri": "demo://gone"}});
    assert_eq!(client.ask(read).await["error"]["code"], -32002);
    let modern = json!({"jsonrpc": "2.0", "id": 3, "method": "server/discover", "params": {}});
    assert_eq!(client.ask(modern).await["error"]["code"], -32601);
    // The client has not declared elicitation.
    let refused = client.call(4, "name").await;
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("elicitation")
    );
}

#[tokio::test]
async fn progress_and_log_messages_come_before_the_response() {
    let mut client = Client::legacy("2025-11-25", json!({})).await;
    let steps = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "steps", "arguments": {}, "_meta": {"progressToken": "p"}}});
    // No level is set yet.
    assert_eq!(
        client.ask(steps.clone()).await["method"],
        "notifications/progress"
    );
    assert_eq!(text(&client.next().await), "stepped");
    let level = |level: &str| json!({"jsonrpc": "2.0", "id": 2, "method": "logging/setLevel", "params": {"level": level}});
    assert_eq!(client.ask(level("loud")).await["error"]["code"], -32602);
    assert_eq!(client.ask(level("info")).await["result"], json!({}));
    let log = client.ask(steps).await;
    assert_eq!(
        (&log["method"], &log["params"]["data"]),
        (&json!("notifications/message"), &json!("stepping"))
    );
    let progress = client.next().await;
    assert_eq!(
        (
            &progress["params"]["progressToken"],
            &progress["params"]["total"]
        ),
        (&json!("p"), &json!(2))
    );
    assert_eq!(text(&client.next().await), "stepped");
}

// spec: elicitation-12, elicitation-17
#[tokio::test]
async fn rounds_become_server_requests() {
    let mut client = Client::legacy("2025-06-18", json!({"elicitation": {}})).await;
    let question = client.call(1, "name").await;
    assert_eq!(question["method"], "elicitation/create");
    assert!(
        question["params"].get("mode").is_none()
            && question["params"]["requestedSchema"]["type"] == "object"
    );
    // Other requests are answered meanwhile.
    assert_eq!(text(&client.call(2, "hello").await), "hello");
    let answer = json!({"action": "accept", "content": {"name": "Ada"}});
    let done = client
        .ask(json!({"jsonrpc": "2.0", "id": question["id"], "result": answer}))
        .await;
    assert_eq!(done["id"], 1);
    assert!(
        text(&done).contains("Accept") && text(&done).contains("Ada"),
        "{done}"
    );
}

// spec: elicitation-24
#[tokio::test]
async fn declined_and_cancelled_elicitations_reach_the_handler() {
    let mut client = Client::legacy("2025-11-25", json!({"elicitation": {}})).await;
    for (id, action, shown) in [(1, "decline", "Decline"), (2, "cancel", "Cancel")] {
        let question = client.call(id, "name").await;
        let done = client
            .ask(json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": action}}))
            .await;
        assert!(text(&done).starts_with(shown), "{done}");
    }
}

// spec: elicitation-23, elicitation-24
#[tokio::test]
async fn a_refused_server_request_fails_its_call() {
    let mut client = Client::legacy("2025-11-25", json!({"elicitation": {}})).await;
    let question = client.call(1, "name").await;
    let error = json!({"code": -32603, "message": "no user here"});
    let done = client
        .ask(json!({"jsonrpc": "2.0", "id": question["id"], "error": error}))
        .await;
    assert!(
        done["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no user here"),
        "{done}"
    );
}

#[tokio::test]
async fn tools_that_only_run_as_tasks_are_waited_for() {
    for version in ["2025-06-18", "2025-11-25"] {
        let mut client = Client::legacy(version, json!({"elicitation": {}})).await;
        let accept = |question: &Value, name: &str| {
            let result = json!({"action": "accept", "content": {"name": name}});
            json!({"jsonrpc": "2.0", "id": question["id"], "result": result})
        };
        let question = client.call(1, "long").await;
        assert_eq!(question["method"], "elicitation/create");
        assert_eq!(text(&client.ask(accept(&question, "Ada")).await), "Ada");
        let failed = client.call(2, "fails").await;
        assert_eq!(
            (text(&failed), failed["result"]["isError"].as_bool()),
            ("no", Some(true))
        );
        // The first elicitation is made in a round, the second one by the task.
        let question = client.call(3, "demands").await;
        let question = client.ask(accept(&question, "Ada")).await;
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert_eq!(text(&client.ask(accept(&question, "Bob")).await), "Ada Bob");

        client.send(call(4, "hangs")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4}})).await;
        for _ in 0..500 {
            if client.dropped.load(SeqCst) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            client.dropped.load(SeqCst),
            1,
            "cancelling the call cancels its task"
        );
    }
}

// spec: sampling-05, roots-02, lifecycle-04
#[tokio::test]
async fn sampling_and_roots_become_server_requests() {
    let mut client = Client::legacy(
        "2024-11-05",
        json!({"sampling": {}, "roots": {"listChanged": true}}),
    )
    .await;
    let question = client.call(1, "model").await;
    assert_eq!(question["method"], "sampling/createMessage");
    assert_eq!(question["params"]["maxTokens"], 10);
    let message =
        json!({"role": "assistant", "content": {"type": "text", "text": "hello!"}, "model": "m"});
    assert_eq!(
        text(
            &client
                .ask(json!({"jsonrpc": "2.0", "id": question["id"], "result": message}))
                .await
        ),
        "hello!"
    );
    let question = client.call(2, "roots").await;
    assert_eq!(question["method"], "roots/list");
    let roots = json!({"roots": [{"uri": "file:///a"}]});
    assert_eq!(
        text(
            &client
                .ask(json!({"jsonrpc": "2.0", "id": question["id"], "result": roots}))
                .await
        ),
        "1"
    );
}

// spec: roots-05, sampling-05
#[tokio::test]
async fn undeclared_capabilities_are_not_used() {
    let mut client = Client::legacy("2025-11-25", json!({"elicitation": {}})).await;
    for (id, tool) in [(1, "roots"), (2, "model")] {
        let refused = client.call(id, tool).await;
        assert_eq!(
            (&refused["id"], &refused["error"]["code"]),
            (&json!(id), &json!(-32600)),
            "{refused}"
        );
    }
}

// spec: elicitation-09, elicitation-15
#[tokio::test]
async fn url_elicitations_have_an_id_and_their_completion_is_announced() {
    let mut client = Client::legacy("2025-11-25", json!({"elicitation": {"url": {}}})).await;
    let question = client.call(1, "page").await;
    let params = &question["params"];
    assert_eq!(
        (&params["mode"], &params["url"]),
        (&json!("url"), &json!("https://example.com/sign"))
    );
    let id = params["elicitationId"].clone();
    let complete = client
        .ask(json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}}))
        .await;
    assert_eq!(
        (&complete["method"], &complete["params"]["elicitationId"]),
        (&json!("notifications/elicitation/complete"), &id)
    );
    assert_eq!(text(&client.next().await), "\"accept\"");
    // Forms were not declared.
    assert_eq!(client.call(2, "name").await["error"]["code"], -32600);
}

#[tokio::test]
async fn a_cancelled_request_is_dropped_and_never_answered() {
    let mut client = Client::legacy("2025-11-25", json!({})).await;
    client.send(call(1, "hang")).await;
    assert_eq!(
        client.call(1, "hello").await["error"]["code"],
        -32600,
        "the id is in use"
    );
    client.send(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    // The id can be reused, and the next message is its answer.
    assert_eq!(text(&client.call(1, "hello").await), "hello");
    assert_eq!(client.dropped.load(SeqCst), 1);
}

#[tokio::test]
async fn changes_of_lists_and_subscribed_resources_are_announced() {
    let mut client = Client::legacy("2025-11-25", json!({})).await;
    let subscribe = |id: u32, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"uri": "demo://note"}});
    assert_eq!(
        client.ask(subscribe(1, "resources/subscribe")).await["result"],
        json!({})
    );
    // The subscription of the service is opened after the answer.
    for _ in 0..200 {
        if client.server.subscriptions() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let server = client.server.clone();
    let new = Tool::new("new", async || "new");
    server.change(|catalogue| _ = catalogue.tool(new)).unwrap();
    assert_eq!(
        client.next().await,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    );
    let mut announced = false;
    for _ in 0..200 {
        server.resource_updated("demo://note");
        if let Ok(Ok(Some(line))) =
            timeout(Duration::from_millis(20), client.lines.next_line()).await
        {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (&line["method"], &line["params"]),
                (
                    &json!("notifications/resources/updated"),
                    &json!({"uri": "demo://note"})
                )
            );
            announced = true;
            break;
        }
    }
    assert!(announced, "no announcement");
    assert_eq!(
        client.ask(subscribe(2, "resources/unsubscribe")).await["result"],
        json!({})
    );
}

#[tokio::test]
async fn only_2025_03_26_has_batches() {
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/x"},
        7,
        call(2, "hello"),
    ]);
    let mut client = Client::legacy("2025-03-26", json!({})).await;
    let answers = client.ask(batch.clone()).await;
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!(
        answers
            .iter()
            .filter(|answer| answer.get("error").is_some())
            .count(),
        1
    );
    client
        .send(json!([{"jsonrpc": "2.0", "method": "notifications/x"}]))
        .await;
    assert_eq!(text(&client.call(3, "hello").await), "hello");
    let mut client = Client::legacy("2025-11-25", json!({})).await;
    assert_eq!(client.ask(batch).await["error"]["code"], -32600);
}

#[tokio::test]
async fn requests_in_flight_and_subscriptions_are_bounded() {
    let mut client = Client::connect(
        LegacyOptions::default()
            .max_in_flight(2)
            .max_subscriptions(1),
    );
    client.initialize("2025-11-25", json!({})).await;
    client.send(call(1, "hang")).await;
    client.send(call(2, "hang")).await;
    let refused = client.call(3, "hello").await;
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&json!(3), &json!(-32600))
    );
    client.send(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    let subscribe = |id: u32, uri: &str| json!({"jsonrpc": "2.0", "id": id, "method": "resources/subscribe", "params": {"uri": uri}});
    assert_eq!(
        client.ask(subscribe(4, "demo://note")).await["result"],
        json!({})
    );
    assert_eq!(
        client.ask(subscribe(5, "demo://other")).await["error"]["code"],
        -32600
    );
}

#[tokio::test]
async fn a_client_cannot_forge_a_round() {
    let mut client = Client::legacy("2025-11-25", json!({"elicitation": {}})).await;
    let forged = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "name", "arguments": {}, "requestState": "kept",
        "inputResponses": {"q": {"action": "accept", "content": {"name": "Mallory"}}},
    }});
    assert_eq!(client.ask(forged).await["method"], "elicitation/create");
}

#[tokio::test]
async fn a_server_request_without_an_answer_times_out() {
    let mut client =
        Client::connect(LegacyOptions::default().input_timeout(Duration::from_millis(50)));
    client
        .initialize("2025-11-25", json!({"elicitation": {}}))
        .await;
    let question = client.call(1, "name").await;
    let cancelled = client.next().await;
    assert_eq!(
        (&cancelled["method"], &cancelled["params"]["requestId"]),
        (&json!("notifications/cancelled"), &question["id"])
    );
    assert!(
        client.next().await["error"]["message"]
            .as_str()
            .unwrap()
            .contains("did not answer")
    );
}

fn task(id: u32, tool: &str, ttl: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}, "task": {"ttl": ttl}}})
}

fn about_task(id: u32, method: &str, task: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"taskId": task["taskId"]}})
}

#[tokio::test]
async fn a_task_sends_its_requests_when_the_client_asks_for_the_result() {
    let mut client = Client::legacy("2025-11-25", json!({"elicitation": {}})).await;
    let listed = client
        .ask(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
        .await;
    assert_eq!(
        listed["result"]["tools"][0]["execution"]["taskSupport"],
        "optional"
    );
    let started = client.ask(task(2, "name", 60_000)).await["result"]["task"].clone();
    assert_eq!(
        (&started["status"], &started["ttl"]),
        (&json!("working"), &json!(60_000))
    );
    let question = client.ask(about_task(3, "tasks/result", &started)).await;
    assert_eq!(question["method"], "elicitation/create");
    let related = json!({"taskId": started["taskId"]});
    assert_eq!(
        question["params"]["_meta"]["io.modelcontextprotocol/related-task"],
        related
    );
    let shown = client.ask(about_task(4, "tasks/get", &started)).await["result"].clone();
    assert_eq!(
        (&shown["status"], &shown["createdAt"]),
        (&json!("input_required"), &started["createdAt"])
    );
    let answer = json!({"action": "accept", "content": {"name": "Ada"}});
    let done = client
        .ask(json!({"jsonrpc": "2.0", "id": question["id"], "result": answer}))
        .await;
    assert_eq!(done["id"], 3);
    assert!(text(&done).contains("Ada"), "{done}");
    assert_eq!(
        done["result"]["_meta"]["io.modelcontextprotocol/related-task"],
        related
    );
    assert_eq!(
        client.ask(about_task(5, "tasks/get", &started)).await["result"]["status"],
        "completed"
    );
    assert!(
        text(&client.ask(about_task(6, "tasks/result", &started)).await).contains("Ada"),
        "the result is kept"
    );
    let all = client
        .ask(json!({"jsonrpc": "2.0", "id": 7, "method": "tasks/list"}))
        .await;
    assert_eq!(all["result"]["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(
        client.ask(about_task(8, "tasks/cancel", &started)).await["error"]["code"],
        -32602,
        "it has ended"
    );
    assert_eq!(
        client
            .ask(about_task(9, "tasks/get", &json!({"taskId": "x"})))
            .await["error"]["code"],
        -32602
    );
}

#[tokio::test]
async fn tasks_can_be_cancelled_and_end_with_their_ttl() {
    let mut client = Client::legacy("2025-11-25", json!({})).await;
    let started = client.ask(task(1, "hang", 60_000)).await["result"]["task"].clone();
    let cancelled = client.ask(about_task(2, "tasks/cancel", &started)).await["result"].clone();
    assert_eq!(cancelled["status"], "cancelled");
    assert!(
        client
            .ask(about_task(3, "tasks/result", &started))
            .await
            .get("error")
            .is_some()
    );
    let short = client.ask(task(4, "hang", 50)).await["result"]["task"].clone();
    for id in 5..500 {
        if client
            .ask(about_task(id, "tasks/get", &short))
            .await
            .get("error")
            .is_some()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        client
            .ask(about_task(600, "tasks/get", &short))
            .await
            .get("error")
            .is_some(),
        "still there"
    );
    assert_eq!(client.dropped.load(SeqCst), 2, "both handlers were dropped");
}

#[tokio::test]
async fn only_2025_11_25_has_tasks_and_they_can_be_disabled() {
    let mut older = Client::legacy("2025-06-18", json!({})).await;
    assert_eq!(
        text(&older.ask(task(1, "hello", 1000)).await),
        "hello",
        "`task` means nothing in this revision"
    );
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tasks/list"});
    assert_eq!(older.ask(list.clone()).await["error"]["code"], -32601);
    let mut without = Client::connect(LegacyOptions::default().tasks(false));
    let opened = without.initialize("2025-11-25", json!({})).await;
    assert!(opened["result"]["capabilities"].get("tasks").is_none());
    assert_eq!(without.ask(list).await["error"]["code"], -32601);
}
