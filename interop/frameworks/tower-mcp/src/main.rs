//! A small server on tower-mcp. usage: server http PORT | stdio

use schemars::JsonSchema;
use serde::Deserialize;
use tower_mcp::{BoxError, CallToolResult, HttpTransport, McpRouter, StdioTransport, ToolBuilder};

#[derive(Debug, Deserialize, JsonSchema)]
struct Echo {
    text: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Add {
    a: i64,
    b: i64,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let echo = ToolBuilder::new("echo")
        .description("Returns its argument")
        .handler(|input: Echo| async move { Ok(CallToolResult::text(input.text)) })
        .build();
    let add = ToolBuilder::new("add")
        .description("Adds two whole numbers")
        .handler(|input: Add| async move {
            Ok(CallToolResult::json(
                serde_json::json!({"sum": input.a + input.b}),
            ))
        })
        .build();
    let router = McpRouter::new()
        .server_info("interop-tower-mcp", "1.0.0")
        .tool(echo)
        .tool(add);
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("http") => {
            let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{}", words[1])).await?;
            axum::serve(listener, HttpTransport::new(router).into_router_at("/mcp")).await?;
        }
        _ => StdioTransport::new(router).run().await?,
    }
    Ok(())
}
