//! rmcp's client against carryall's demo. usage: rmcp-client http URL | stdio COMMAND [ARG...]
//!
//! Prints one line of JSON per check: {"check": ..., "ok": ..., "says": ...}.

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
    ElicitationAction, GetPromptRequestParams, Implementation, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResult, ResourceContents, ServerNotification, SubscriptionFilter,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, NotificationContext, RequestContext, RunningService};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ErrorData, RoleClient, ServiceError};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const NOTICE: &str = "demo://notice";

type Failure = Box<dyn std::error::Error>;
type Says = Result<String, Failure>;
type Client = RunningService<RoleClient, Handler>;

#[derive(Clone, Default)]
struct Handler {
    progress: Arc<Mutex<Vec<ProgressNotificationParam>>>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let offers = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(offers, Implementation::new("interop-rmcp", "1.0.0"))
    }

    async fn on_progress(&self, note: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.lock().expect("no panic while it is held").push(note);
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        match request {
            ElicitRequestParams::FormElicitationParams { message, .. } if message.contains("expect you") => {
                let content = json!({"date": "2026-08-01", "guests": 4});
                Ok(ElicitResult::new(ElicitationAction::Accept).with_content(content))
            }
            other => Err(ErrorData::invalid_params(format!("unexpected: {other:?}"), None)),
        }
    }
}

async fn check(name: &str, work: impl Future<Output = Says>) {
    let (ok, says) = match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(says)) => (true, says),
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => (false, format!("nothing within {LIMIT:?}")),
    };
    println!("{}", json!({"check": name, "ok": ok, "says": says}));
}

fn want(condition: bool, found: impl std::fmt::Debug) -> Result<(), Failure> {
    if condition { Ok(()) } else { Err(format!("unexpected: {found:?}").into()) }
}

/// The code of the protocol error that this must end with.
fn refused<T>(result: Result<T, ServiceError>) -> Result<i32, Failure> {
    match result {
        Ok(_) => Err("it was not refused".into()),
        Err(ServiceError::McpError(error)) => Ok(error.code.0),
        Err(other) => Err(other.into()),
    }
}

async fn call(client: &Client, name: &'static str, args: Value) -> Result<CallToolResult, ServiceError> {
    client
        .call_tool(CallToolRequestParams::new(name).with_arguments(args.as_object().cloned().unwrap_or_default()))
        .await
}

fn text(result: &CallToolResult) -> Result<String, Failure> {
    let first = result.content.first().and_then(|block| block.as_text());
    first.map(|block| block.text.clone()).ok_or_else(|| format!("no text in {result:?}").into())
}

fn resource_text(result: &ReadResourceResult) -> Result<String, Failure> {
    match result.contents.first() {
        Some(ResourceContents::TextResourceContents { text, .. }) => Ok(text.clone()),
        other => Err(format!("no text in {other:?}").into()),
    }
}

async fn discover(client: &Client) -> Says {
    let server = client.peer_info().ok_or("the server is not known")?;
    want(server.protocol_version == ProtocolVersion::V_2026_07_28, &server.protocol_version)?;
    let info = server.server_info.as_ref().ok_or("the server does not say what it is")?;
    want(info.name == "carryall-demo", info)?;
    Ok(format!("{}, {}", info.name, server.protocol_version))
}

async fn list_tools(client: &Client) -> Says {
    let tools = client.list_all_tools().await?;
    for name in ["whoami", "add", "countdown"] {
        want(tools.iter().any(|tool| tool.name == name), name)?;
    }
    Ok(format!("{} tools", tools.len()))
}

async fn call_text(client: &Client) -> Says {
    let said = text(&call(client, "whoami", json!({})).await?)?;
    want(said.starts_with("replica "), &said)?;
    Ok(said)
}

async fn call_structured(client: &Client) -> Says {
    let result = call(client, "add", json!({"a": 2, "b": 40})).await?;
    want(result.structured_content == Some(json!({"sum": 42})), &result)?;
    Ok(json!({"sum": 42}).to_string())
}

async fn call_header(client: &Client) -> Says {
    let said = text(&call(client, "query", json!({"region": "eu-süd 1", "text": "rain"})).await?)?;
    want(said.starts_with("rain asked in eu-süd 1"), &said)?;
    Ok(said)
}

async fn tool_error(client: &Client) -> Says {
    let result = call(client, "fail", json!({"reason": "on purpose"})).await?;
    want(result.is_error == Some(true) && text(&result)?.contains("on purpose"), &result)?;
    Ok("isError: true".into())
}

async fn protocol_error(client: &Client, name: &'static str) -> Says {
    let code = refused(call(client, name, json!({"kind": "protocol", "reason": "on purpose"})).await)?;
    want(code == -32602, code)?;
    Ok(format!("code {code}"))
}

async fn progress(client: &Client) -> Says {
    let said = text(&call(client, "countdown", json!({"from": 3, "pause_ms": 20})).await?)?;
    want(said == "Counted down from 3.", &said)?;
    // Its handlers run beside the call: the last of them may still be under way.
    for _ in 0..100 {
        if client.service().progress.lock().expect("no panic while it is held").len() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut seen = std::mem::take(&mut *client.service().progress.lock().expect("no panic while it is held"));
    seen.sort_by(|a, b| a.progress.total_cmp(&b.progress));
    let steps: Vec<f64> = seen.iter().map(|note| note.progress).collect();
    want(steps == [0.0, 1.0, 2.0, 3.0], &seen)?;
    want(seen[3].total == Some(3.0) && seen[3].message.as_deref() == Some("lift-off"), &seen)?;
    Ok(format!("{} notifications", seen.len()))
}

async fn resources(client: &Client) -> Says {
    let resources = client.list_all_resources().await?;
    want(resources.iter().any(|resource| resource.uri == NOTICE), &resources)?;
    let templates = client.list_all_resource_templates().await?;
    want(templates.iter().any(|template| template.uri_template.contains("capitals")), &templates)?;
    Ok(format!("{} resources, {} templates", resources.len(), templates.len()))
}

async fn read(client: &Client) -> Says {
    let params = |uri: &str| ReadResourceRequestParams::new(uri);
    let said = resource_text(&client.read_resource(params("demo://capitals/norway")).await?)?;
    want(said == "Oslo", &said)?;
    let code = refused(client.read_resource(params("demo://no-such-thing")).await)?;
    want(code == -32602, code)?;
    Ok(format!("{said}; unknown: code {code}"))
}

async fn prompt(client: &Client) -> Says {
    let prompts = client.list_all_prompts().await?;
    want(prompts.iter().any(|prompt| prompt.name == "greet"), &prompts)?;
    let args = json!({"name": "Ada", "tone": "formal"}).as_object().cloned().unwrap_or_default();
    let found = client.get_prompt(GetPromptRequestParams::new("greet").with_arguments(args)).await?;
    let first = found.messages.first().ok_or("no messages")?;
    let said = first.content.as_text().map(|block| block.text.clone()).ok_or("no text")?;
    want(said.contains("formal greeting to Ada"), &said)?;
    Ok(said)
}

async fn complete(client: &Client) -> Says {
    let values = client.complete_prompt_simple("greet", "language", "F").await?;
    want(values == ["Finnish", "French"], &values)?;
    Ok(values.join(", "))
}

async fn rounds(client: &Client) -> Says {
    let said = text(&call(client, "book_table", json!({"restaurant": "Noma"})).await?)?;
    want(said.contains("table for 4 at Noma on 2026-08-01"), &said)?;
    Ok(said)
}

async fn listen(client: &Client) -> Says {
    let heard = hear(client).await;
    call(client, "surprise", json!({"show": false})).await?;
    heard?;
    let said = resource_text(&client.read_resource(ReadResourceRequestParams::new(NOTICE)).await?)?;
    want(said == "from rmcp", &said)?;
    Ok("acknowledged; list changed, resource updated".into())
}

async fn hear(client: &Client) -> Result<(), Failure> {
    let filter = SubscriptionFilter::builder().tools_list_changed().resource_subscription(NOTICE).build();
    let mut subscription = client.peer().listen(filter).await?;
    want(subscription.acknowledged().tools_list_changed == Some(true), subscription.acknowledged())?;
    call(client, "surprise", json!({"show": true})).await?;
    call(client, "post_notice", json!({"text": "from rmcp"})).await?;
    let (mut tools, mut notice) = (false, false);
    while !(tools && notice) {
        match subscription.next().await?.ok_or("the subscription ended")? {
            ServerNotification::ToolListChangedNotification(_) => tools = true,
            ServerNotification::ResourceUpdatedNotification(note) => {
                want(note.params.uri == NOTICE, &note.params)?;
                notice = true;
            }
            other => return Err(format!("unexpected: {other:?}").into()),
        }
    }
    subscription.cancel().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // It asks `server/discover` first and falls back to the old handshake: it must not have to.
    let mode =
        ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None };
    let handler = Handler::default();
    let client = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["http", url] => handler.serve_with_lifecycle(StreamableHttpClientTransport::from_uri(url), mode).await?,
        ["stdio", command, ref args @ ..] => {
            let mut process = tokio::process::Command::new(command);
            process.args(args);
            handler.serve_with_lifecycle(TokioChildProcess::new(process)?, mode).await?
        }
        _ => return Err("usage: rmcp-client http URL | stdio COMMAND [ARG...]".into()),
    };
    check("discover", discover(&client)).await;
    check("list tools", list_tools(&client)).await;
    check("call", call_text(&client)).await;
    check("call, structured output", call_structured(&client)).await;
    check("call, argument in a header", call_header(&client)).await;
    check("tool's own error", tool_error(&client)).await;
    check("protocol error", protocol_error(&client, "fail")).await;
    check("unknown tool", protocol_error(&client, "no_such_tool")).await;
    check("progress notifications", progress(&client)).await;
    check("list resources and templates", resources(&client)).await;
    check("read resources", read(&client)).await;
    check("list and get prompts", prompt(&client)).await;
    check("complete", complete(&client)).await;
    check("input required (two rounds)", rounds(&client)).await;
    check("subscriptions/listen", listen(&client)).await;
    client.cancel().await?;
    Ok(())
}
