//! Clients that others wrote against our demo.

use serde::Deserialize;

use super::peers::Peer;
use super::record::{InteropRecord, Result};
use super::shortfalls::{self, PeerSide};
use super::transports::{ClientTarget, ProtocolEra, Transport, Ways, with};
use crate::CommandResult;

/// What every client checks, in its order.
pub(super) const CHECKS: [&str; 22] = [
    "connect",
    PING,
    "list tools",
    PAGES,
    "call",
    "call, structured output",
    FLOATS,
    "call, argument in a header",
    "tool's own error",
    "protocol error",
    "unknown tool",
    "progress notifications",
    "log messages",
    "list resources and templates",
    "read resources",
    "get prompts",
    "complete",
    "elicitation",
    "sampling",
    "roots",
    "cancellation",
    "changes of lists and resources",
];
/// The new era has no `ping`, plain `up` makes no pages, and JavaScript writes no `2.0`.
const PING: &str = "ping";
const FLOATS: &str = "call, floats for integers";
const PAGES: &str = "pagination";

fn is_there(part: &str, what: &str, era: ProtocolEra, way: Transport) -> bool {
    match what {
        PING => era == ProtocolEra::Legacy,
        FLOATS => !part.starts_with("typescript"),
        PAGES => way != Transport::HttpUp,
        _ => true,
    }
}

/// One line of a client.
#[derive(Deserialize)]
pub(super) struct ClientLine {
    check: String,
    ok: bool,
    says: String,
}

pub(super) fn check(ways: &Ways, peer: &Peer, record: &mut InteropRecord) {
    for era in peer.eras.iter().copied() {
        let who = format!("{}'s client calls carryall, {} era", peer.name, era.word());
        for way in Transport::ALL {
            let checks = || {
                CHECKS
                    .into_iter()
                    .filter(|what| is_there(peer.part, what, era, way))
            };
            let programs = match &peer.programs {
                Ok(programs) => programs,
                Err(why) => {
                    checks()
                        .for_each(|what| record.add(&who, what, way, Result::NotRun(why.clone())));
                    continue;
                }
            };
            let (lines, trouble) = lines(ways, peer.part, &programs.client, era.word(), way)
                .unwrap_or_else(|why| (Vec::new(), why));
            for what in checks() {
                let result = result(&lines, &trouble, what);
                record.add(
                    &who,
                    what,
                    way,
                    shortfalls::of(PeerSide::Client, peer.part, era, way, what, result),
                );
            }
            let ends = if trouble.is_empty() {
                Result::Pass(String::new())
            } else {
                Result::Fail(trouble)
            };
            record.add(&who, "both sides end in good order", way, ends);
        }
    }
}

/// What the client said of one check.
pub(super) fn result(lines: &[ClientLine], trouble: &str, what: &str) -> Result {
    match lines.iter().find(|line| line.check == what) {
        Some(line) if line.ok => Result::Pass(line.says.clone()),
        Some(line) => Result::Fail(line.says.clone()),
        None => Result::Fail(format!("the client says nothing of it; {trouble}")),
    }
}

/// What the client said, and what else went wrong.
pub(super) fn lines(
    ways: &Ways,
    part: &str,
    client: &[String],
    era: &str,
    way: Transport,
) -> CommandResult<(Vec<ClientLine>, String)> {
    let (target, running) = ways.to_demo(way)?;
    let client = with(client, &[era]);
    let words = match target {
        ClientTarget::Url(url) => with(&client, &["http", &url]),
        ClientTarget::Command(command) => {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            with(&with(&client, &["stdio"]), &command)
        }
    };
    let ended = ways.run(&format!("{part}-{era}-client"), &words);
    let stopped = running.end();
    let ended = ended?;
    let lines = ended
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let trouble = match (ended.success, stopped) {
        (Some(true), Ok(())) => String::new(),
        (Some(true), Err(why)) => why,
        (Some(false), _) => format!("the client failed: {}", last_line(&ended.stderr)),
        (None, _) => "the client did not end".to_owned(),
    };
    Ok((lines, trouble))
}

/// What a program gave as the reason at last: an error of `carryall`, after which come hints, or
/// its last line.
pub(super) fn last_line(text: &str) -> &str {
    let lines = || text.lines().rev();
    let error = lines().find(|line| line.starts_with("error: "));
    error
        .or_else(|| lines().find(|line| !line.trim().is_empty()))
        .unwrap_or("it said nothing")
}
