//! One endpoint for clients of 2026-07-28 and of 2025-11-25: a handler that asks the user is written
//! once, for both.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::server::Ask;
use carryall::transport::HttpServer;
use carryall::types::{ElicitRequestFormParams, ElicitResult, JsonObject};
use carryall::{Client, Era, HandlerError, Result, Server, tool};
use carryall_examples::keyring;
use std::future::pending;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Name {
    /// What is your name?
    name: String,
}

/// Greets the user.
#[tool]
async fn greet(question: Ask<Name>) -> Result<String, HandlerError> {
    let answer = question.ask("Your name, please").await?;
    let name = answer
        .accepted()
        .map_or("whoever you are".into(), |answer| answer.name);
    Ok(format!("Hello, {name}!"))
}

async fn user(_: ElicitRequestFormParams) -> ElicitResult {
    ElicitResult::accept(JsonObject::from_iter([("name".to_owned(), "Ada".into())]))
}

#[tokio::main]
async fn main() -> Result<()> {
    // Sessions of legacy clients are sealed with the keyring, so that any replica can continue them.
    let server = Server::new("greeter", "1.0.0")
        .keyring(keyring()?)
        .tool(greet);
    let http = HttpServer::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", http.local_addr()?);
    let serving = tokio::spawn(http.run_endpoint(carryall::endpoint(server)?, pending()));

    for era in [Era::Modern, Era::Legacy] {
        let client = carryall::connect(url.as_str())
            .era(era)
            .client(Client::builder().on_elicit(user))
            .await?;
        let greeting: String = client.call("greet", ()).typed().await?;
        println!("{era:?}: {greeting}");
        assert_eq!(greeting, "Hello, Ada!");
    }
    serving.abort();
    Ok(())
}
