//! Runs long work as a task that asks the user a question.
//!
//! The call is answered immediately. The client waits for the result and answers the elicitation of
//! the task. The second part of this example stores the id of a task and waits with another client, as
//! after a restart.

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

/// Writes a report. `ctx.once` records each chapter: if this process dies, another one continues after
/// the last recorded chapter.
async fn report(ctx: Ctx, order: Order) -> Result<String, HandlerError> {
    let ElicitOutcome::Accepted(format) = ctx.ask(Form::<Format>::new("How many pages?")).await?
    else {
        return Ok("no report".into());
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
    // A real deployment uses Postgres or Redis. The replicas of this example are in one process.
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

    let print_status = |task: &carryall::types::Task| {
        println!(
            "  {:?} {}",
            task.status,
            task.status_message.as_deref().unwrap_or("")
        )
    };
    let report: String = client()?
        .call("report", json!({"subject": "whales"}))
        .on_task(print_status)
        .typed()
        .await?;
    println!("{report}");
    assert_eq!(report, expected("whales"));

    let RoundOutcome::Task(task) = client()?
        .call("report", json!({"subject": "ships"}))
        .once()
        .await?
    else {
        return Err("the report is always a task".into());
    };
    let id = task.id().to_owned();
    drop(task);
    println!(
        "another client waits for the task, whose id has {} characters",
        id.len()
    );
    let report = client()?.task(id).wait_for::<ToolValue<String>>().await?;
    println!("{report}");
    assert_eq!(report, expected("ships"));
    Ok(())
}
