//! The checks.

use super::handler::{ROOTS, Received};
use super::{CheckResult, Client, Failure, NOTICE, check};
use rmcp::ServiceError;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, GetPromptRequestParams, LoggingLevel,
    PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResult,
    RequestMetaObject, ResourceContents, ServerNotification, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const LEVELS: [LoggingLevel; 6] = [
    LoggingLevel::Notice,
    LoggingLevel::Warning,
    LoggingLevel::Error,
    LoggingLevel::Critical,
    LoggingLevel::Alert,
    LoggingLevel::Emergency,
];

pub(super) async fn all(client: &Client) {
    check("connect", connected(client)).await;
    check("ping", ping(client)).await;
    check("list tools", list_tools(client)).await;
    check("pagination", pagination(client)).await;
    check("call", call_text(client)).await;
    check("call, structured output", call_structured(client)).await;
    check("call, floats for integers", call_floats(client)).await;
    check("call, argument in a header", call_header(client)).await;
    check("tool's own error", tool_error(client)).await;
    check("protocol error", protocol_error(client, "fail")).await;
    check("unknown tool", protocol_error(client, "no_such_tool")).await;
    check("progress notifications", progress(client)).await;
    check("log messages", log(client)).await;
    check("list resources and templates", resources(client)).await;
    check("read resources", read_resources(client)).await;
    check("get prompts", prompt(client)).await;
    check("complete", complete(client)).await;
    let booked = "table for 4 at Noma on 2026-08-01";
    check(
        "elicitation",
        expect_text(client, "book_table", json!({"restaurant": "Noma"}), booked),
    )
    .await;
    let output = "The model says: You asked: What is red?";
    check(
        "sampling",
        expect_text(
            client,
            "ask_model",
            json!({"question": "What is red?"}),
            output,
        ),
    )
    .await;
    check(
        "roots",
        expect_text(client, "show_roots", json!({}), &ROOTS.join(", ")),
    )
    .await;
    check("cancellation", cancellation(client)).await;
    check("changes of lists and resources", changes(client)).await;
}

fn ensure(condition: bool, found: impl std::fmt::Debug) -> Result<(), Failure> {
    if condition {
        Ok(())
    } else {
        Err(format!("unexpected: {found:?}").into())
    }
}

fn done(detail: impl Into<String>) -> CheckResult {
    Ok(Some(detail.into()))
}

/// Returns the code of a protocol error. Fails if there is none.
fn refused<T>(result: Result<T, ServiceError>) -> Result<i32, Failure> {
    match result {
        Ok(_) => Err("it was not rejected".into()),
        Err(ServiceError::McpError(error)) => Ok(error.code.0),
        Err(other) => Err(other.into()),
    }
}

fn params(name: &'static str, args: &Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(args.as_object().cloned().unwrap_or_default())
}

async fn call(
    client: &Client,
    name: &'static str,
    args: Value,
) -> Result<CallToolResult, ServiceError> {
    client.service.call_tool(params(name, &args)).await
}

fn text(result: &CallToolResult) -> Result<String, Failure> {
    let first = result.content.first().and_then(|block| block.as_text());
    first
        .map(|block| block.text.clone())
        .ok_or_else(|| format!("no text in {result:?}").into())
}

/// Calls a tool and checks that its text contains `wanted`.
async fn expect_text(
    client: &Client,
    name: &'static str,
    args: Value,
    wanted: &str,
) -> CheckResult {
    let output = text(&call(client, name, args).await?)?;
    ensure(output.contains(wanted), &output)?;
    done(output)
}

async fn read(client: &Client, uri: &str) -> Result<String, Failure> {
    let found: ReadResourceResult = client
        .service
        .read_resource(ReadResourceRequestParams::new(uri))
        .await?;
    match found.contents.first() {
        Some(ResourceContents::TextResourceContents { text, .. }) => Ok(text.clone()),
        other => Err(format!("no text in {other:?}").into()),
    }
}

/// Waits until the notification handlers, which run concurrently with the call, satisfy the
/// condition.
async fn until(client: &Client, limit: Duration, condition: impl Fn(&Received) -> bool) {
    let _ = tokio::time::timeout(limit, async {
        while !client
            .service
            .service()
            .received(|received| condition(received))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn connected(client: &Client) -> CheckResult {
    let server = client.service.peer_info().ok_or("no server information")?;
    ensure(
        (server.protocol_version == ProtocolVersion::V_2026_07_28) == client.modern,
        &server.protocol_version,
    )?;
    let info = server.server_info.as_ref().ok_or("no server name")?;
    done(format!("{}, {}", info.name, server.protocol_version))
}

async fn ping(client: &Client) -> CheckResult {
    if client.modern {
        return Ok(None);
    }
    let request = rmcp::model::ClientRequest::PingRequest(rmcp::model::PingRequest::default());
    client.service.send_request(request).await?;
    done("answered")
}

async fn list_tools(client: &Client) -> CheckResult {
    let tools = client.service.list_all_tools().await?;
    for name in ["whoami", "add", "countdown"] {
        ensure(tools.iter().any(|tool| tool.name == name), name)?;
    }
    let add = tools
        .iter()
        .find(|tool| tool.name == "add")
        .and_then(|tool| tool.output_schema.as_ref());
    ensure(
        add.is_some_and(|schema| schema["properties"]["sum"]["type"] == "integer"),
        add,
    )?;
    done(format!("{} tools", tools.len()))
}

async fn pagination(client: &Client) -> CheckResult {
    let (mut tools, mut prompts, mut pages) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut cursor = None;
    loop {
        let page = client
            .service
            .list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor)))
            .await?;
        pages += 1;
        for tool in page.tools {
            ensure(tools.insert(tool.name.to_string()), "twice")?;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    loop {
        let page = client
            .service
            .list_prompts(Some(PaginatedRequestParams::default().with_cursor(cursor)))
            .await?;
        pages += 1;
        prompts.extend(page.prompts.into_iter().map(|prompt| prompt.name));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    ensure(pages > 2, format!("{pages} pages"))?;
    ensure(prompts.iter().eq(["explain_demo", "greet"]), &prompts)?;
    done(format!(
        "{} tools and {} prompts on {pages} pages",
        tools.len(),
        prompts.len()
    ))
}

async fn call_text(client: &Client) -> CheckResult {
    let output = text(&call(client, "whoami", json!({})).await?)?;
    ensure(output.starts_with("replica "), &output)?;
    done(output)
}

async fn call_structured(client: &Client) -> CheckResult {
    let result = call(client, "add", json!({"a": 2, "b": 40})).await?;
    ensure(
        result.structured_content == Some(json!({"sum": 42})),
        &result,
    )?;
    done(json!({"sum": 42}).to_string())
}

async fn call_floats(client: &Client) -> CheckResult {
    let result = call(client, "add", json!({"a": 2.0, "b": 40.0})).await?;
    ensure(
        result.structured_content == Some(json!({"sum": 42})),
        &result,
    )?;
    done(json!({"sum": 42}).to_string())
}

async fn call_header(client: &Client) -> CheckResult {
    expect_text(
        client,
        "query",
        json!({"region": "eu-süd 1", "text": "rain"}),
        "rain asked in eu-süd 1",
    )
    .await
}

async fn tool_error(client: &Client) -> CheckResult {
    let result = call(client, "fail", json!({"reason": "on purpose"})).await?;
    ensure(
        result.is_error == Some(true) && text(&result)?.contains("on purpose"),
        &result,
    )?;
    done("isError: true")
}

async fn protocol_error(client: &Client, tool: &'static str) -> CheckResult {
    let code = refused(
        call(
            client,
            tool,
            json!({"kind": "protocol", "reason": "on purpose"}),
        )
        .await,
    )?;
    ensure(code == -32602, code)?;
    done(format!("code {code}"))
}

async fn progress(client: &Client) -> CheckResult {
    let output = text(&call(client, "countdown", json!({"pause_ms": 20})).await?)?;
    ensure(output == "Counted down from 10.", &output)?;
    until(client, Duration::from_secs(2), |received| {
        received.progress.len() >= 11
    })
    .await;
    let mut seen = client
        .service
        .service()
        .received(|received| std::mem::take(&mut received.progress));
    seen.sort_by(|a, b| a.progress.total_cmp(&b.progress));
    ensure(
        seen.iter()
            .map(|note| note.progress)
            .eq((0..=10).map(f64::from)),
        &seen,
    )?;
    ensure(
        seen[10].total == Some(10.0) && seen[10].message.as_deref() == Some("lift-off"),
        &seen,
    )?;
    done(format!("{} notifications", seen.len()))
}

async fn log(client: &Client) -> CheckResult {
    let mut params = params("chatter", &json!({}));
    if client.modern {
        let mut meta = RequestMetaObject::new();
        meta.set_log_level(LoggingLevel::Notice);
        params.meta = Some(meta);
    } else {
        client
            .service
            .set_level(SetLevelRequestParams::new(LoggingLevel::Notice))
            .await?;
    }
    client.service.call_tool(params).await?;
    until(client, Duration::from_secs(2), |received| {
        received.messages.len() >= LEVELS.len()
    })
    .await;
    let seen = client
        .service
        .service()
        .received(|received| std::mem::take(&mut received.messages));
    // The handlers run concurrently, in any order.
    let came: BTreeSet<String> = seen
        .iter()
        .map(|note| json!(note.level).to_string())
        .collect();
    ensure(
        came == LEVELS
            .iter()
            .map(|level| json!(level).to_string())
            .collect(),
        &came,
    )?;
    done(format!("{} messages from level notice on", came.len()))
}

async fn resources(client: &Client) -> CheckResult {
    let resources = client.service.list_all_resources().await?;
    ensure(
        resources.iter().any(|resource| resource.uri == NOTICE),
        &resources,
    )?;
    let templates = client.service.list_all_resource_templates().await?;
    ensure(
        templates
            .iter()
            .any(|template| template.uri_template.contains("capitals")),
        &templates,
    )?;
    done(format!(
        "{} resources, {} templates",
        resources.len(),
        templates.len()
    ))
}

async fn read_resources(client: &Client) -> CheckResult {
    let output = read(client, "demo://capitals/norway").await?;
    ensure(output == "Oslo", &output)?;
    let unknown = ReadResourceRequestParams::new("demo://no-such-thing");
    let code = refused(client.service.read_resource(unknown).await)?;
    ensure(code == if client.modern { -32602 } else { -32002 }, code)?;
    done(format!("{output}; unknown: code {code}"))
}

async fn prompt(client: &Client) -> CheckResult {
    let args = json!({"name": "Ada", "tone": "formal"})
        .as_object()
        .cloned()
        .unwrap_or_default();
    let found = client
        .service
        .get_prompt(GetPromptRequestParams::new("greet").with_arguments(args))
        .await?;
    let first = found.messages.first().ok_or("no messages")?;
    let output = first
        .content
        .as_text()
        .map(|block| block.text.clone())
        .ok_or("no text")?;
    ensure(output.contains("formal greeting to Ada"), &output)?;
    done(output)
}

async fn complete(client: &Client) -> CheckResult {
    let values = client
        .service
        .complete_prompt_simple("greet", "language", "F")
        .await?;
    ensure(values == ["Finnish", "French"], &values)?;
    done(values.join(", "))
}

async fn cancellation(client: &Client) -> CheckResult {
    let count = async || -> Result<u64, Failure> {
        let output = read(client, "demo://naps").await?;
        Ok(output.split(' ').next().unwrap_or_default().parse()?)
    };
    let before = count().await?;
    // A call that is dropped is cancelled.
    let nap = tokio::time::timeout(
        Duration::from_millis(300),
        call(client, "nap", json!({"seconds": 30})),
    )
    .await;
    ensure(nap.is_err(), "it was not cancelled")?;
    for _ in 0..100 {
        if count().await? == before + 1 {
            return done("the server counts one more interrupted nap");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the server counts no more naps".into())
}

async fn changes(client: &Client) -> CheckResult {
    let words = format!("from rmcp {}", std::process::id());
    let received = if client.modern {
        listen(client, &words).await
    } else {
        subscribe(client, &words).await
    };
    call(client, "surprise", json!({"show": false})).await?;
    received?;
    let output = read(client, NOTICE).await?;
    ensure(output == words, &output)?;
    done("list changed, resource updated")
}

async fn change(client: &Client, words: &str) -> Result<(), Failure> {
    call(client, "surprise", json!({"show": true})).await?;
    call(client, "post_notice", json!({"text": words})).await?;
    Ok(())
}

async fn subscribe(client: &Client, words: &str) -> Result<(), Failure> {
    client
        .service
        .subscribe(SubscribeRequestParams::new(NOTICE))
        .await?;
    client
        .service
        .service()
        .received(|received| (received.tools, received.notice) = (false, false));
    change(client, words).await?;
    until(client, Duration::from_secs(10), |received| {
        received.tools && received.notice
    })
    .await;
    let received = client
        .service
        .service()
        .received(|received| (received.tools, received.notice));
    client
        .service
        .unsubscribe(UnsubscribeRequestParams::new(NOTICE))
        .await?;
    ensure(received == (true, true), received)
}

async fn listen(client: &Client, words: &str) -> Result<(), Failure> {
    let filter = SubscriptionFilter::builder()
        .tools_list_changed()
        .resource_subscription(NOTICE)
        .build();
    let mut subscription = client.service.peer().listen(filter).await?;
    ensure(
        subscription.acknowledged().tools_list_changed == Some(true),
        subscription.acknowledged(),
    )?;
    change(client, words).await?;
    let (mut tools, mut notice) = (false, false);
    while !(tools && notice) {
        match subscription.next().await?.ok_or("the subscription ended")? {
            ServerNotification::ToolListChangedNotification(_) => tools = true,
            ServerNotification::ResourceUpdatedNotification(note) => {
                notice |= note.params.uri == NOTICE
            }
            other => return Err(format!("unexpected: {other:?}").into()),
        }
    }
    subscription.cancel().await?;
    Ok(())
}
