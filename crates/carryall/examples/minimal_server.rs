//! A server with one tool, as README.md shows it: `cargo run -p carryall --example minimal_server`.

use carryall::{Server, serve, tool};

/// Adds two numbers.
#[tool(read_only)]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[tokio::main]
async fn main() -> carryall::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    serve(address, Server::new("calculator", "1.0.0").tool(add)).await
}
