//! The checks.

use super::handler::{Heard, ROOTS};
use super::{Client, Failure, NOTICE, Says, check};
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
        says(client, "book_table", json!({"restaurant": "Noma"}), booked),
    )
    .await;
    let said = "The model says: I heard: What is red?";
    check(
        "sampling",
        says(
            client,
            "ask_model",
            json!({"question": "What is red?"}),
            said,
        ),
    )
    .await;
    check(
        "roots",
        says(client, "show_roots", json!({}), &ROOTS.join(", ")),
    )
    .await;
    check("cancellation", cancellation(client)).await;
    check("changes of lists and resources", changes(client)).await;
}

fn want(condition: bool, found: impl std::fmt::Debug) -> Result<(), Failure> {
    if condition {
        Ok(())
    } else {
        Err(format!("unexpected: {found:?}").into())
    }
}

fn done(says: impl Into<String>) -> Says {
    Ok(Some(says.into()))
}

/// The code of the protocol error that this must end with.
fn refused<T>(result: Result<T, ServiceError>) -> Result<i32, Failure> {
    match result {
        Ok(_) => Err("it was not refused".into()),
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

/// Calls a tool whose text must have this in it.
async fn says(client: &Client, name: &'static str, args: Value, wanted: &str) -> Says {
    let said = text(&call(client, name, args).await?)?;
    want(said.contains(wanted), &said)?;
    done(said)
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

/// Waits for what a handler of notifications hears: they run beside the call.
async fn until(client: &Client, limit: Duration, condition: impl Fn(&Heard) -> bool) {
    let _ = tokio::time::timeout(limit, async {
        while !client.service.service().heard(|heard| condition(heard)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn connected(client: &Client) -> Says {
    let server = client
        .service
        .peer_info()
        .ok_or("the server is not known")?;
    want(
        (server.protocol_version == ProtocolVersion::V_2026_07_28) == client.modern,
        &server.protocol_version,
    )?;
    let info = server
        .server_info
        .as_ref()
        .ok_or("the server does not say what it is")?;
    done(format!("{}, {}", info.name, server.protocol_version))
}

async fn ping(client: &Client) -> Says {
    if client.modern {
        return Ok(None);
    }
    let request = rmcp::model::ClientRequest::PingRequest(rmcp::model::PingRequest::default());
    client.service.send_request(request).await?;
    done("answered")
}

async fn list_tools(client: &Client) -> Says {
    let tools = client.service.list_all_tools().await?;
    for name in ["whoami", "add", "countdown"] {
        want(tools.iter().any(|tool| tool.name == name), name)?;
    }
    let add = tools
        .iter()
        .find(|tool| tool.name == "add")
        .and_then(|tool| tool.output_schema.as_ref());
    want(
        add.is_some_and(|schema| schema["properties"]["sum"]["type"] == "integer"),
        add,
    )?;
    done(format!("{} tools", tools.len()))
}

async fn pagination(client: &Client) -> Says {
    let (mut tools, mut prompts, mut pages) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut cursor = None;
    loop {
        let page = client
            .service
            .list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor)))
            .await?;
        pages += 1;
        for tool in page.tools {
            want(tools.insert(tool.name.to_string()), "twice")?;
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
    want(pages > 2, format!("{pages} pages"))?;
    want(prompts.iter().eq(["explain_demo", "greet"]), &prompts)?;
    done(format!(
        "{} tools and {} prompts on {pages} pages",
        tools.len(),
        prompts.len()
    ))
}

async fn call_text(client: &Client) -> Says {
    let said = text(&call(client, "whoami", json!({})).await?)?;
    want(said.starts_with("replica "), &said)?;
    done(said)
}

async fn call_structured(client: &Client) -> Says {
    let result = call(client, "add", json!({"a": 2, "b": 40})).await?;
    want(
        result.structured_content == Some(json!({"sum": 42})),
        &result,
    )?;
    done(json!({"sum": 42}).to_string())
}

async fn call_floats(client: &Client) -> Says {
    let result = call(client, "add", json!({"a": 2.0, "b": 40.0})).await?;
    want(
        result.structured_content == Some(json!({"sum": 42})),
        &result,
    )?;
    done(json!({"sum": 42}).to_string())
}

async fn call_header(client: &Client) -> Says {
    says(
        client,
        "query",
        json!({"region": "eu-süd 1", "text": "rain"}),
        "rain asked in eu-süd 1",
    )
    .await
}

async fn tool_error(client: &Client) -> Says {
    let result = call(client, "fail", json!({"reason": "on purpose"})).await?;
    want(
        result.is_error == Some(true) && text(&result)?.contains("on purpose"),
        &result,
    )?;
    done("isError: true")
}

async fn protocol_error(client: &Client, tool: &'static str) -> Says {
    let code = refused(
        call(
            client,
            tool,
            json!({"kind": "protocol", "reason": "on purpose"}),
        )
        .await,
    )?;
    want(code == -32602, code)?;
    done(format!("code {code}"))
}

async fn progress(client: &Client) -> Says {
    let said = text(&call(client, "countdown", json!({"pause_ms": 20})).await?)?;
    want(said == "Counted down from 10.", &said)?;
    until(client, Duration::from_secs(2), |heard| {
        heard.progress.len() >= 11
    })
    .await;
    let mut seen = client
        .service
        .service()
        .heard(|heard| std::mem::take(&mut heard.progress));
    seen.sort_by(|a, b| a.progress.total_cmp(&b.progress));
    want(
        seen.iter()
            .map(|note| note.progress)
            .eq((0..=10).map(f64::from)),
        &seen,
    )?;
    want(
        seen[10].total == Some(10.0) && seen[10].message.as_deref() == Some("lift-off"),
        &seen,
    )?;
    done(format!("{} notifications", seen.len()))
}

async fn log(client: &Client) -> Says {
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
    until(client, Duration::from_secs(2), |heard| {
        heard.messages.len() >= LEVELS.len()
    })
    .await;
    let seen = client
        .service
        .service()
        .heard(|heard| std::mem::take(&mut heard.messages));
    // Its handlers run beside each other, in any order.
    let came: BTreeSet<String> = seen
        .iter()
        .map(|note| json!(note.level).to_string())
        .collect();
    want(
        came == LEVELS
            .iter()
            .map(|level| json!(level).to_string())
            .collect(),
        &came,
    )?;
    done(format!("{} messages from level notice on", came.len()))
}

async fn resources(client: &Client) -> Says {
    let resources = client.service.list_all_resources().await?;
    want(
        resources.iter().any(|resource| resource.uri == NOTICE),
        &resources,
    )?;
    let templates = client.service.list_all_resource_templates().await?;
    want(
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

async fn read_resources(client: &Client) -> Says {
    let said = read(client, "demo://capitals/norway").await?;
    want(said == "Oslo", &said)?;
    let unknown = ReadResourceRequestParams::new("demo://no-such-thing");
    let code = refused(client.service.read_resource(unknown).await)?;
    want(code == if client.modern { -32602 } else { -32002 }, code)?;
    done(format!("{said}; unknown: code {code}"))
}

async fn prompt(client: &Client) -> Says {
    let args = json!({"name": "Ada", "tone": "formal"})
        .as_object()
        .cloned()
        .unwrap_or_default();
    let found = client
        .service
        .get_prompt(GetPromptRequestParams::new("greet").with_arguments(args))
        .await?;
    let first = found.messages.first().ok_or("no messages")?;
    let said = first
        .content
        .as_text()
        .map(|block| block.text.clone())
        .ok_or("no text")?;
    want(said.contains("formal greeting to Ada"), &said)?;
    done(said)
}

async fn complete(client: &Client) -> Says {
    let values = client
        .service
        .complete_prompt_simple("greet", "language", "F")
        .await?;
    want(values == ["Finnish", "French"], &values)?;
    done(values.join(", "))
}

async fn cancellation(client: &Client) -> Says {
    let count = async || -> Result<u64, Failure> {
        let said = read(client, "demo://naps").await?;
        Ok(said.split(' ').next().unwrap_or_default().parse()?)
    };
    let before = count().await?;
    // A call that is dropped is cancelled.
    let nap = tokio::time::timeout(
        Duration::from_millis(300),
        call(client, "nap", json!({"seconds": 30})),
    )
    .await;
    want(nap.is_err(), "it was not cancelled")?;
    for _ in 0..100 {
        if count().await? == before + 1 {
            return done("the server counts one more nap that was broken off");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the server counts no more naps".into())
}

async fn changes(client: &Client) -> Says {
    let words = format!("from rmcp {}", std::process::id());
    let heard = if client.modern {
        listen(client, &words).await
    } else {
        subscribe(client, &words).await
    };
    call(client, "surprise", json!({"show": false})).await?;
    heard?;
    let said = read(client, NOTICE).await?;
    want(said == words, &said)?;
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
        .heard(|heard| (heard.tools, heard.notice) = (false, false));
    change(client, words).await?;
    until(client, Duration::from_secs(10), |heard| {
        heard.tools && heard.notice
    })
    .await;
    let heard = client
        .service
        .service()
        .heard(|heard| (heard.tools, heard.notice));
    client
        .service
        .unsubscribe(UnsubscribeRequestParams::new(NOTICE))
        .await?;
    want(heard == (true, true), heard)
}

async fn listen(client: &Client, words: &str) -> Result<(), Failure> {
    let filter = SubscriptionFilter::builder()
        .tools_list_changed()
        .resource_subscription(NOTICE)
        .build();
    let mut subscription = client.service.peer().listen(filter).await?;
    want(
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
