//! Long work as a task, with a question inside.
//!
//! The call is answered at once. The client waits for the result as if nothing had happened,
//! answers what the task asks, and could keep the task's name and come back after a restart, which
//! the second half of this example does.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::client::{RoundOutcome, ToolValue};
use carryall::server::{TaskOptions, Tool};
use carryall::store::Memory;
use carryall::types::{ElicitRequestFormParams, ElicitResult, JsonObject};
use carryall::{Client, Ctx, ElicitOutcome, Form, HandlerError, Result, Server, TaskSupport};
use carryall_examples::{keyring, round_robin};
use serde_json::json;
use std::time::Duration;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Order {
    /// What the report is about
    subject: String,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Format {
    /// How detailed?
    pages: u32,
}

/// Each chapter is recorded when it is written: if this process dies, another one goes on after the
/// last one.
async fn report(ctx: Ctx, order: Order) -> Result<String, HandlerError> {
    let ElicitOutcome::Accepted(format) = ctx
        .ask(Form::<Format>::new("How many pages shall it have?"))
        .await?
    else {
        return Ok("no report then".into());
    };
    let mut chapters = Vec::new();
    for number in 1..=3 {
        let chapter: String = ctx
            .once(&format!("chapter-{number}"), async || {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok::<_, HandlerError>(format!("chapter {number}"))
            })
            .await?;
        ctx.progress(number)
            .of(3.0)
            .message(format!("{chapter} is written"))
            .await;
        chapters.push(chapter);
    }
    Ok(format!(
        "{} on {} pages: {}",
        order.subject,
        format.pages,
        chapters.join(", ")
    ))
}

fn replica(store: &Memory) -> Result<Server> {
    let report = Tool::new("report", report)
        .description("Writes a report")
        .as_task(TaskSupport::Always)
        .resumable();
    // A fleet has Postgres or Redis here. The replicas of this example are in one process.
    let server = Server::new("reports", "1.0.0")
        .keyring(keyring()?)
        .store(store.clone());
    Ok(server
        .tasks(TaskOptions::new().poll_interval(Duration::from_millis(100)))
        .tool(report)
        .build()?)
}

async fn user(question: ElicitRequestFormParams) -> ElicitResult {
    println!("user is asked: {}", question.message);
    ElicitResult::accept(JsonObject::from_iter([("pages".to_owned(), 12.into())]))
}

#[tokio::main]
async fn main() -> Result<()> {
    let store = Memory::new();
    let replicas = (0..3)
        .map(|_| replica(&store))
        .collect::<Result<Vec<_>>>()?;
    let service = round_robin(replicas);
    let client = || {
        Client::builder()
            .service(service.clone())
            .tasks()
            .on_elicit(user)
            .build()
    };
    let expected =
        |subject: &str| format!("{subject} on 12 pages: chapter 1, chapter 2, chapter 3");

    let told = |task: &carryall::types::Task| {
        println!(
            "  {:?} {}",
            task.status,
            task.status_message.as_deref().unwrap_or("")
        )
    };
    let said: String = client()?
        .call("report", json!({"subject": "whales"}))
        .on_task(told)
        .typed()
        .await?;
    println!("{said}");
    assert_eq!(said, expected("whales"));

    let RoundOutcome::Task(task) = client()?
        .call("report", json!({"subject": "ships"}))
        .once()
        .await?
    else {
        return Err("the report is always a task".into());
    };
    let kept = task.id().to_owned();
    drop(task);
    println!(
        "a client has ended, and another one comes back for {} characters of a name",
        kept.len()
    );
    let said = client()?.task(kept).wait_for::<ToolValue<String>>().await?;
    println!("{said}");
    assert_eq!(said, expected("ships"));
    Ok(())
}
