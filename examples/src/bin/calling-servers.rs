//! A client: it starts a server as a child process, follows progress, answers a question and tells
//! errors apart.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::client::{ClientError, text_of};
use carryall::server::Ask;
use carryall::transport::ServerCommand;
use carryall::types::{ElicitRequestFormParams, ElicitResult, JsonObject};
use carryall::{Client, Ctx, HandlerError, Result, Server, tool};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(serde::Deserialize, schemars::JsonSchema)]
enum Size {
    Small,
    Large,
}

/// Bakes a cake.
#[tool]
async fn bake(ctx: Ctx, size: Ask<Size>, flavour: String) -> Result<String, HandlerError> {
    if flavour == "salt" {
        return Err(HandlerError::new("Nobody would eat it"));
    }
    let pieces = match size.ask("Which size?").await?.accepted() {
        Some(Size::Large) => 12,
        Some(Size::Small) | None => 4,
    };
    for step in 1..=3 {
        ctx.progress(step).of(3).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(format!("{flavour} cake, {pieces} pieces"))
}

/// The user, who is hungry.
async fn user(question: ElicitRequestFormParams) -> ElicitResult {
    println!("user is asked: {}", question.message);
    ElicitResult::accept(JsonObject::from_iter([(
        "value".to_owned(),
        "Large".into(),
    )]))
}

#[tokio::main]
async fn main() -> Result<()> {
    if std::env::args().any(|argument| argument == "--stdio") {
        return carryall::serve_stdio(Server::new("bakery", "1.0.0").tool(bake)).await;
    }
    let command = ServerCommand::new(std::env::current_exe()?).arg("--stdio");
    let host = Client::builder().name("my-host").on_elicit(user);
    let client = carryall::connect(command).client(host).await?;

    let updates = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&updates);
    let cake: String = client
        .call("bake", json!({"flavour": "apple"}))
        .timeout(Duration::from_secs(10))
        .on_progress(move |update| {
            counter.fetch_add(1, Ordering::Relaxed);
            println!("progress: {:?}", update.fraction());
        })
        .typed()
        .await?;
    println!("{cake}");
    assert_eq!(cake, "apple cake, 12 pieces");
    assert_eq!(updates.load(Ordering::Relaxed), 3);

    // The failure of a tool is a result, unless a value is asked for.
    let arguments = json!({"flavour": "salt"});
    let failed = client.call("bake", &arguments).await?;
    assert!(failed.failed());
    let error = client.call("bake", &arguments).typed::<String>().await;
    assert!(matches!(error, Err(ClientError::Tool(_))));
    println!("failed: {}", text_of(&failed));
    let unknown = client.call("fry", ()).await.unwrap_err();
    println!("error: {unknown}");
    assert!(matches!(unknown, ClientError::Server(_)));
    Ok(())
}
