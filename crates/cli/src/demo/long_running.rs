//! Tools that run for a while, with tasks, progress and logging.

use super::DemoState;
use carryall::server::{ElicitOutcome, Form, ServerBuilder, State, TaskSupport, Tool};
use carryall::types::LoggingLevel;
use carryall::{Ctx, HandlerError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Adds the tools. `tasks` is the task support of `bake`.
pub(super) fn add(builder: ServerBuilder, tasks: TaskSupport) -> ServerBuilder {
    builder
        .tool(
            Tool::new("bake", bake)
                .title("Bake bread")
                .description(
                    "Takes a while, as a task if the client supports tasks, and asks the user halfway through",
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
                .description("Answers after a while, without progress; demo://naps counts the calls that are cancelled")
                .read_only(true),
        )
        .tool(
            Tool::new("chatter", chatter)
                .title("Chatter")
                .description("Sends a log message of each level that the request asks for")
                .read_only(true),
        )
}

#[derive(Deserialize, JsonSchema)]
struct BakeArgs {
    /// Number of loaves
    #[serde(default = "default_loaves")]
    #[schemars(range(min = 1, max = 100))]
    loaves: u16,
    /// Duration of each step, in milliseconds
    #[serde(default = "default_bake_pause")]
    #[schemars(range(min = 0, max = 10_000))]
    pause_ms: u16,
}

fn default_loaves() -> u16 {
    1
}

fn default_bake_pause() -> u16 {
    700
}

/// The form that the user fills in halfway through.
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

async fn bake(ctx: Ctx, BakeArgs { loaves, pause_ms }: BakeArgs) -> Result<String, HandlerError> {
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
    // Not repeated by the next round, nor by a replica that takes over the task.
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
struct CountdownArgs {
    /// Number to start from
    #[serde(default = "default_start")]
    #[schemars(range(min = 1, max = 1000))]
    from: u16,
    /// Pause between two numbers, in milliseconds
    #[serde(default = "default_countdown_pause")]
    #[schemars(range(min = 0, max = 10_000))]
    pause_ms: u16,
}

fn default_start() -> u16 {
    10
}

fn default_countdown_pause() -> u16 {
    200
}

async fn countdown(ctx: Ctx, args: CountdownArgs) -> String {
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
struct NapArgs {
    /// Duration of the nap
    #[serde(default = "default_nap")]
    #[schemars(range(min = 0.0, max = 120.0))]
    seconds: f64,
}

fn default_nap() -> f64 {
    2.0
}

async fn nap(State(demo): State<Arc<DemoState>>, args: NapArgs) -> String {
    let mut guard = NapGuard {
        demo,
        finished: false,
    };
    tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
    guard.finished = true;
    format!("Slept for {} s.", args.seconds)
}

/// Counts a nap as cancelled if it is dropped before it is finished.
struct NapGuard {
    demo: Arc<DemoState>,
    finished: bool,
}

impl Drop for NapGuard {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = self.demo.board.update(|board| board.cancelled_naps += 1)
        {
            tracing::warn!(%error, "cannot count a cancelled nap");
        }
    }
}

async fn chatter(ctx: Ctx) -> &'static str {
    for level in LoggingLevel::ALL {
        // Deprecated, and part of the protocol.
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
