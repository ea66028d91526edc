//! A first server over HTTP, and a client that calls it.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::transport::HttpServer;
use carryall::{Result, Server, tool};
use serde_json::json;
use std::future::pending;

/// Greets somebody by name.
#[tool(read_only)]
async fn greet(
    /// Whom to greet
    name: String,
    /// How loudly, from 1 to 3
    #[arg(default = 1)]
    #[schemars(range(min = 1, max = 3))]
    volume: u8,
) -> String {
    format!("Hello, {name}{}", "!".repeat(volume.into()))
}

#[tokio::main]
async fn main() -> Result<()> {
    // A server that does nothing else is one line: `carryall::serve("127.0.0.1:8080", server)`. This
    // one takes any free port.
    let server = Server::new("greeter", "1.0.0").tool(greet);
    let http = HttpServer::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", http.local_addr()?);
    let serving = tokio::spawn(http.run_endpoint(carryall::endpoint(server)?, pending()));
    println!("serving {url}");

    let client = carryall::connect(url.as_str()).await?;
    for tool in client.list_tools().await? {
        println!("{}: {}", tool.name, tool.description.unwrap_or_default());
    }
    let arguments = json!({"name": "Ada", "volume": 3});
    let greeting: String = client.call("greet", arguments).typed().await?;
    println!("{greeting}");
    assert_eq!(greeting, "Hello, Ada!!!");

    let misspelt = client
        .call("greet", json!({"name": "Ada", "volum": 3}))
        .await?;
    let message = carryall::client::text_of(&misspelt);
    println!("{message}");
    assert!(misspelt.failed() && message.contains("volume"), "{message}");
    serving.abort();
    Ok(())
}
