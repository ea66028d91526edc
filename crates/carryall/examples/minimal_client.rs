//! A client of that server, as README.md shows it:
//! `cargo run -p carryall --example minimal_client`.
// An example may print.
#![allow(clippy::print_stdout)]

use serde_json::json;

#[tokio::main]
async fn main() -> carryall::Result<()> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or("http://127.0.0.1:8080/mcp".into());
    let client = carryall::connect(url).await?;
    for tool in client.list_tools().await? {
        println!("{}: {}", tool.name, tool.description.unwrap_or_default());
    }
    let sum: i64 = client.call("add", json!({"a": 2, "b": 3})).typed().await?;
    println!("2 + 3 = {sum}");
    Ok(())
}
