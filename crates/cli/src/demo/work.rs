//! Tools that take their time, and say so.

use super::Shared;
use super::tools::shared;
use carryall::Ctx;
use carryall::server::{Failure, ServerBuilder, State, Tool};
use carryall::types::LoggingLevel;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

pub(super) fn add(builder: ServerBuilder) -> ServerBuilder {
    builder
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
            Tool::without_arguments("chatter", chatter)
                .title("Chatter")
                .description("Sends a log message of every level that the request asks for")
                .read_only(true),
        )
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
        ctx.progress(f64::from(done), Some(total), Some(&message)).await;
        tokio::time::sleep(Duration::from_millis(args.pause_ms.into())).await;
    }
    ctx.progress(total, Some(total), Some("lift-off")).await;
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

async fn nap(ctx: Ctx, args: Nap) -> Result<String, Failure> {
    let mut sleeper = Sleeper { shared: shared(&ctx)?, rested: false };
    tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
    sleeper.rested = true;
    Ok(format!("Slept for {} s.", args.seconds))
}

/// Counts a nap that is dropped before its time: that is how a handler is cancelled.
struct Sleeper {
    shared: State<Shared>,
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
        ctx.log(level, Some("chatter"), json!(format!("this is a message of level {level}"))).await;
    }
    "Said everything there is to say."
}
