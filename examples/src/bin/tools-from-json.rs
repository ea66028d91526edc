//! Tools from JSON definitions, replaced while the server runs.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::client::Change;
use carryall::server::Tool;
use carryall::types::{JsonObject, SubscriptionFilter};
use carryall::{Client, Result, Server};
use serde_json::json;

/// In a real server these come from a file, a database or an OpenAPI description.
const DEFINITIONS: &str = r#"[{
    "name": "greet",
    "description": "Greets somebody",
    "input": {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]},
    "reply": "Hello, {who}!"
}]"#;

#[derive(serde::Deserialize)]
struct Definition {
    name: String,
    description: String,
    input: JsonObject,
    reply: String,
}

impl Definition {
    fn into_tool(self) -> Tool {
        let reply = self.reply;
        let handler = move |arguments: JsonObject| {
            let reply = reply.clone();
            async move { reply.replace("{who}", arguments["who"].as_str().unwrap_or_default()) }
        };
        Tool::dynamic(self.name, self.input, handler).description(self.description)
    }
}

fn tools(definitions: &str) -> Result<Vec<Tool>> {
    let definitions: Vec<Definition> = serde_json::from_str(definitions)?;
    Ok(definitions.into_iter().map(Definition::into_tool).collect())
}

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::new("dynamic", "1.0.0").with_tools().build()?;
    let client = Client::builder().service(server.clone()).build()?;
    let filter = SubscriptionFilter::new().with_tools_list_changed(true);
    let mut changes = client.listen(filter).await?;
    assert!(client.list_tools().await?.is_empty());

    let tools = tools(DEFINITIONS)?;
    server.change(|catalogue| {
        for tool in tools {
            catalogue.tool(tool);
        }
    })?;
    assert!(matches!(changes.next().await, Some(Ok(Change::Tools))));
    for tool in client.list_tools().await? {
        println!("{}: {}", tool.name, tool.description.unwrap_or_default());
    }
    let greeting: String = client.call("greet", json!({"who": "Ada"})).typed().await?;
    println!("{greeting}");
    assert_eq!(greeting, "Hello, Ada!");

    let refused = client.call("greet", json!({"who": 1})).await?;
    println!("{}", carryall::client::text_of(&refused));
    assert!(refused.failed(), "arguments are checked against the schema");
    Ok(())
}
