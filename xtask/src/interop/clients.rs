//! Third-party clients against our demo.

use serde::Deserialize;

use super::known_issues::{self, PeerSide};
use super::peers::Peer;
use super::record::{CheckOutcome, InteropRecord};
use super::routes::{ClientTarget, ProtocolEra, Route, TestEnvironment, with};
use crate::CommandResult;

/// The checks of every client, in order.
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
// The modern era has no `ping`, plain `up` does not paginate, and JavaScript cannot write `2.0`.
const PING: &str = "ping";
const FLOATS: &str = "call, floats for integers";
const PAGES: &str = "pagination";

fn applies(part: &str, what: &str, era: ProtocolEra, route: Route) -> bool {
    match what {
        PING => era == ProtocolEra::Legacy,
        FLOATS => !part.starts_with("typescript"),
        PAGES => route != Route::HttpUp,
        _ => true,
    }
}

/// One line of output of a client.
#[derive(Deserialize)]
pub(super) struct ClientLine {
    check: String,
    ok: bool,
    detail: String,
}

pub(super) fn check(env: &TestEnvironment, peer: &Peer, record: &mut InteropRecord) {
    for era in peer.eras.iter().copied() {
        let who = format!("{}'s client calls carryall, {} era", peer.name, era.word());
        for route in Route::ALL {
            let checks = || {
                CHECKS
                    .into_iter()
                    .filter(|what| applies(peer.part, what, era, route))
            };
            let programs = match &peer.programs {
                Ok(programs) => programs,
                Err(why) => {
                    checks().for_each(|what| {
                        record.add(&who, what, route, CheckOutcome::NotRun(why.clone()))
                    });
                    continue;
                }
            };
            let (lines, trouble) = lines(env, peer.part, &programs.client, era.word(), route)
                .unwrap_or_else(|why| (Vec::new(), why));
            for what in checks() {
                let result = result(&lines, &trouble, what);
                record.add(
                    &who,
                    what,
                    route,
                    known_issues::classify(PeerSide::Client, peer.part, era, route, what, result),
                );
            }
            let ends = if trouble.is_empty() {
                CheckOutcome::Pass(String::new())
            } else {
                CheckOutcome::Fail(trouble)
            };
            record.add(&who, "both sides exit cleanly", route, ends);
        }
    }
}

/// Returns the result of one check.
pub(super) fn result(lines: &[ClientLine], trouble: &str, what: &str) -> CheckOutcome {
    match lines.iter().find(|line| line.check == what) {
        Some(line) if line.ok => CheckOutcome::Pass(line.detail.clone()),
        Some(line) => CheckOutcome::Fail(line.detail.clone()),
        None => CheckOutcome::Fail(format!("the client did not report it; {trouble}")),
    }
}

/// Runs a client. Returns its lines, and other problems, if any.
pub(super) fn lines(
    env: &TestEnvironment,
    part: &str,
    client: &[String],
    era: &str,
    route: Route,
) -> CommandResult<(Vec<ClientLine>, String)> {
    let (target, running) = env.start_demo(route)?;
    let client = with(client, &[era]);
    let args = match target {
        ClientTarget::Url(url) => with(&client, &["http", &url]),
        ClientTarget::Command(command) => {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            with(&with(&client, &["stdio"]), &command)
        }
    };
    let ended = env.run(&format!("{part}-{era}-client"), &args);
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
        (None, _) => "the client timed out".to_owned(),
    };
    Ok((lines, trouble))
}

/// Returns the last error of `carryall`, which may be followed by hints, or else the last line.
pub(super) fn last_line(text: &str) -> &str {
    let lines = || text.lines().rev();
    let error = lines().find(|line| line.starts_with("error: "));
    error
        .or_else(|| lines().find(|line| !line.trim().is_empty()))
        .unwrap_or("no output")
}
