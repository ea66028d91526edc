//! The actions of the client in each scenario.

use carryall::client::text_of;
use carryall::proto::BoxFuture;
use carryall::types::{CallToolRequestParams, JsonObject, JsonValue};
use carryall::{Client, Result};
use serde_json::json;

/// The actions of a client in a scenario, given the parameters of the scenario.
pub(crate) type Scenario = fn(Client, JsonValue) -> BoxFuture<Result<()>>;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("initialize", |client, _| Box::pin(list_tools(client))),
    ("elicitation-sep1034-client-defaults", |client, _| {
        Box::pin(call("test_client_elicitation_defaults", client))
    }),
    ("sse-retry", |client, _| {
        Box::pin(call("test_reconnection", client))
    }),
    ("tools_call", |client, _| Box::pin(add_numbers(client))),
    ("request-metadata", |client, _| Box::pin(list_tools(client))),
    ("sep-2322-client-request-state", |client, _| {
        Box::pin(rounds(client))
    }),
    ("http-standard-headers", |client, _| {
        Box::pin(use_everything(client))
    }),
    ("http-custom-headers", |client, context| {
        Box::pin(make_calls(client, context))
    }),
    ("http-invalid-tool-headers", |client, _| {
        Box::pin(call_what_is_listed(client))
    }),
    ("json-schema-ref-no-deref", |client, _| {
        Box::pin(list_tools(client))
    }),
    ("json-schema-2020-12-preservation", |client, _| {
        Box::pin(echo_schema(client))
    }),
];

pub(crate) fn find(name: &str) -> Option<Scenario> {
    SCENARIOS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, scenario)| *scenario)
}

async fn list_tools(client: Client) -> Result<()> {
    client.list_tools().await?;
    Ok(())
}

async fn call(tool: &'static str, client: Client) -> Result<()> {
    client.list_tools().await?;
    client.call(tool, json!({})).await?;
    Ok(())
}

async fn add_numbers(client: Client) -> Result<()> {
    client.list_tools().await?;
    let result = client.call("add_numbers", json!({"a": 2, "b": 3})).await?;
    let text = text_of(&result);
    if text.contains('5') {
        Ok(())
    } else {
        Err(format!("expected 5, found {text:?}").into())
    }
}

/// Makes other calls while one call waits for input. The state of one must not occur in another.
async fn rounds(client: Client) -> Result<()> {
    client.list_tools().await?;
    let call = async |tool: &str| client.call(tool, json!({})).await;
    tokio::try_join!(call("test_mrtr_echo_state"), call("test_mrtr_unrelated"))?;
    for tool in [
        "test_mrtr_no_state",
        "test_mrtr_unrelated",
        "test_mrtr_no_result_type",
    ] {
        call(tool).await?;
    }
    Ok(())
}

async fn use_everything(client: Client) -> Result<()> {
    for tool in client.list_tools().await? {
        client.call(&tool.name, json!({})).await?;
    }
    for resource in client.list_resources().await? {
        client.read_resource(&resource.uri).await?;
    }
    for prompt in client.list_prompts().await? {
        let arguments = prompt.arguments.unwrap_or_default();
        let arguments: JsonObject = arguments
            .into_iter()
            .map(|argument| (argument.name, "text".into()))
            .collect();
        client.get_prompt(&prompt.name, arguments).await?;
    }
    Ok(())
}

/// Makes the calls listed in the context. Lists the tools first, since their schemas say which
/// arguments are mirrored in headers.
async fn make_calls(client: Client, mut context: JsonValue) -> Result<()> {
    client.list_tools().await?;
    let calls: Vec<CallToolRequestParams> = serde_json::from_value(context["toolCalls"].take())?;
    for call in calls {
        client
            .call(&call.name, call.arguments.unwrap_or_default())
            .await?;
    }
    Ok(())
}

/// Calls every listed tool, so that the suite detects a tool that should have been dropped.
async fn call_what_is_listed(client: Client) -> Result<()> {
    for tool in client.list_tools().await? {
        client
            .call(&tool.name, json!({"region": "us-west1"}))
            .await?;
    }
    Ok(())
}

async fn echo_schema(client: Client) -> Result<()> {
    let tools = client.list_tools().await?;
    let tool = tools
        .into_iter()
        .find(|tool| tool.name == "json_schema_2020_12_tool");
    let tool = tool.ok_or("json_schema_2020_12_tool is not listed")?;
    client
        .call("json_schema_echo", json!({"schema": tool.input_schema}))
        .await?;
    Ok(())
}
