//! Clients that others wrote against our demo.

use serde::Deserialize;

use super::record::{Record, Result};
use super::software::Software;
use super::ways::{Target, Way, Ways, with};
use crate::Outcome;

/// What every client checks, in its order.
const CHECKS: [&str; 15] = [
    "discover",
    "list tools",
    "call",
    "call, structured output",
    "call, argument in a header",
    "tool's own error",
    "protocol error",
    "unknown tool",
    "progress notifications",
    "list resources and templates",
    "read resources",
    "list and get prompts",
    "complete",
    "input required (two rounds)",
    "subscriptions/listen",
];

/// One line of a client.
#[derive(Deserialize)]
struct Line {
    check: String,
    ok: bool,
    says: String,
}

pub(super) fn check(ways: &Ways, software: &Software, record: &mut Record) {
    let who = format!("{}'s client calls carryall", software.name);
    for way in Way::ALL {
        let programs = match &software.programs {
            Ok(programs) => programs,
            Err(why) => {
                CHECKS.iter().for_each(|what| record.add(&who, what, way, Result::NotRun(why.clone())));
                continue;
            }
        };
        let (lines, trouble) = match lines(ways, software.part, &programs.client, way) {
            Ok(found) => found,
            Err(why) => (Vec::new(), why),
        };
        for what in CHECKS {
            let line = lines.iter().find(|line| line.check == what);
            let result = match line {
                Some(line) if line.ok => Result::Pass(line.says.clone()),
                Some(line) => Result::Fail(line.says.clone()),
                None => Result::Fail(format!("the client says nothing of it; {trouble}")),
            };
            record.add(&who, what, way, result);
        }
        let ends = if trouble.is_empty() { Result::Pass(String::new()) } else { Result::Fail(trouble) };
        record.add(&who, "both sides end in good order", way, ends);
    }
}

/// What the client said, and what else went wrong.
fn lines(ways: &Ways, name: &str, client: &[String], way: Way) -> Outcome<(Vec<Line>, String)> {
    let (target, running) = ways.to_demo(way)?;
    let words = match target {
        Target::Url(url) => with(client, &["http", &url]),
        Target::Command(command) => {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            with(&with(client, &["stdio"]), &command)
        }
    };
    let ended = ways.run(&format!("{name}-client"), &words);
    let stopped = running.end();
    let ended = ended?;
    let lines = ended.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let trouble = match (ended.success, stopped) {
        (Some(true), Ok(())) => String::new(),
        (Some(true), Err(why)) => why,
        (Some(false), _) => format!("the client failed: {}", last_line(&ended.stderr)),
        (None, _) => "the client did not end".to_owned(),
    };
    Ok((lines, trouble))
}

pub(super) fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
}
