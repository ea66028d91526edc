//! Tools that take their time, and say so.

use super::Shared;
use carryall::server::{ElicitOutcome, Form, ServerBuilder, State, TaskSupport, Tool};
use carryall::types::LoggingLevel;
use carryall::{Ctx, HandlerError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// `tasks` says when the tool that takes longest becomes a task.
pub(super) fn add(builder: ServerBuilder, tasks: TaskSupport) -> ServerBuilder {
    builder
        .tool(
            Tool::new("bake", bake)
                .title("Bake bread")
                .description(
                    "Takes its time, as a task where the client takes tasks, and asks the user in the middle of it",
                )
                .destructive(false)
                .as_task(tasks)
                .resumable(),
        )
        .tool(
            Tool::new("countdown", countdown)
                .title("Countdown")
                .description("Counts down to zero and reports its progress")
                .read_only(true),
        )
        .tool(
            Tool::new("nap", nap)
                .title("Nap")
                .description("Says nothing for a while, then answers; demo://naps counts those that are cancelled")
                .read_only(true),
        )
        .tool(
            Tool::new("chatter", chatter)
                .title("Chatter")
                .description("Sends a log message of every level that the request asks for")
                .read_only(true),
        )
}

#[derive(Deserialize, JsonSchema)]
struct Bake {
    /// How many loaves
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    loaves: u16,
    /// Milliseconds that each step takes
    #[serde(default = "a_while")]
    #[schemars(range(min = 0, max = 10_000))]
    pause_ms: u16,
}

fn one() -> u16 {
    1
}

fn a_while() -> u16 {
    700
}

/// What the user decides when the dough is there.
#[derive(Deserialize, JsonSchema)]
struct Crust {
    #[schemars(title = "Seeds on top")]
    seeds: Seeds,
    #[schemars(title = "Sliced")]
    #[serde(default)]
    sliced: bool,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Seeds {
    None,
    Poppy,
    Sesame,
}

async fn bake(ctx: Ctx, Bake { loaves, pause_ms }: Bake) -> Result<String, HandlerError> {
    let work = async |done: u16, doing: &str| {
        for loaf in 1..=loaves {
            let message = format!("{doing} loaf {loaf} of {loaves}");
            ctx.progress(done + loaf)
                .of(loaves * 2)
                .message(&message)
                .await;
            tokio::time::sleep(Duration::from_millis(pause_ms.into())).await;
        }
    };
    // Neither the next round nor whoever takes the task over kneads again.
    let knead = async || {
        work(0, "kneading").await;
        Ok::<(), HandlerError>(())
    };
    ctx.once("dough", knead).await?;
    let question = Form::<Crust>::new("The dough has risen. How shall the crust be?");
    let ElicitOutcome::Accepted(crust) = ctx.ask_as("crust", question).await? else {
        return Ok("Nothing was baked: the dough is in the fridge.".to_owned());
    };
    work(loaves, "baking").await;
    let seeds = match crust.seeds {
        Seeds::None => "",
        Seeds::Poppy => " with poppy seeds",
        Seeds::Sesame => " with sesame",
    };
    let plural = if loaves == 1 { "loaf" } else { "loaves" };
    Ok(format!(
        "{loaves} {plural} of bread{seeds}{}.",
        if crust.sliced { ", sliced" } else { "" }
    ))
}

#[derive(Deserialize, JsonSchema)]
struct Countdown {
    /// Where to begin
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000))]
    from: u16,
    /// Milliseconds between two numbers
    #[serde(default = "a_moment")]
    #[schemars(range(min = 0, max = 10_000))]
    pause_ms: u16,
}

fn ten() -> u16 {
    10
}

fn a_moment() -> u16 {
    200
}

async fn countdown(ctx: Ctx, args: Countdown) -> String {
    let total = f64::from(args.from);
    for done in 0..args.from {
        let message = format!("{} to go", args.from - done);
        ctx.progress(done).of(total).message(&message).await;
        tokio::time::sleep(Duration::from_millis(args.pause_ms.into())).await;
    }
    ctx.progress(total).of(total).message("lift-off").await;
    format!("Counted down from {}.", args.from)
}

#[derive(Deserialize, JsonSchema)]
struct Nap {
    /// For how long
    #[serde(default = "two")]
    #[schemars(range(min = 0.0, max = 120.0))]
    seconds: f64,
}

fn two() -> f64 {
    2.0
}

async fn nap(State(shared): State<Arc<Shared>>, args: Nap) -> String {
    let mut sleeper = Sleeper {
        shared,
        rested: false,
    };
    tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
    sleeper.rested = true;
    format!("Slept for {} s.", args.seconds)
}

/// Counts a nap that is dropped before its time: that is how a handler is cancelled.
struct Sleeper {
    shared: Arc<Shared>,
    rested: bool,
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if !self.rested
            && let Err(error) = self.shared.board.write(|notes| notes.broken_off += 1)
        {
            tracing::warn!(%error, "a nap that was broken off could not be counted");
        }
    }
}

async fn chatter(ctx: Ctx) -> &'static str {
    for level in LoggingLevel::ALL {
        // Logging is part of the tour for as long as it is part of the protocol.
        #[allow(deprecated)]
        ctx.log(
            level,
            Some("chatter"),
            json!(format!("this is a message of level {level}")),
        )
        .await;
    }
    "Said everything there is to say."
}
