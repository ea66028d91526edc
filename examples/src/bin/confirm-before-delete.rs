//! Asks the user for confirmation during a call.
//!
//! Each round of the call may run on another replica: the state of the call is sealed and travels with
//! the client. `ctx.once` prevents a second snapshot in the next round.

// Printing is what an example is for.
#![allow(clippy::print_stdout)]

use carryall::types::{ElicitRequestFormParams, ElicitResult, JsonObject};
use carryall::{Client, Ctx, ElicitOutcome, Form, HandlerError, Result, Server, State, tool};
use carryall_examples::{keyring, round_robin};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Confirm {
    /// Really delete it?
    sure: bool,
    /// Why?
    reason: Option<String>,
}

/// Counts the snapshots taken by all replicas.
#[derive(Default)]
struct Snapshots {
    taken: AtomicU32,
}

impl Snapshots {
    fn take(&self) -> u32 {
        self.taken.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Deletes a folder, if the user confirms it
#[tool(destructive)]
async fn delete(
    ctx: Ctx,
    snapshots: State<Arc<Snapshots>>,
    /// Which folder
    folder: String,
) -> Result<String, HandlerError> {
    let snapshot: u32 = ctx
        .once("snapshot", async || Ok::<_, HandlerError>(snapshots.take()))
        .await?;
    match ctx
        .ask(Form::<Confirm>::new(format!("Delete {folder}?")))
        .await?
    {
        ElicitOutcome::Accepted(Confirm { sure: true, reason }) => Ok(format!(
            "{folder} is gone (snapshot {snapshot}, {})",
            reason.unwrap_or_else(|| "no reason".into())
        )),
        ElicitOutcome::Accepted(_) | ElicitOutcome::Declined | ElicitOutcome::Cancelled => {
            Ok(format!("{folder} is still there"))
        }
    }
}

fn replica(snapshots: &Arc<Snapshots>) -> Result<Server> {
    let server = Server::new("files", "1.0.0")
        .keyring(keyring()?)
        .replicated();
    Ok(server.state(Arc::clone(snapshots)).tool(delete).build()?)
}

/// Answers for the user, who declines to delete important folders.
async fn user(question: ElicitRequestFormParams) -> ElicitResult {
    println!("user is asked: {}", question.message);
    let sure = !question.message.contains("important");
    ElicitResult::accept(JsonObject::from_iter([("sure".to_owned(), sure.into())]))
}

#[tokio::main]
async fn main() -> Result<()> {
    let snapshots = Arc::new(Snapshots::default());
    let replicas = (0..3)
        .map(|_| replica(&snapshots))
        .collect::<Result<Vec<_>>>()?;
    let client = Client::builder()
        .service(round_robin(replicas))
        .on_elicit(user)
        .build()?;
    for (folder, expected) in [
        ("/old", "/old is gone (snapshot 1, no reason)"),
        ("/important", "/important is still there"),
    ] {
        let answer: String = client
            .call("delete", json!({"folder": folder}))
            .typed()
            .await?;
        println!("{answer}");
        assert_eq!(answer, expected);
    }
    assert_eq!(
        snapshots.taken.load(Ordering::Relaxed),
        2,
        "one snapshot per call, whatever the number of rounds"
    );
    Ok(())
}
